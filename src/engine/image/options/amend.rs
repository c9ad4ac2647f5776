//! Changing an image's options in place, as `qemu-img amend` and `qemu-img rebase -u` do.
//!
//! The header's cluster holds everything that changes: the fields, the extensions and the backing file's name.
//! [`replace_header`](super::replace_header) replaces it as a whole. If tables or refcounts change as well, they are
//! first written anew after the end of the file, as a repair does it (see [`repair`](crate::image::repair)). Then the
//! new header switches to them, so a crash leaves the old image or the amended one. The clusters of the old tables are
//! free afterwards.

use alloc::string::String;

use super::replace_header::{OldHeader, replace_header};
use crate::error::{CreateFault, Error, Misuse};
use crate::format::header::RawHeader;
use crate::format::header::emit_changed::ChangedHeader;
use crate::format::header::feature;
use crate::format::refcount::RefcountWidth;
use crate::image::chain::backing::BackingFormat;
use crate::image::check::sink::{Reference, Referred, Sink};
use crate::image::check::snapshots::SnapshotTables;
use crate::image::check::subject::Subject;
use crate::image::check::walk::walk;
use crate::image::check::{CheckOptions, check_subject};
use crate::image::repair::file_end::EndAllocator;
use crate::image::repair::l2_entry::Policy;
use crate::image::repair::refcounts::{highest_count, write_structure};
use crate::image::repair::rewrite_tables::rewrite;
use crate::image::repair::{Repair, RepairOptions, repair_file, set_copied_flags};
use crate::image::snapshot::table::SnapshotTable;
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::{Storage, StorageMut};

const MAX_BACKING_NAME: usize = 1023;
/// Version 2 has only refcounts of 2^4 bits.
const V2_REFCOUNT_ORDER: u32 = 4;

/// The options of an image to change; an option that is not set stays as it is.
#[derive(Clone, Debug, Default)]
pub struct AmendOptions {
    version: Option<u32>,
    lazy_refcounts: Option<bool>,
    refcount_bits: Option<u32>,
    backing: Backing,
    data_file_name: Option<String>,
    data_file_raw: Option<bool>,
}

/// The change of the backing file's name.
#[derive(Clone, Debug, Default)]
enum Backing {
    #[default]
    Kept,
    Removed,
    Named(String, BackingFormat),
}

impl AmendOptions {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the version of the format: 2 or 3.
    ///
    /// Version 2 has no zero clusters: if there is a backing file, each zero cluster is replaced with an allocated
    /// cluster of zeros. An image that uses a feature of version 3 is refused: extended L2 entries, a data file,
    /// compressed clusters other than zlib, a refcount width other than 16 bits, snapshots whose size differs from the
    /// disk's or with more than 4 GiB of VM state. Its bitmaps are dropped.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Sets whether programs may write refcounts late and mark the image dirty meanwhile.
    ///
    /// Version 3 only.
    #[must_use]
    pub fn lazy_refcounts(self, lazy: bool) -> Self {
        Self { lazy_refcounts: Some(lazy), ..self }
    }

    /// Sets the width of a refcount in bits: 1, 2, 4, 8, 16, 32 or 64; only 16 in version 2.
    ///
    /// If a refcount does not fit ([`Misuse::RefcountOverflow`]), nothing is changed.
    #[must_use]
    pub fn refcount_bits(self, bits: u32) -> Self {
        Self { refcount_bits: Some(bits), ..self }
    }

    /// Records another backing file, without reading it.
    ///
    /// The caller is responsible for the contents that the disk then reads from it.
    #[must_use]
    pub fn backing_file(self, name: impl Into<String>, format: BackingFormat) -> Self {
        Self { backing: Backing::Named(name.into(), format), ..self }
    }

    /// Records that there is no backing file: unallocated clusters read as zeros.
    #[must_use]
    pub fn without_backing_file(self) -> Self {
        Self { backing: Backing::Removed, ..self }
    }

    /// Records another name of the external data file, which the image must have.
    #[must_use]
    pub fn data_file_name(self, name: impl Into<String>) -> Self {
        Self { data_file_name: Some(name.into()), ..self }
    }

    /// Sets whether the external data file is a raw image of the disk.
    ///
    /// As in QEMU, this can only be withdrawn: a data file is made raw when the image is created
    /// ([`CreateFault::RawDataFileLater`]). The contents stay as they are.
    #[must_use]
    pub fn data_file_raw(self, raw: bool) -> Self {
        Self { data_file_raw: Some(raw), ..self }
    }
}

