//! Backing chains that never end, or whose files are not what they are said to be.

use qcow2_web::{
    BackingFile, BackingFormat, BackingRequest, Error, FileFormat, Image, Missing, Unsupported, WithoutBacking,
};

use crate::common::builder::{Builder, Built, field};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::memory::peak_of;
use crate::common::reading::{Always, DiskError, alone, now, open, whole};
use crate::common::{KIB, index};

const SIZE: u64 = 64 * KIB;

fn overlay(format: Option<&str>) -> Built {
    Builder::new(4 * KIB, SIZE).backed_by("base", format).with_data(0, 0x11).build()
}

/// A qcow2 image that a guest could write to the beginning of its raw disk.
fn trap() -> Vec<u8> {
    let mut bytes = Builder::new(512, SIZE).backed_by("/etc/passwd", Some("raw")).build().bytes;
    bytes.resize(index(SIZE), 0);
    bytes
}

fn open_over(image: &Built, base: impl Into<BackingFile<Disk>>) -> Result<Image<Disk>, DiskError> {
    let options = alone().backing(vec![base.into()]);
    now(Image::open(Disk::of(image.bytes.clone()), options))
}

/// QEMU is not asked: it opens such a file until the machine has no more memory.
#[test]
fn an_image_that_is_its_own_backing_file() {
    let disk = Disk::of(overlay(Some("qcow2")).bytes);
    let mut always = Always { disk: disk.clone(), asked: 0 };
    let (error, peak) = peak_of(|| {
        let options = alone().backing(&mut always);
        now(Image::open(disk.clone(), options)).map(|_| ()).unwrap_err()
    });
    assert!(matches!(error, Error::Unsupported(Unsupported::ChainTooLong)), "{error:?}");
    assert_eq!(always.asked, Image::<Disk>::MAX_CHAIN, "asked as often as the chain may be long");
    let requests = disk.reads().len();
    assert!(requests <= 4 * Image::<Disk>::MAX_CHAIN as usize + 4, "{requests} requests");
    assert!(peak < 64 << 20, "{peak} bytes of memory");
}

#[test]
fn names_are_never_followed() {
    let error = open(&Disk::of(overlay(Some("raw")).bytes)).map(|_| ()).unwrap_err();
    let expected = Missing::BackingFile { name: "base".into(), format: Some("raw".into()) };
    assert!(matches!(&error, Error::Missing(missing) if *missing == expected), "{error:?}");
}

#[test]
fn names_are_told_as_they_are() {
    struct Curious(Vec<(u32, String, Option<String>)>);
    impl qcow2_web::BackingResolver<Disk> for &mut Curious {
        async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<qcow2_web::Supply<Disk>, std::io::Error> {
            self.0.push((request.depth, request.name.into(), request.format.map(Into::into)));
            Ok(qcow2_web::Supply::Nothing)
        }
    }
    let names = ["../../etc/passwd", "json:{\"driver\":\"nbd\"}", "nbd://10.0.0.1/x", "a\nb", "käse"];
    for name in names {
        let image = Builder::new(4 * KIB, SIZE).backed_by(name, None).build();
        let mut curious = Curious(Vec::new());
        let options = alone().backing(&mut curious);
        let error = now(Image::open(Disk::of(image.bytes), options)).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "MISSING_BACKING_FILE");
        assert_eq!(curious.0, [(1, name.to_owned(), None)]);
    }
}

#[test]
fn a_guest_cannot_make_its_raw_disk_an_image() {
    // The format is recorded, so the file's contents decide nothing.
    let image = open_over(&overlay(Some("raw")), Disk::of(trap())).unwrap();
    let bytes = now(whole(&image)).unwrap();
    assert_eq!(bytes[4096..], trap()[4096..]);
}

#[test]
fn the_caller_can_say_that_it_is_raw() {
    // No format is recorded, and what is probed would be the trap: the caller's word counts.
    let base = BackingFile { storage: Disk::of(trap()), format: Some(BackingFormat::Raw), data_file: None };
    let image = open_over(&overlay(None), base).unwrap();
    assert_eq!(now(whole(&image)).unwrap()[4096..], trap()[4096..]);
}

#[test]
fn a_trap_that_is_probed_still_opens_no_other_file() {
    let error = open_over(&overlay(None), Disk::of(trap())).map(|_| ()).unwrap_err();
    let expected = Missing::BackingFile { name: "/etc/passwd".into(), format: Some("raw".into()) };
    let Error::InBacking { depth: 1, source } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, Error::Missing(missing) if *missing == expected), "{error:?}");
}

#[test]
fn a_backing_file_of_another_format() {
    let name = || "vmdk".to_owned();
    let error = open_over(&overlay(Some("vmdk")), Disk::of(trap())).map(|_| ()).unwrap_err();
    let Error::InBacking { depth: 1, source } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, Error::Unsupported(Unsupported::BackingFormat { name: found }) if *found == name()));
}

#[test]
fn a_backing_file_that_is_recorded_as_qcow2_and_is_not() {
    let error = open_over(&overlay(Some("qcow2")), Disk::of(vec![7; 4096])).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.depth()), ("NOT_QCOW2", 1));
}

#[test]
fn a_probed_backing_file_of_another_format_is_not_taken_for_raw() {
    let mut vhdx = b"vhdxfile".to_vec();
    vhdx.resize(4096, 0);
    let error = open_over(&overlay(None), Disk::of(vhdx)).map(|_| ()).unwrap_err();
    let Error::InBacking { depth: 1, source } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, Error::Unsupported(Unsupported::Format(FileFormat::Vhdx))));
}

#[test]
fn a_broken_file_deep_in_the_chain_is_named_by_its_depth() {
    let middle = Builder::new(4 * KIB, SIZE).backed_by("deeper", Some("qcow2")).build();
    let broken = Builder::new(4 * KIB, SIZE).build().set_u32(field::CLUSTER_BITS, 3);
    let files = [middle.bytes, broken.bytes].map(|bytes| BackingFile::from(Disk::of(bytes)));
    let options = alone().backing(Vec::from(files));
    let error = now(Image::open(Disk::of(overlay(Some("qcow2")).bytes), options)).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.depth(), error.offset()), ("CORRUPT_HEADER", 2, Some(field::CLUSTER_BITS)));
}

#[test]
fn without_its_backing_file_an_image_reads_as_zeros_there() {
    let image = overlay(Some("qcow2"));
    let opened = now(Image::open(Disk::of(image.bytes.clone()), alone().backing(WithoutBacking))).unwrap();
    assert_eq!(now(whole(&opened)).unwrap(), image.contents(&[]));
}

#[test]
fn a_backing_file_of_no_length() {
    for format in [None, Some("raw")] {
        let image = overlay(format);
        let opened = open_over(&image, Disk::of(Vec::new())).unwrap();
        assert_eq!(now(whole(&opened)).unwrap(), image.contents(&[]));
    }
}

#[test]
fn a_raw_backing_file_of_an_odd_length() {
    let base = vec![0x5a; 4096 + 4096 + 100];
    let image = overlay(Some("raw"));
    let lab = Lab::new();
    lab.put("base", &base);
    lab.put("top.qcow2", &image.bytes);
    let opened = open_over(&image, Disk::of(base.clone())).unwrap();
    let contents = now(whole(&opened)).unwrap();
    assert_eq!(contents, image.contents(&base));
    assert_eq!(contents, lab.contents("top.qcow2"));
}
