//! What hostile file systems cost: an error, and little else.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use qcow2_web_files::fs::Kind;
use qcow2_web_files::{Code, Error, Volume};
use tempfile::TempDir;

use crate::lab::{self, Disk, dos_tree, unix_tree};

fn code<T>(result: Result<T, Error>) -> Code {
    match result {
        Err(Error::Failed(code, _)) => code,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it succeeded"),
    }
}

#[test]
fn links_are_followed_within_the_volume_and_loops_end() {
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    unix_tree(tree.path());
    symlink("a2/x", tree.path().join("a1")).unwrap();
    symlink("a1/y", tree.path().join("a2")).unwrap();
    let disk = Disk::open(&lab::ext(folder.path(), tree.path(), "ext4", &[]));
    let mut volume = disk.volume("disk");
    let mut size =
        |path: &str| disk.on(&mut volume, |volume| volume.stat(path.as_bytes(), true)).map(|found| found.size);
    assert_eq!(size("/links/relative"), Ok(4097));
    assert_eq!(size("/links/absolute"), Ok(4097));
    assert_eq!(size("/links/to a directory/511.bin"), Ok(511));
    assert_eq!(size("links/to a directory/../links/hard"), Ok(4096));
    assert_eq!(size("/links/above the root"), Ok(1));
    assert_eq!(size("/../../sizes/../sizes/./1.bin"), Ok(1));
    assert_eq!(code(size("/links/dangling")), Code::NotFound);
    assert_eq!(code(size("/links/loop")), Code::Limit);
    assert_eq!(code(size("/a1")), Code::Limit);
    assert_eq!(code(size("/sizes/1.bin/x")), Code::NotADirectory);
    assert_eq!(code(size(&"/deep".repeat(1000))), Code::NotFound);
    assert_eq!(code(size(&"x/".repeat(100_000))), Code::Limit);
    assert_eq!(code(disk.on(&mut volume, |volume| volume.list(b"/sizes/1.bin").map(drop))), Code::NotADirectory);
    assert_eq!(code(disk.on(&mut volume, |volume| volume.read(b"/sizes", 0, 1))), Code::IsADirectory);
    assert_eq!(code(disk.on(&mut volume, |volume| volume.read_link(b"/sizes"))), Code::NotALink);
}

/// Lists and reads all that it can, up to limits, and counts.
fn read_all(disk: &Disk, volume: &mut Volume, path: &[u8], depth: usize, budget: &mut usize) {
    let Ok(mut listing) = disk.on(volume, |volume| volume.list(path)) else { return };
    while let Ok(entries) = disk.on(volume, |volume| volume.next(&mut listing, 100)) {
        if entries.is_empty() || *budget == 0 {
            return;
        }
        for entry in entries {
            *budget = budget.saturating_sub(1);
            let path = [path, b"/", &entry.name].concat();
            if *budget == 0 {
                return;
            }
            match entry.kind {
                Kind::Directory if depth < 30 => read_all(disk, volume, &path, depth + 1, budget),
                Kind::File => drop(disk.on(volume, |volume| volume.read(&path, 0, 1 << 20))),
                Kind::Link => drop(disk.on(volume, |volume| volume.read_link(&path))),
                _ => {}
            }
        }
    }
}

/// Damages the blocks of metadata that a listing reads, again and again, and reads all files each time.
fn survives(image: &Path, rounds: u64) -> usize {
    let disk = Disk::open(image);
    let mut volume = disk.volume("disk");
    read_all(&disk, &mut volume, b"/names", 0, &mut 1000);
    let read = disk.requests.borrow().clone();
    let original = fs::read(image).unwrap();
    let file = fs::OpenOptions::new().write(true).open(image).unwrap();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut panics = 0;
    for _ in 0..rounds {
        let mut changed = Vec::new();
        for _ in 0..=random(8) {
            let (start, end) = read[usize::try_from(random(read.len() as u64)).unwrap()];
            // Not in blocks of zeros: nothing is read from most of those.
            let at =
                (0..64).map(|_| start + random(end - start)).find(|at| original[usize::try_from(*at).unwrap()] != 0);
            let Some(at) = at else { continue };
            let bytes = [0, 0xff, 0x7f, 0x80, 1][usize::try_from(random(5)).unwrap()];
            let length = [1, 1, 2, 4, 8][usize::try_from(random(5)).unwrap()].min(end - at);
            file.write_all_at(&vec![bytes; usize::try_from(length).unwrap()], at).unwrap();
            changed.push((at, length));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let disk = Disk::open(image);
            let scan = disk.scan();
            let Some(found) = scan.volumes.into_iter().next() else { return };
            let Some(recognised) = found.recognised else { return };
            let mut volume = Volume::new(disk.cache.clone(), found.device, recognised.kind);
            read_all(&disk, &mut volume, b"/", 0, &mut 200);
        }));
        panics += usize::from(outcome.is_err());
        for (at, length) in changed {
            let range = usize::try_from(at).unwrap()..usize::try_from(at + length).unwrap();
            file.write_all_at(&original[range], at).unwrap();
        }
    }
    panics
}

#[test]
fn damaged_file_systems_cost_errors() {
    let (folder, unix, dos) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    unix_tree(unix.path());
    dos_tree(dos.path());
    let iso = folder.path().join("disc.iso");
    lab::run("genisoimage", &["-quiet", "-R", "-J", "-D", "-o", lab::text(&iso), lab::text(dos.path())]);
    let udf = folder.path().join("udf.iso");
    lab::run("genisoimage", &["-quiet", "-udf", "-D", "-o", lab::text(&udf), lab::text(dos.path())]);
    let mut images = vec![
        lab::ext(folder.path(), unix.path(), "ext4", &[]),
        lab::fat(folder.path(), dos.path(), "16", 32 << 20),
        iso,
        udf,
        lab::btrfs(folder.path(), unix.path()),
    ];
    if lab::can_mount() {
        images.push(lab::ntfs(folder.path(), dos.path()));
        images.push(lab::exfat(folder.path(), dos.path()));
        images.push(lab::xfs(folder.path(), unix.path(), &[]));
    }
    for image in images {
        let panics = survives(&image, 60);
        assert_eq!(panics, 0, "{}", image.display());
    }
}