/// Changes the options of the image in `storage`.
///
/// No other program may use the image meanwhile. An image that was not closed properly is repaired first. An image that
/// is marked as corrupt is refused. So is one that a check finds corrupt, if more than its header changes
/// ([`Misuse::NeedsRepair`]). After a crash, or if the future is dropped, the image is unchanged or completely amended.
pub async fn amend<S: StorageMut>(storage: &S, options: &AmendOptions) -> Result<(), Error<S::Error>> {
    let file = HostFile::open(storage, FileId(0)).await.map_err(Error::Storage)?;
    let mut subject = Subject::read(&file).await?;
    if subject.raw.incompatible_features & feature::CORRUPT != 0 {
        return Err(Misuse::MarkedCorrupt.into());
    }
    if subject.raw.incompatible_features & feature::DIRTY != 0 {
        let repaired = repair_file(&file, RepairOptions::new(Repair::All)).await?;
        if repaired.after.is_dirty {
            return Err(Misuse::NeedsRepair.into());
        }
        subject = Subject::read(&file).await?;
    }
    let wanted = options.apply(&subject.raw)?;
    if wanted.version < subject.raw.version {
        check_downgrade(&subject).await?;
    }
    let moved = move_tables(&subject, &wanted, options).await?;
    let has_new_tables = moved.is_some();
    write_header(&subject, &moved.unwrap_or(wanted), options).await?;
    if has_new_tables { set_copied_flags(&Subject::read(&file).await?).await } else { Ok(()) }
}

impl AmendOptions {
    /// Returns the amended header, except for the fields that depend on the tables.
    fn apply(&self, raw: &RawHeader) -> Result<RawHeader, Misuse> {
        let mut wanted = raw.clone();
        wanted.autoclear_features &= feature::KNOWN_AUTOCLEAR;
        wanted.version = self.version.unwrap_or(raw.version);
        if !(2..=3).contains(&wanted.version) {
            return Err(Misuse::Create(CreateFault::Version(wanted.version)));
        }
        if let Some(bits) = self.refcount_bits {
            if !bits.is_power_of_two() || bits > 64 {
                return Err(Misuse::Create(CreateFault::RefcountBits(bits)));
            }
            wanted.refcount_order = bits.trailing_zeros();
        }
        if let Some(lazy) = self.lazy_refcounts {
            wanted.compatible_features &= !feature::LAZY_REFCOUNTS;
            wanted.compatible_features |= if lazy { feature::LAZY_REFCOUNTS } else { 0 };
        }
        if wanted.version == 2 {
            if self.lazy_refcounts == Some(true) {
                return Err(Misuse::Create(CreateFault::NeedsVersion3("lazy refcounts")));
            }
            if wanted.refcount_order != V2_REFCOUNT_ORDER {
                return Err(Misuse::Create(CreateFault::NeedsVersion3("another refcount width than 16 bits")));
            }
            (wanted.compatible_features, wanted.autoclear_features) = (0, 0);
            wanted.incompatible_features &= !feature::COMPRESSION;
            wanted.compression_type = 0;
        }
        match self.data_file_raw {
            Some(false) => wanted.autoclear_features &= !feature::RAW_DATA_FILE,
            Some(true) if raw.autoclear_features & feature::RAW_DATA_FILE == 0 => {
                return Err(Misuse::Create(CreateFault::RawDataFileLater));
            }
            _ => {}
        }
        self.check_names(&wanted)?;
        Ok(wanted)
    }

    fn check_names(&self, raw: &RawHeader) -> Result<(), Misuse> {
        if self.data_file_name.is_some() && raw.incompatible_features & feature::DATA_FILE == 0 {
            return Err(Misuse::UnneededDataFile);
        }
        let fault = match &self.backing {
            Backing::Named(name, _) if name.is_empty() => CreateFault::EmptyBackingName,
            Backing::Named(name, _) if name.len() > MAX_BACKING_NAME => CreateFault::BackingNameTooLong(name.len()),
            Backing::Named(..) if raw.autoclear_features & feature::RAW_DATA_FILE != 0 => {
                CreateFault::RawDataFileWithBacking
            }
            _ => return Ok(()),
        };
        Err(Misuse::Create(fault))
    }
}

