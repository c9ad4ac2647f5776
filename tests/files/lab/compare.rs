//! Compares a volume with the tree that it was made from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use qcow2_web_files::fs::Kind;
use qcow2_web_files::{Content, Entry, Extent, Volume};

use super::Disk;

/// How many entries a call asks for, and how many bytes: odd ones, so that calls end anywhere.
const ENTRIES: usize = 97;
const BYTES: usize = 1_000_003;

/// Compares everything that Unix keeps of a file.
pub(crate) fn compare(disk: &Disk, volume: &mut Volume, tree: &Path) {
    assert!(Compare::new(disk, volume, true).directory(tree, b"/") > 400);
}

/// Compares everything that Unix keeps of a file, on a volume whose contents are partly decrypted.
pub(crate) fn compare_decrypted(disk: &Disk, volume: &mut Volume, tree: &Path) {
    assert!(Compare { is_parsed: true, ..Compare::new(disk, volume, true) }.directory(tree, b"/") > 400);
}

/// Compares names, kinds and contents.
pub(crate) fn compare_dos(disk: &Disk, volume: &mut Volume, tree: &Path) {
    assert!(Compare::new(disk, volume, false).directory(tree, b"/") > 400);
}

/// Compares the few files of a tree, whose contents may have to be decompressed.
pub(crate) fn compare_contents(disk: &Disk, volume: &mut Volume, tree: &Path, is_parsed: bool) {
    assert!(Compare { is_parsed, ..Compare::new(disk, volume, false) }.directory(tree, b"/") > 0);
}

struct Compare<'a> {
    disk: &'a Disk,
    volume: &'a mut Volume,
    unix: bool,
    /// Whether contents may come from the parser.
    is_parsed: bool,
    names: usize,
}

impl<'a> Compare<'a> {
    fn new(disk: &'a Disk, volume: &'a mut Volume, unix: bool) -> Self {
        Self { disk, volume, unix, is_parsed: false, names: 0 }
    }

    fn directory(&mut self, real: &Path, path: &[u8]) -> usize {
        let expected: BTreeMap<Vec<u8>, PathBuf> = fs::read_dir(real)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().as_bytes().to_vec(), path))
            .collect();
        let mut found = BTreeMap::new();
        let mut listing = self.disk.on(self.volume, |volume| volume.list(path)).unwrap();
        loop {
            let entries = self.disk.on(self.volume, |volume| volume.next(&mut listing, ENTRIES)).unwrap();
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                assert!(found.insert(entry.name.clone(), entry).is_none(), "{name} is listed twice");
            }
        }
        // What a file system has for itself in its root.
        if path == b"/" {
            for own in ["lost+found", "System Volume Information"] {
                found.remove(own.as_bytes());
            }
        }
        let lossy = |names: Vec<&Vec<u8>>| {
            names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(lossy(found.keys().collect()), lossy(expected.keys().collect()), "{}", real.display());
        for (name, real) in expected {
            let mut path = path.to_vec();
            if !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(&real, &path, &found[&name]);
        }
        self.names
    }

    fn entry(&mut self, real: &Path, path: &[u8], entry: &Entry) {
        self.names += 1;
        let shown = real.display();
        let expected = fs::symlink_metadata(real).unwrap();
        let metadata = entry.metadata.clone().unwrap_or_else(|problem| panic!("{shown}: {problem}"));
        let alone = self.disk.on(self.volume, |volume| volume.stat(path, false)).unwrap();
        assert_eq!((entry.kind, alone.kind, alone.size), (metadata.kind, metadata.kind, metadata.size), "{shown}");
        assert_eq!(entry.kind, Kind::of_mode(expected.mode()), "{shown}");
        if self.unix {
            let of = |metadata: &qcow2_web_files::fs::Metadata| (metadata.mode, metadata.uid, metadata.gid);
            let own = (Some(expected.mode() & 0o7777), Some(expected.uid()), Some(expected.gid()));
            assert_eq!(of(&alone), own, "{shown}");
            assert_eq!(alone.modified.map(|time| time.seconds), Some(expected.mtime()), "{shown}");
            if let Some(links) = alone.links.filter(|_| entry.kind == Kind::File) {
                assert_eq!(links, expected.nlink(), "{shown}");
            }
        }
        match entry.kind {
            Kind::Directory => {
                self.directory(real, path);
            }
            Kind::Link => {
                let target = self.disk.on(self.volume, |volume| volume.read_link(path)).unwrap();
                assert_eq!(target, fs::read_link(real).unwrap().as_os_str().as_bytes(), "{shown}");
            }
            _ => {
                assert_eq!(metadata.size, expected.len(), "{shown}");
                self.content(&fs::read(real).unwrap(), path, &shown.to_string());
            }
        }
    }

    fn content(&mut self, expected: &[u8], path: &[u8], shown: &str) {
        let mut found = Vec::new();
        loop {
            let offset = found.len() as u64;
            let bytes = self.disk.on(self.volume, |volume| volume.read(path, offset, BYTES)).unwrap();
            if bytes.is_empty() {
                break;
            }
            found.extend_from_slice(&bytes);
        }
        let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
        assert_eq!((found.len(), differs), (expected.len(), None), "{shown}: the content differs");
        self.extents(expected, path, shown);
        // From the middle, without what comes before.
        let middle = expected.len() / 2 + 1;
        let bytes = self.disk.on(self.volume, |volume| volume.read(path, middle as u64, 1000)).unwrap();
        assert!(
            bytes == expected[middle.min(expected.len())..(middle + 1000).min(expected.len())],
            "{shown}: from its middle"
        );
    }

    /// Compares what is where the extents of a file are. Only the edges of a large file may come from the parser.
    fn extents(&mut self, expected: &[u8], path: &[u8], shown: &str) {
        let mut at = 0;
        let mut parsed = 0;
        while at < expected.len() {
            let extents = self.disk.on(self.volume, |volume| volume.extents(path, at as u64, BYTES)).unwrap();
            assert!(!extents.is_empty(), "{shown}: nothing at {at}");
            for Extent { length, content } in extents {
                let expected = &expected[at..at + length];
                match content {
                    Content::Disk(offset) => {
                        let mut bytes = vec![0; length];
                        self.disk.read(offset, &mut bytes);
                        assert!(bytes == expected, "{shown}: {length} bytes at {at} are not at {offset}");
                    }
                    Content::Zeros => assert!(expected.iter().all(|byte| *byte == 0), "{shown}: no hole at {at}"),
                    Content::Bytes(bytes) => {
                        assert!(bytes == expected, "{shown}: {length} bytes at {at} differ");
                        parsed += length;
                    }
                }
                at += length;
            }
        }
        let most = expected.len().div_ceil(BYTES) * 8192;
        assert!(parsed <= most || self.is_parsed, "{shown}: {parsed} bytes from the parser");
        let after = self.disk.on(self.volume, |volume| volume.extents(path, at as u64, BYTES)).unwrap();
        assert_eq!(after, [], "{shown}");
    }
}
