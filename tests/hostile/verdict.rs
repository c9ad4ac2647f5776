//! What both sides say of a broken image.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{Corrupt, Error, Image, OpenOptions, Problem, Unsupported, inspect};

use crate::common::builder::Built;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::memory::peak_of;
use crate::common::reading::{DiskError, assert_same, extents, has_hexadecimal_offsets, now, open, refused, whole};

/// Memory that no broken image may exceed, beside the caches, which these small images never fill.
pub const MEMORY: usize = 16 << 20;
/// Requests that no small broken image may exceed: to open it, to list it and to read all of it.
pub const REQUESTS: usize = 400;

const NAME: &str = "hostile.qcow2";

impl From<Corrupt> for Refusal {
    fn from(corrupt: Corrupt) -> Self {
        Self(corrupt.into())
    }
}

impl From<Unsupported> for Refusal {
    fn from(unsupported: Unsupported) -> Self {
        Self(unsupported.into())
    }
}

/// Why an image is refused.
#[derive(Debug)]
pub struct Refusal(Problem);

/// Opens and reads all of the image, within the bounds: the disk's contents, or the first error.
#[track_caller]
pub fn read_bounded(disk: &Disk) -> Result<Vec<u8>, DiskError> {
    let before = disk.reads().len();
    let (result, peak) = peak_of(|| {
        let image = open(disk)?;
        now(image.info())?;
        now(extents(&image))?;
        now(whole(&image))
    });
    let size = result.as_ref().map_or(0, Vec::len);
    assert!(peak < MEMORY + size, "{peak} bytes of memory");
    let requests = disk.reads().len() - before;
    assert!(requests < REQUESTS, "{requests} requests");
    inspect_bounded(disk);
    result
}

/// Inspecting never fails but for the storage, and is bounded too.
#[track_caller]
pub fn inspect_bounded(disk: &Disk) {
    let before = disk.reads().len();
    let (inspection, peak) = peak_of(|| now(inspect(disk)).unwrap());
    assert_eq!(inspection.file_size, disk.length());
    assert!(peak < MEMORY, "{peak} bytes of memory to inspect");
    let requests = disk.reads().len() - before;
    assert!(requests < REQUESTS, "{requests} requests to inspect");
}

/// We refuse the image by that error; so that it also is the first problem that inspecting finds where it is one of
/// opening.
#[track_caller]
pub fn we_refuse(image: &Built, refusal: impl Into<Refusal>) {
    let Refusal(expected) = refusal.into();
    let disk = Disk::of(image.bytes.clone());
    let error = refused(read_bounded(&disk));
    assert_eq!(problem_of(&error), expected);
    let sentence = error.to_string();
    assert!(!sentence.is_empty() && has_hexadecimal_offsets(&sentence), "{sentence}");
    assert_eq!(error.code(), expected.code());
    if open(&disk).is_err() {
        let problems = now(inspect(&disk)).unwrap().problems;
        assert!(problems.contains(&expected), "inspecting finds it too: {problems:?}");
    }
}

#[track_caller]
pub fn both_refuse(image: &Built, refusal: impl Into<Refusal>) {
    we_refuse(image, refusal);
    let (lab, said) = ask_qemu(image);
    assert!(said.is_err(), "QEMU reads it");
    drop(lab);
}

/// We are stricter than QEMU, for the reason given.
#[track_caller]
pub fn only_we_refuse(image: &Built, refusal: impl Into<Refusal>, reason: &str) {
    we_refuse(image, refusal);
    let (_lab, said) = ask_qemu(image);
    assert!(said.is_ok(), "QEMU refuses it as well ({reason}): {said:?}");
}

/// We are more lenient than QEMU, for the reason given, and read `contents`.
#[track_caller]
pub fn only_qemu_refuses(image: &Built, contents: &[u8], reason: &str) {
    let ours = read_bounded(&Disk::of(image.bytes.clone())).unwrap();
    assert_same(&ours, contents, reason);
    let (_lab, said) = ask_qemu(image);
    assert!(said.is_err(), "QEMU reads it as well: {reason}");
}

/// We read the active disk, which doesn't need what is wrong, say what that is, and write nothing to it.
#[track_caller]
pub fn we_only_read(image: &Built, contents: &[u8], problem: impl Into<Refusal>) {
    let Refusal(expected) = problem.into();
    let disk = Disk::of(image.bytes.clone());
    let ours = read_bounded(&disk).unwrap_or_else(|error| panic!("{error}"));
    assert_same(&ours, contents, "against the plan");
    let image = open(&disk).unwrap();
    assert_eq!(now(image.info()).unwrap().problems, std::slice::from_ref(&expected));
    if image.problems().contains(&expected) {
        let inspected = now(inspect(&disk)).unwrap().problems;
        assert!(inspected.contains(&expected), "inspecting finds it too: {inspected:?}");
    }
}

/// As [`we_only_read`], where opening the image shows it: so the image is not opened for writing.
#[track_caller]
pub fn we_do_not_write(image: &Built, contents: &[u8], problem: impl Into<Refusal>) {
    let Refusal(expected) = problem.into();
    we_only_read(image, contents, Refusal(expected.clone()));
    let storage = MemoryStorage::from(image.bytes.clone());
    let error = now(Image::open_writable(&storage, OpenOptions::new())).map(drop).unwrap_err();
    assert_eq!(error.code(), expected.code());
    assert!(storage.into_bytes() == image.bytes, "nothing is written");
}

/// As [`we_do_not_write`], and QEMU doesn't even read it.
#[track_caller]
pub fn only_we_read(image: &Built, contents: &[u8], problem: impl Into<Refusal>) {
    we_do_not_write(image, contents, problem);
    let (_lab, said) = ask_qemu(image);
    assert!(said.is_err(), "QEMU reads it as well");
}

/// Both read it, and the same.
#[track_caller]
pub fn both_read(image: &Built) -> Vec<u8> {
    let ours = read_bounded(&Disk::of(image.bytes.clone())).unwrap_or_else(|error| panic!("{error}"));
    let (_lab, said) = ask_qemu(image);
    assert_same(&ours, &said.unwrap(), "against QEMU");
    ours
}

/// Both read it, as `contents`.
#[track_caller]
pub fn both_read_as(image: &Built, contents: &[u8]) {
    assert_same(&both_read(image), contents, "against the plan");
}

/// What `qemu-img convert` makes of the image.
pub fn ask_qemu(image: &Built) -> (Lab, Result<Vec<u8>, String>) {
    let lab = Lab::new();
    lab.put(NAME, &image.bytes);
    let said = lab.try_contents(NAME);
    (lab, said)
}

/// The problem of an error that is the image's own.
#[track_caller]
pub fn problem_of(error: &DiskError) -> Problem {
    match error {
        Error::Corrupt(corrupt) => Problem::Corrupt(*corrupt),
        Error::Unsupported(unsupported) => Problem::Unsupported(unsupported.clone()),
        other => panic!("not a problem of the image: {other:?}"),
    }
}

/// Opens an image that has to open.
#[track_caller]
pub fn opened(image: &Built) -> Image<Disk> {
    open(&Disk::of(image.bytes.clone())).unwrap_or_else(|error| panic!("{error}"))
}
