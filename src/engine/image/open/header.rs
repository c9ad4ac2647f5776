//! The head of a file: the header, its extensions, and the backing file's name.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Corrupt, Problem};
use crate::format::header::extension::{CryptoHeader, Extensions, RECORD_HEADER};
use crate::format::header::feature::FeatureBit;
use crate::format::header::{Encryption, RawHeader};
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// What is read at once: the whole first cluster of an image with default clusters.
const FIRST_READ: u64 = 64 << 10;

/// The head, as far as it could be read.
pub(crate) struct StoredHeader {
    pub(crate) header: RawHeader,
    pub(crate) extensions: Extensions,
    /// What kept the rest of the extensions from being read.
    pub(crate) extension_error: Option<Corrupt>,
    pub(crate) feature_names: Vec<FeatureBit>,
    bytes: Vec<u8>,
}

impl StoredHeader {
    /// Reads the head: one request in most cases, two where it is longer than 64 KiB.
    pub(crate) async fn read<S: Storage>(file: &HostFile<S>) -> Result<Result<Self, Problem>, S::Error> {
        let mut bytes = file.read_up_to(HostOffset(0), FIRST_READ).await?;
        let header = match RawHeader::parse(&bytes) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        // Without an area, the header's own checks say what is wrong.
        let area = header.extension_area().unwrap_or(0..0);
        let mut parsed = Extensions::parse(&bytes, area.clone());
        if parsed.is_none() {
            // At most a cluster, and the beginning of a record that reaches out of it; zeros past the end of the file.
            let end = area.end + RECORD_HEADER;
            bytes = file.read_up_to(HostOffset(0), end).await?;
            bytes.resize(usize::try_from(end).unwrap_or(bytes.len()), 0);
            parsed = Extensions::parse(&bytes, area);
        }
        let (extensions, extension_error) = parsed.unwrap_or_default();
        let feature_names = extensions.feature_names();
        Ok(Ok(Self { header, extensions, extension_error, feature_names, bytes }))
    }

    /// Everything that is wrong with the head.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.header.problems(&self.feature_names);
        problems.extend(self.extension_error.into_iter().chain(self.crypto_header().err()).map(Problem::from));
        problems
    }

    /// What kept the rest of the extensions from being read, where the active disk may need one of those.
    ///
    /// A backing file whose format is not known would be probed, which its guest could deceive.
    pub(crate) fn fatal_extension_error(&self) -> Option<Corrupt> {
        let lacks_format = self.header.has_backing_file() && self.extensions.backing_format().is_none();
        let is_luks = self.header.encryption() == Some(Encryption::Luks);
        let needs_more = lacks_format || is_luks && self.extensions.crypto_header().is_none();
        self.extension_error.filter(|error| needs_more && !matches!(error, Corrupt::ExtensionEnd { .. }))
    }

    /// Where the LUKS header is, for an image that has one.
    pub(crate) fn crypto_header(&self) -> Result<Option<CryptoHeader>, Corrupt> {
        // In another image nothing follows what the extension says.
        if self.header.encryption() != Some(Encryption::Luks) {
            return Ok(None);
        }
        let (_, place) = self.extensions.crypto_header().ok_or(Corrupt::NoCryptoHeader)?;
        // A cluster size that can't be is a problem of its own.
        let cluster_size = 1u64.checked_shl(self.header.cluster_bits).unwrap_or(0);
        if !place.offset.is_multiple_of(cluster_size) {
            return Err(Corrupt::CryptoHeaderUnaligned { offset: place.offset });
        }
        Ok(Some(place))
    }

    /// The name of the backing file, if there is one. Only for a header without problems, which bounds its length.
    pub(crate) async fn backing_name<S: Storage>(&self, file: &HostFile<S>) -> Result<Option<String>, S::Error> {
        let Some((offset, length)) = self.header.backing_name() else {
            return Ok(None);
        };
        if length == 0 {
            return Ok(None);
        }
        let start = usize::try_from(offset.0).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if let Some(name) = self.bytes.get(start..end) {
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
        let name = file.read_up_to(offset, length).await?;
        Ok(Some(String::from_utf8_lossy(&name).into_owned()))
    }
}
