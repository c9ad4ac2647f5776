//! The LUKS header of a checked image.

use super::subject::Subject;
use crate::error::Error;
use crate::format::header::Encryption;
use crate::format::header::extension::CryptoHeader;
use crate::format::luks::MAX_AREA;
use crate::format::units::HostOffset;
use crate::image::encryption::read_luks_header;
use crate::storage::Storage;

/// The recorded position of the LUKS header and its key material.
pub(in crate::image) struct LuksArea {
    /// The host offset of the extension that records it.
    pub(in crate::image) source: HostOffset,
    pub(in crate::image) recorded: CryptoHeader,
    /// The length by the header's own fields if the recorded length reaches past the end of the file; 0 if these are
    /// invalid. Otherwise the key material would look leaked, and without it the image could not be opened any more.
    pub(in crate::image) own_length: Option<u64>,
}

impl LuksArea {
    /// Returns `None` if the image is not encrypted with LUKS, because nothing uses the recorded position then.
    pub(in crate::image) async fn read<S: Storage>(subject: &Subject<'_, S>) -> Result<Option<Self>, Error<S::Error>> {
        let is_luks = subject.raw.encryption() == Some(Encryption::Luks);
        let Some((source, recorded)) = subject.extensions.crypto_header().filter(|_| is_luks) else {
            return Ok(None);
        };
        let own_length = match subject.area(HostOffset(recorded.offset), recorded.length) {
            Some(_) => None,
            None => match read_luks_header(subject.file, CryptoHeader { length: MAX_AREA, ..recorded }).await {
                Ok(header) => Some(header.length()),
                Err(Error::Storage(error)) => return Err(Error::Storage(error)),
                Err(_) => Some(0),
            },
        };
        Ok(Some(Self { source: HostOffset(source), recorded, own_length }))
    }
}
