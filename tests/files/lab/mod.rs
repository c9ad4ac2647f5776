//! What the tests share.

mod compare;
mod images;
mod tree;

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use qcow2_web_files::disk::{self, Key, Scan};
use qcow2_web_files::source::Device;
use qcow2_web_files::{Cache, Error, Result, Volume};

pub(crate) use compare::{compare, compare_contents, compare_decrypted, compare_dos};
pub(crate) use images::*;
pub(crate) use tree::{content, dos_tree, unix_tree};

/// An image that is read as a browser reads it: each miss ends the call, is provided, and the call runs again.
pub(crate) struct Disk {
    file: File,
    size: u64,
    pub(crate) cache: Rc<Cache>,
    /// The ranges that were provided, in order.
    pub(crate) requests: RefCell<Vec<(u64, u64)>>,
}

impl Disk {
    pub(crate) fn open(image: &Path) -> Self {
        let file = File::open(image).unwrap();
        let size = file.metadata().unwrap().len();
        Self { file, size, cache: Rc::new(Cache::new(size, None)), requests: RefCell::default() }
    }

    /// Runs a call of a volume until nothing is missing.
    pub(crate) fn on<T>(&self, volume: &mut Volume, mut operation: impl FnMut(&mut Volume) -> Result<T>) -> Result<T> {
        loop {
            match operation(volume) {
                Err(Error::Need(range)) => self.provide(range),
                other => return other,
            }
        }
    }

    /// Runs an operation on the whole disk until nothing is missing.
    pub(crate) fn call<T>(&self, operation: impl Fn(&Rc<dyn Device>) -> Result<T>) -> Result<T> {
        let device: Rc<dyn Device> = self.cache.clone();
        loop {
            match self.cache.call(|| operation(&device)) {
                Err(Error::Need(range)) => self.provide(range),
                other => return other,
            }
        }
    }

    /// Reads bytes of the image.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        self.file.read_exact_at(into, offset).unwrap();
    }

    fn provide(&self, range: Range<u64>) {
        assert!(range.start < range.end && range.end <= self.size, "{range:?} of {}", self.size);
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        self.file.read_exact_at(&mut bytes, range.start).unwrap();
        self.requests.borrow_mut().push((range.start, range.end));
        self.cache.provide(range.start, &bytes);
    }

    pub(crate) fn scan(&self) -> Scan {
        self.scan_with(&[])
    }

    /// Scans the disk with keys to containers.
    pub(crate) fn scan_with(&self, keys: &[Key]) -> Scan {
        let disk: Rc<dyn Device> = self.cache.clone();
        loop {
            match self.cache.call(|| Ok(disk::scan(&disk, keys))) {
                Err(Error::Need(range)) => self.provide(range),
                other => return other.unwrap(),
            }
        }
    }

    /// The volume named `id`.
    pub(crate) fn volume(&self, id: &str) -> Volume {
        self.volume_of(self.scan(), id)
    }

    /// The volume named `id` of a scan.
    pub(crate) fn volume_of(&self, scan: Scan, id: &str) -> Volume {
        let ids: Vec<_> = scan.volumes.iter().map(|volume| volume.id.clone()).collect();
        let found =
            scan.volumes.into_iter().find(|volume| volume.id == id).unwrap_or_else(|| panic!("{id} of {ids:?}"));
        let kind = found.recognised.unwrap_or_else(|| panic!("{id} is not recognised")).kind;
        Volume::new(self.cache.clone(), found.device, kind)
    }
}

/// Runs a program of the system, and fails with what it wrote if it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    // Debian's folder for administration is not on the path of all users.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output =
        Command::new(program).args(args).env("PATH", path).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run `npm run setup files`"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
