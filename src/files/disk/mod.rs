//! The contents of a disk: partitions, volume groups, containers, and the file systems in them.

mod lvm;
mod table;

use std::rc::Rc;

use crate::probe::{Recognised, Support, Type, recognise};
use crate::source::Device;

pub(crate) use lvm::id as lvm_id;
pub use table::{Partition, Scheme};

/// A part of the disk that can hold files.
pub struct Found {
    /// An identifier that is stable while the disk's layout is, such as `p1`, `p2/content` or `vg/root`.
    pub id: String,
    /// The partition, if it is one.
    pub partition: Option<Partition>,
    /// Its offset on the disk, if it is one contiguous range.
    pub offset: Option<u64>,
    /// Its bytes.
    pub device: Rc<dyn Device>,
    /// The recognised contents, if any.
    pub recognised: Option<Recognised>,
    /// What is wrong with it, or why it cannot be read. It can be read if its contents were recognised.
    pub problem: Option<String>,
    /// Whether it is a logical volume.
    pub is_logical: bool,
}

/// The result of scanning a disk.
#[derive(Default)]
pub struct Scan {
    /// The partition table's kind.
    pub scheme: Option<Scheme>,
    /// The volumes, in the order of the disk.
    pub volumes: Vec<Found>,
    /// The problems of the disk's layout.
    pub problems: Vec<String>,
}

/// Finds the volumes of `disk`, in locked containers too if `keys` opens them.
pub fn scan(disk: &Rc<dyn Device>, keys: &[Key]) -> Scan {
    let mut scan = partitions(disk);
    let mut locked: Vec<&Key> = keys.iter().collect();
    loop {
        // A container may hold a physical volume, and a logical volume may be a container.
        lvm::add_volumes(&mut scan);
        let before = locked.len();
        locked.retain(|key| {
            let Some(at) = scan.volumes.iter().position(|found| found.id == key.id) else { return true };
            let device = (key.open)(scan.volumes[at].device.clone());
            scan.volumes.insert(at + 1, content_of(&key.id, device));
            false
        });
        if locked.len() == before {
            return scan;
        }
    }
}

/// The key to a container.
pub struct Key {
    /// The identifier of the container.
    pub id: String,
    /// Returns the contents of the container, given its bytes.
    pub open: Opened,
}

/// Makes the device of a container's contents from the device of the container.
pub type Opened = Box<dyn Fn(Rc<dyn Device>) -> Rc<dyn Device>>;

fn content_of(container: &str, device: Rc<dyn Device>) -> Found {
    let recognised = recognise(&*device);
    let id = format!("{container}/content");
    Found { id, partition: None, offset: None, device, recognised, problem: None, is_logical: false }
}

fn partitions(disk: &Rc<dyn Device>) -> Scan {
    let mut scan = Scan::default();
    let whole = recognise(&**disk);
    // A file system whose boot sector is the first sector leaves no room for a partition table.
    let covers_table = whole.as_ref().is_some_and(|whole| is_in_first_sector(whole.kind));
    if !covers_table {
        match table::read(disk) {
            Ok(Some(table)) => {
                scan.scheme = Some(table.scheme);
                scan.problems.extend(table.problem);
                scan.volumes.extend(table.partitions.into_iter().map(|partition| partition_of(disk, partition)));
            }
            Ok(None) => {}
            Err(problem) => scan.problems.push(problem),
        }
    }
    // An optical disc image can have partitions too, to boot from a USB stick. Other file systems next to a table are
    // remains.
    let is_disc = whole.as_ref().is_some_and(|whole| matches!(whole.kind, Type::Iso9660 | Type::Udf));
    if is_disc {
        scan.volumes.retain(|volume| volume.offset != Some(0));
    }
    if scan.volumes.is_empty() || is_disc {
        scan.volumes.insert(0, whole_disk(disk, whole));
    }
    scan
}

fn is_in_first_sector(kind: Type) -> bool {
    kind.support() == Support::Files
        && matches!(kind, Type::Fat12 | Type::Fat16 | Type::Fat32 | Type::ExFat | Type::Ntfs | Type::Xfs)
        || matches!(kind, Type::Luks1 | Type::Luks2 | Type::BitLocker | Type::ReFs | Type::SquashFs)
}

fn whole_disk(disk: &Rc<dyn Device>, recognised: Option<Recognised>) -> Found {
    Found {
        id: "disk".into(),
        partition: None,
        offset: Some(0),
        device: disk.clone(),
        recognised,
        problem: None,
        is_logical: false,
    }
}

fn partition_of(disk: &Rc<dyn Device>, partition: Partition) -> Found {
    let device: Rc<dyn Device> = Rc::new(crate::source::Slice::new(disk.clone(), partition.offset, partition.size));
    let past = partition.offset.saturating_add(partition.size).saturating_sub(disk.size()).min(partition.size);
    let problem = (past > 0).then(|| {
        let size = partition.size;
        format!("the disk ends before the partition: {past} of its {size} bytes are missing and cannot be read")
    });
    let recognised = recognise(&*device);
    Found {
        id: format!("p{}", partition.number),
        offset: Some(partition.offset),
        device,
        recognised,
        problem,
        partition: Some(partition),
        is_logical: false,
    }
}
