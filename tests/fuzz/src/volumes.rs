//! Damaged file systems: an input changes bytes that a reader of a sound one needs.
//!
//! The sound images are made by `make-volumes.mjs`. An input is a list of changes. So it is short, every byte of it
//! counts, and the empty input is the sound image.

mod changed;
mod sound;

use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, set_hook};
use std::process::abort;
use std::rc::Rc;
use std::sync::{LazyLock, Mutex};

use qcow2_web_files::disk::{Scan, scan};
use qcow2_web_files::fs::Kind;
use qcow2_web_files::probe::Support;
use qcow2_web_files::source::Device;
use qcow2_web_files::{Content, Error, Extent, Result, Volume};

use crate::limits::within_memory;
use changed::Changed;
use sound::Sound;

/// What a page may lose to a damaged volume.
const MEMORY: usize = 512 << 20;
const MOST_ENTRIES: usize = 48;
const DEEPEST: usize = 8;
const LONGEST_READ: usize = 4 << 10;
const LONGEST_EXTENTS: usize = 100 << 10;

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        pub fn $name(input: &[u8]) {
            static SOUND: LazyLock<Sound> = LazyLock::new(|| Sound::load(stringify!($name)));
            damage(&SOUND, input);
        }
    )*};
}

targets! {
    /// ext2, ext3 and ext4.
    ext
    /// FAT.
    fat
    /// exFAT.
    exfat
    /// NTFS.
    ntfs
    /// ISO 9660 with Rock Ridge and Joliet.
    iso
    /// UDF.
    udf
    /// btrfs.
    btrfs
    /// XFS.
    xfs
    /// HFS+.
    hfsplus
    /// Partition tables, and LVM2 in a partition.
    partitions
}

fn damage(sound: &'static Sound, input: &[u8]) {
    report_panics();
    let disk = Changed::new(sound, input);
    within_memory(MEMORY, || {
        // A parser that panics costs the volume and nothing else: its worker ends. What this project wrote does not panic.
        let _ = catch_unwind(AssertUnwindSafe(|| read(&disk)));
    });
}

/// Reads what the disk has, up to limits.
fn read(disk: &Rc<Changed>) {
    let cache = disk.cache();
    let device: Rc<dyn Device> = cache.clone();
    let Scan { volumes, .. } = cache.call(|| Ok(scan(&device, &[]))).expect("the disk is read at once");
    for found in volumes.into_iter().take(4) {
        let Some(recognised) = found.recognised.filter(|known| known.kind.support() == Support::Files) else {
            continue;
        };
        let mut volume = Volume::new(cache.clone(), found.device, recognised.kind);
        let mut left = MOST_ENTRIES;
        let _ = checked(volume.label());
        read_directory(&mut volume, b"", DEEPEST, &mut left);
        let _ = checked(volume.usage());
    }
}

fn read_directory(volume: &mut Volume, path: &[u8], depth: usize, left: &mut usize) {
    let Ok(mut listing) = checked(volume.list(path)) else { return };
    while let Ok(entries) = checked(volume.next(&mut listing, 16)) {
        if entries.is_empty() {
            return;
        }
        for entry in entries {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let path = [path, b"/", &entry.name].concat();
            let _ = checked(volume.stat(&path, true));
            match entry.kind {
                Kind::Directory if depth > 0 => read_directory(volume, &path, depth - 1, left),
                Kind::Directory | Kind::Other => {}
                Kind::Link => drop(checked(volume.read_link(&path))),
                Kind::File => {
                    let size = entry.metadata.map_or(0, |metadata| metadata.size);
                    for offset in [0, size.saturating_sub(1)] {
                        if let Ok(bytes) = checked(volume.read(&path, offset, LONGEST_READ)) {
                            assert!(bytes.len() <= LONGEST_READ, "{} bytes instead of {LONGEST_READ}", bytes.len());
                        }
                        check_extents(volume, &path, offset);
                    }
                }
            }
        }
    }
}

/// What the extents of a file hold must be what a read returns.
fn check_extents(volume: &mut Volume, path: &[u8], offset: u64) {
    let Ok(extents) = checked(volume.extents(path, offset, LONGEST_EXTENTS)) else { return };
    let length: usize = extents.iter().map(|extent| extent.length).sum();
    assert!(length <= LONGEST_EXTENTS, "{length} bytes instead of {LONGEST_EXTENTS}");
    let bytes = checked(volume.read(path, offset, LONGEST_EXTENTS)).expect("what has extents can be read");
    assert_eq!(bytes.len(), length);
    let mut at = 0;
    for Extent { length, content } in extents {
        let part = &bytes[at..at + length];
        match content {
            Content::Disk(_) => {}
            Content::Zeros => assert!(part.iter().all(|byte| *byte == 0), "no hole at {at}"),
            Content::Bytes(found) => assert!(found == part, "other bytes at {at}"),
        }
        at += length;
    }
}

/// A disk that is read at once needs no second run.
fn checked<T>(result: Result<T>) -> Result<T> {
    assert!(!matches!(result, Err(Error::Need(_))), "bytes are missing");
    result
}

/// Ends the program where the code of this project panics. Names each other place once.
fn report_panics() {
    static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static HOOK: LazyLock<()> = LazyLock::new(|| {
        set_hook(Box::new(|info: &PanicHookInfo<'_>| {
            let place = info.location().map(Location::to_string).unwrap_or_default();
            if !place.contains("/registry/") && !place.starts_with("/rustc/") && !place.contains("/library/") {
                eprintln!("{info}");
                abort();
            }
            let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !known.contains(&place) {
                eprintln!("a parser panics, which costs the volume: {info}");
                known.push(place);
            }
        }));
    });
    *HOOK
}
