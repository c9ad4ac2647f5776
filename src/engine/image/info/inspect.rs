//! All that can be said of a file, above all of one that can't be opened.

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

/// What [`inspect`] found. What could not be read is left empty, and `problems` says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The length of the file in bytes.
    pub file_size: u64,
    /// What the file seems to be.
    pub format: FileFormat,
    /// The header's fields, unchecked.
    pub header: Option<RawHeader>,
    /// The feature bits that are set.
    pub features: Vec<FeatureBit>,
    /// The header extensions.
    pub extensions: Vec<Extension>,
    /// How the guest's data is encrypted, if it is and the header is sound.
    pub encryption: Option<EncryptionInfo>,
    /// The name of the backing file, if the header is sound.
    pub backing_file: Option<String>,
    /// The format of the backing file.
    pub backing_format: Option<String>,
    /// The name of the external data file.
    pub data_file: Option<String>,
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// As [`Info::missing`](crate::Info), where the header is sound enough and the data is in this file; else 0.
    pub missing: u64,
    /// Everything that is wrong with the head, and keeps the image from being opened for writing. Where the active disk
    /// doesn't need what is wrong, the image opens for reading all the same.
    pub problems: Vec<Problem>,
}

/// Looks at the head of the file in `storage`, and says as much as it can, whatever is wrong with it.
///
/// Fails only where the storage does.
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
        Ok(head) => inspection.read_head(head, &file).await?,
        Err(problem) => inspection.problems.push(problem),
    }
    Ok(inspection)
}

impl Inspection {
    async fn read_head<S: Storage>(&mut self, head: StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        self.problems = head.problems();
        self.features = set_bits(head.header.features(), &head.feature_names);
        self.backing_format = head.extensions.backing_format();
        self.data_file = head.extensions.data_file_name();
        let is_readable =
            |problem: &Problem| matches!(problem, Problem::Unsupported(_)) || problem.leaves_the_disk_readable();
        // As opening has it: an extension that is broken is no obstacle, unless the disk may need one behind it.
        let extensions_suffice = head.fatal_extension_error().is_none() && head.crypto_header().is_ok();
        if extensions_suffice && head.header.problems(&head.feature_names).iter().all(is_readable) {
            self.backing_file = head.backing_name(file).await?;
            self.read_encryption(&head, file).await?;
            self.read_snapshots(&head.header, file).await?;
            self.read_missing(&head, file).await?;
        }
        self.extensions = head.extensions.into_vec();
        self.header = Some(head.header);
        Ok(())
    }

    async fn read_missing<S: Storage>(&mut self, head: &StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        let Ok(header) = Header::check_to_read(head.header.clone(), &head.feature_names) else { return Ok(()) };
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

    async fn read_encryption<S: Storage>(&mut self, head: &StoredHeader, file: &HostFile<S>) -> Result<(), S::Error> {
        match read_encryption(file, head).await {
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
