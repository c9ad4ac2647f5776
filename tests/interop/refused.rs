//! What is not read, and says so by name: other formats.

use qcow2_web::{Error, FileFormat, Unsupported, inspect};

use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{now, open};

#[track_caller]
fn assert_refused(lab: &Lab, name: &str, expected: &Unsupported) {
    let disk = Disk::file(lab.path(name));
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Unsupported(unsupported) if unsupported == expected), "{name}: {error:?}");
    let problems = now(inspect(&disk)).unwrap().problems;
    assert_eq!(problems[0].code(), error.code());
}

const SECRET: [&str; 2] = ["--object", "secret,id=key,data=open sesame"];

#[test]
fn other_formats_by_their_names() {
    let lab = Lab::new();
    for (format, expected) in [
        ("vmdk", FileFormat::Vmdk),
        ("vdi", FileFormat::Vdi),
        ("vhdx", FileFormat::Vhdx),
        ("vpc", FileFormat::Vpc),
        ("qed", FileFormat::Qed),
        ("parallels", FileFormat::Parallels),
        ("raw", FileFormat::Unknown),
    ] {
        lab.qemu_img(&["create", "-q", "-f", format, "disk", "4M"]);
        assert_refused(&lab, "disk", &Unsupported::Format(expected));
        assert_eq!(now(inspect(&Disk::file(lab.path("disk")))).unwrap().format, expected);
    }
}

#[test]
fn fixed_vhd_files_end_with_their_name() {
    // Those have no header: as for QEMU, it is a raw file.
    let lab = Lab::new();
    lab.qemu_img(&["create", "-q", "-f", "vpc", "-o", "subformat=fixed", "disk", "4M"]);
    assert_refused(&lab, "disk", &Unsupported::Format(FileFormat::Unknown));
}

#[test]
fn luks_volumes() {
    let lab = Lab::new();
    let options = "key-secret=key,iter-time=10";
    lab.qemu_img(&[&["create", "-q", "-f", "luks"], &SECRET[..], &["-o", options, "disk", "1M"]].concat());
    assert_refused(&lab, "disk", &Unsupported::Format(FileFormat::Luks));
}

#[test]
fn the_first_version_of_qcow() {
    let lab = Lab::new();
    lab.qemu_img(&["create", "-q", "-f", "qcow", "disk", "4M"]);
    assert_refused(&lab, "disk", &Unsupported::Version(1));
}
