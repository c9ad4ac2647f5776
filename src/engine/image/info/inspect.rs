//! Inspecting a file, in particular one that cannot be opened.

use alloc::string::String;
use alloc::vec::Vec;

use super::missing::missing_bytes;
use crate::error::{Error, FileFormat, Problem};
use crate::format::header::extension::Extension;
use crate::format::header::feature::{FeatureBit, set_bits};
use crate::format::header::{Header, RawHeader};
use crate::format::probe::{PROBE_BYTES, format_of};
use crate::format::snapshot::Snapshot;
use crate::format::units::HostOffset;
use crate::image::encryption::{EncryptionInfo, read_encryption};
use crate::image::open::header::StoredHeader;
use crate::image::snapshot::table::SnapshotTable;
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::Storage;

/// The result of [`inspect`]. What could not be read is empty, and `problems` contains the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The length of the file in bytes.
    pub file_size: u64,
    /// The probed format of the file.
    pub format: FileFormat,
    /// The header's fields, unchecked.
    pub header: Option<RawHeader>,
    /// The feature bits that are set.
    pub features: Vec<FeatureBit>,
    /// The header extensions.
    pub extensions: Vec<Extension>,
    /// The encryption of the guest data, if it is encrypted and the header is valid.
    pub encryption: Option<EncryptionInfo>,
    /// The name of the backing file, if the header is valid.
    pub backing_file: Option<String>,
    /// The format of the backing file.
    pub backing_format: Option<String>,
    /// The name of the external data file.
    pub data_file: Option<String>,
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// As [`Info::missing`](crate::Info); 0 if the header is invalid or the data is in another file.
    pub missing: u64,
    /// All problems of the header, which prevent opening the image for writing.
    ///
    /// If the active disk does not depend on the corrupt parts, the image can still be opened for reading.
    pub problems: Vec<Problem>,
}

/// Reads the header of the file in `storage` and reports as much as possible, whatever is wrong.
///
/// Fails only if the storage fails.
pub async fn inspect<S: Storage>(storage: &S) -> Result<Inspection, S::Error> {
    let file = HostFile::open(storage, FileId(0)).await?;
    let first = file.read_up_to(HostOffset(0), PROBE_BYTES as u64).await?;
    let mut inspection = Inspection {
        file_size: file.size(),
        format: format_of(&first),
        header: None,
        features: Vec::new(),
        extensions: Vec::new(),
        encryption: None,
        backing_file: None,
        backing_format: None,
        data_file: None,
        snapshots: Vec::new(),
        missing: 0,
        problems: Vec::new(),
    };
    match StoredHeader::read(&file).await? {
        Ok(stored) => inspection.read_header(stored, &file).await?,
        Err(problem) => inspection.problems.push(problem),
    }
    Ok(inspection)
}

impl Inspection {
    async fn read_header<S: Storage>(&mut self, stored: StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        self.problems = stored.problems();
        self.features = set_bits(stored.header.features(), &stored.feature_names);
        self.backing_format = stored.extensions.backing_format();
        self.data_file = stored.extensions.data_file_name();
        let is_readable =
            |problem: &Problem| matches!(problem, Problem::Unsupported(_)) || problem.leaves_the_disk_readable();
        // As when opening: a corrupt extension is no obstacle, unless the disk may need an extension after it.
        let extensions_suffice = stored.fatal_extension_error().is_none() && stored.crypto_header().is_ok();
        if extensions_suffice && stored.header.problems(&stored.feature_names).iter().all(is_readable) {
            self.backing_file = stored.backing_name(file).await?;
            self.read_encryption(&stored, file).await?;
            self.read_snapshots(&stored.header, file).await?;
            self.read_missing(&stored, file).await?;
        }
        self.extensions = stored.extensions.into_vec();
        self.header = Some(stored.header);
        Ok(())
    }

    async fn read_missing<S: Storage>(&mut self, stored: &StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        let Ok(header) = Header::check_to_read(stored.header.clone(), &stored.feature_names) else { return Ok(()) };
        if header.has_data_file() {
            return Ok(());
        }
        match missing_bytes(file, None, &header).await {
            Ok(missing) => self.missing = missing,
            Err(Error::Storage(error)) => return Err(error),
            // Reading tables has no other way to fail.
            Err(_) => {}
        }
        Ok(())
    }

    async fn read_encryption<S: Storage>(&mut self, stored: &StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        match read_encryption(file, stored).await {
            Ok(encryption) => self.encryption = encryption,
            Err(Error::Storage(error)) => return Err(error),
            Err(Error::Corrupt(corrupt)) => self.problems.push(corrupt.into()),
            Err(Error::Unsupported(unsupported)) => self.problems.push(unsupported.into()),
            // Reading the header has no other way to fail.
            Err(_) => {}
        }
        Ok(())
    }

    async fn read_snapshots<S: Storage>(&mut self, header: &RawHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        let table = SnapshotTable::of(header);
        if !header.geometry().is_some_and(|geometry| table.is_possible(geometry)) {
            return Ok(());
        }
        match table.read_entries(file, |snapshot, _| self.snapshots.push(snapshot)).await {
            Err(Error::Storage(error)) => return Err(error),
            Err(Error::Corrupt(corrupt)) => self.problems.push(corrupt.into()),
            // Reading the table has no other way to fail.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }
}