/// Refuses an image that uses a feature of version 3.
async fn check_downgrade<S: Storage>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let raw = &subject.raw;
    let uses = |feature| raw.incompatible_features & feature != 0;
    if uses(feature::EXTENDED_L2) {
        return Err(Misuse::UsesVersion3("extended L2 entries").into());
    }
    if uses(feature::DATA_FILE) {
        return Err(Misuse::UsesVersion3("an external data file").into());
    }
    let (snapshots, _) = SnapshotTable::of(raw).read(subject.file).await?;
    let is_other = |size: Option<u64>| size.is_some_and(|size| size != subject.disk_size());
    if snapshots.iter().any(|snapshot| snapshot.vm_state_size > u32::MAX.into() || is_other(snapshot.disk_size)) {
        return Err(Misuse::UsesVersion3("snapshots of another size, or with a large VM state").into());
    }
    if uses(feature::COMPRESSION) && has_compressed_clusters(subject).await? {
        return Err(Misuse::UsesVersion3("compressed clusters of another kind than zlib").into());
    }
    Ok(())
}

async fn has_compressed_clusters<S: Storage>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    struct Compressed(bool);
    impl<E> Sink<E> for Compressed {
        fn refer(&mut self, reference: Reference) {
            self.0 |= reference.what == Referred::Compressed;
        }
    }
    let mut compressed = Compressed(false);
    walk(subject, &SnapshotTables::read(subject).await?, &mut compressed).await?;
    Ok(compressed.0)
}

/// Writes the tables and refcounts that the change needs and returns the header that points to them. Returns `None` if
/// the change needs none.
async fn move_tables<S: StorageMut>(
    subject: &Subject<'_, S>,
    wanted: &RawHeader,
    options: &AmendOptions,
) -> Result<Option<RawHeader>, Error<S::Error>> {
    let (old, new) = (subject.raw.version, wanted.version);
    let rewrites = new < old || (new > old && subject.raw.nb_snapshots > 0);
    if !rewrites && wanted.refcount_order == subject.raw.refcount_order {
        return Ok(None);
    }
    let report = check_subject(subject, &mut CheckOptions::new().max_findings(0)).await?;
    if report.corruptions + report.check_errors > 0 {
        return Err(Misuse::NeedsRepair.into());
    }
    let limit = RefcountWidth::new(wanted.refcount_order).max();
    let highest = highest_count(subject).await?;
    if highest.count > limit {
        let offset = subject.offset_of(highest.cluster).0;
        return Err(Misuse::RefcountOverflow { offset, count: highest.count, limit }.into());
    }
    let (mut moved, allocator) = if rewrites {
        // The check reports what version 3 requires of snapshots only if the version is 3.
        let seen = subject.with_header(RawHeader { version: 3, ..subject.raw.clone() });
        let has_backing_file = subject.has_backing_file() || matches!(options.backing, Backing::Named(..));
        rewrite(&seen, Policy { accept_loss: false, without_zero_flags: new < old, has_backing_file }).await?
    } else {
        (subject.raw.clone(), EndAllocator::new(subject.clusters()))
    };
    let tables = (moved.l1_table_offset, moved.nb_snapshots, moved.snapshots_offset);
    moved = wanted.clone();
    (moved.l1_table_offset, moved.nb_snapshots, moved.snapshots_offset) = tables;
    let counted = subject.with_header(moved);
    Ok(Some(write_structure(&counted, &allocator, false).await?))
}

async fn write_header<S: StorageMut>(
    subject: &Subject<'_, S>,
    raw: &RawHeader,
    options: &AmendOptions,
) -> Result<(), Error<S::Error>> {
    let file = subject.file;
    let old = OldHeader::read(file, &subject.raw).await?;
    let (name, format) = match &options.backing {
        Backing::Kept => (old.backing_name.as_slice(), subject.extensions.backing_format()),
        Backing::Removed => (&[][..], None),
        Backing::Named(name, format) => (name.as_bytes(), Some(String::from(format.name()))),
    };
    let data_file_name = options.data_file_name.clone().or_else(|| subject.extensions.data_file_name());
    let changed = ChangedHeader {
        old: &old.bytes,
        old_header: &subject.raw,
        extensions: &subject.extensions,
        name,
        format,
        data_file_name,
        replaced: &[],
    };
    replace_header(file, raw, &changed).await
}
