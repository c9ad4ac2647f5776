//! The LUKS header of an image that is checked.

use super::subject::Subject;
use crate::error::Error;
use crate::format::header::Encryption;
use crate::format::header::extension::CryptoHeader;
use crate::format::luks::MAX_AREA;
use crate::format::units::HostOffset;
use crate::image::encryption::read_luks_header;
use crate::storage::Storage;

/// Where an image says that its LUKS header is, with the key material.
pub(in crate::image) struct LuksArea {
    /// Where it says so.
    pub(in crate::image) place: HostOffset,
    pub(in crate::image) recorded: CryptoHeader,
    /// Where the recorded length reaches past the end of the file: the length by the header's own fields, 0 where these
    /// make no sense. Else the key material would be taken for lost space, and without it nothing opens the image.
    pub(in crate::image) own_length: Option<u64>,
}

impl LuksArea {
    /// `None` where nothing is encrypted by LUKS: then nobody follows what is recorded.
    pub(in crate::image) async fn read<S: Storage>(subject: &Subject<'_, S>) -> Result<Option<Self>, Error<S::Error>> {
        let is_luks = subject.raw.encryption() == Some(Encryption::Luks);
        let Some((place, recorded)) = subject.extensions.crypto_header().filter(|_| is_luks) else {
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
        Ok(Some(Self { place: HostOffset(place), recorded, own_length }))
    }
}
