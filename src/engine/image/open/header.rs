//! The stored header of a file: its fields, its extensions and the backing file's name.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Corrupt, Problem};
use crate::format::header::extension::{CryptoHeader, Extensions, RECORD_HEADER};
use crate::format::header::feature::FeatureBit;
use crate::format::header::{Encryption, RawHeader};
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// The size of the first read: the whole first cluster of an image with default clusters.
const FIRST_READ: u64 = 64 << 10;

/// The stored header, as far as it could be read.
pub(crate) struct StoredHeader {
    pub(crate) header: RawHeader,
    pub(crate) extensions: Extensions,
    /// The error that ended reading the extensions.
    pub(crate) extension_error: Option<Corrupt>,
    pub(crate) feature_names: Vec<FeatureBit>,
    bytes: Vec<u8>,
}

impl StoredHeader {
    /// Reads the header with one request, or with two if it is longer than 64 KiB.
    pub(crate) async fn read<S: Storage>(file: &HostFile<S>) -> Result<Result<Self, Problem>, S::Error> {
        let mut bytes = file.read_up_to(HostOffset(0), FIRST_READ).await?;
        let header = match RawHeader::parse(&bytes) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        // If there is no valid area, the header's own checks report the problem.
        let area = header.extension_area().unwrap_or(0..0);
        let mut parsed = Extensions::parse(&bytes, area.clone());
        if parsed.is_none() {
            // At most a cluster and the start of a record that reaches past it, with zeros past the end of the file.
            let end = area.end + RECORD_HEADER;
            bytes = file.read_up_to(HostOffset(0), end).await?;
            bytes.resize(usize::try_from(end).unwrap_or(bytes.len()), 0);
            parsed = Extensions::parse(&bytes, area);
        }
        let (extensions, extension_error) = parsed.unwrap_or_default();
        let feature_names = extensions.feature_names();
        Ok(Ok(Self { header, extensions, extension_error, feature_names, bytes }))
    }

    /// Returns all problems of the header.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.header.problems(&self.feature_names);
        problems.extend(self.extension_error.into_iter().chain(self.crypto_header().err()).map(Problem::from));
        problems
    }

    /// Returns the error that ended reading the extensions if the active disk may need one of the unread ones.
    ///
    /// A backing file of unknown format would be probed, which its guest could exploit.
    pub(crate) fn fatal_extension_error(&self) -> Option<Corrupt> {
        let lacks_format = self.header.has_backing_file() && self.extensions.backing_format().is_none();
        let is_luks = self.header.encryption() == Some(Encryption::Luks);
        let needs_more = lacks_format || is_luks && self.extensions.crypto_header().is_none();
        self.extension_error.filter(|error| needs_more && !matches!(error, Corrupt::ExtensionEnd { .. }))
    }

    /// Returns the position of the LUKS header, if the image has one.
    pub(crate) fn crypto_header(&self) -> Result<Option<CryptoHeader>, Corrupt> {
        // Nothing else uses the extension.
        if self.header.encryption() != Some(Encryption::Luks) {
            return Ok(None);
        }
        let (_, crypto_header) = self.extensions.crypto_header().ok_or(Corrupt::NoCryptoHeader)?;
        // An invalid cluster size is reported as a problem of its own.
        let cluster_size = 1u64.checked_shl(self.header.cluster_bits).unwrap_or(0);
        if !crypto_header.offset.is_multiple_of(cluster_size) {
            return Err(Corrupt::CryptoHeaderUnaligned { offset: crypto_header.offset });
        }
        Ok(Some(crypto_header))
    }

    /// Returns the name of the backing file, if there is one. Only for a header without problems, which limits its
    /// length.
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
