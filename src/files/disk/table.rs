//! Partition tables, read by the crate hadris-part.

use std::rc::Rc;

use hadris_fs::ErrorKind;
use hadris_part::{GptCopy, PartitionKind, PartitionTable, TableKind};

use crate::fs::disk_reader;
use crate::source::Device;

/// The kind of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A master boot record, with logical partitions.
    Mbr,
    /// A GUID partition table.
    Gpt,
}

/// An entry of a partition table.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// The number, as in Linux: logical partitions start at 5.
    pub number: usize,
    /// The offset in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The name in a GUID partition table.
    pub name: Option<String>,
    /// The type: two hexadecimal digits of a master boot record, or a GUID.
    pub kind: String,
    /// The GUID of the partition itself.
    pub uuid: Option<String>,
}

pub(super) struct Table {
    pub(super) scheme: Scheme,
    pub(super) partitions: Vec<Partition>,
    pub(super) problem: Option<String>,
}

/// Reads the partition table of `disk`. `Ok(None)` if there is none, and an error in words if it is damaged.
pub(super) fn read(disk: &Rc<dyn Device>) -> Result<Option<Table>, String> {
    // Disks with sectors of 4096 bytes use them as the unit, and nothing on the disk records that.
    let mut result = read_with(disk, 512);
    if !matches!(&result, Ok(Some(table)) if !table.partitions.is_empty())
        && let Ok(Some(table)) = read_with(disk, 4096)
        && table.scheme == Scheme::Gpt
    {
        result = Ok(Some(table));
    }
    result
}

fn read_with(disk: &Rc<dyn Device>, sector: u32) -> Result<Option<Table>, String> {
    let mut reader = disk_reader(disk.clone(), sector);
    let found = match hadris_part::sync::read(&mut reader) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotRecognized | ErrorKind::Io) => return Ok(None),
        Err(error) => return Err(format!("the partition table cannot be read: {error}")),
    };
    let scheme = if found.table().kind() == TableKind::Mbr { Scheme::Mbr } else { Scheme::Gpt };
    let damaged = match found.table() {
        PartitionTable::Gpt(gpt) => gpt.damaged_copy(),
        PartitionTable::Hybrid(hybrid) => hybrid.gpt().damaged_copy(),
        _ => None,
    };
    let problem = damaged.map(|copy| match copy {
        GptCopy::Primary => {
            "the primary partition table is damaged; its backup at the end of the disk is used".to_owned()
        }
        _ => "the backup of the partition table, at the end of the disk, is damaged or missing".to_owned(),
    });
    let partitions = found.partitions().filter(|partition| !partition.is_empty()).map(|partition| Partition {
        number: partition.slot() + 1,
        offset: partition.start().saturating_mul(sector.into()),
        size: partition.size_bytes(),
        name: partition.name().map(ToString::to_string).filter(|name| !name.is_empty()),
        kind: match partition.kind() {
            PartitionKind::Mbr(kind) => format!("{:02x}", kind.code()),
            PartitionKind::Gpt(guid) => guid.to_string().to_lowercase(),
            _ => String::new(),
        },
        uuid: partition.unique_guid().map(|guid| guid.to_string().to_lowercase()),
    });
    Ok(Some(Table { scheme, partitions: partitions.collect(), problem }))
}
