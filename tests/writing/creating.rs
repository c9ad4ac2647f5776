//! Creating: what `qemu-img create` makes, with each option; and what it refuses.

use std::process::Command;

use qcow2_web::storage::FileStorage;
use qcow2_web::{
    BackingFormat, CompressionType, CreateFault, CreateOptions, DataFileLayout, Error, Misuse, Preallocation,
};
use serde_json::Value;

use crate::common::compare::{Folder, compare_map_and_info};
use crate::common::lab::{Lab, Row};
use crate::common::reading::{assert_same, now};
use crate::common::{GIB, KIB, MIB, TIB};
use crate::rig::machine::Machine;

/// The same image, as each side is asked for it.
struct Case {
    ours: CreateOptions,
    /// As after `-o`.
    theirs: String,
    size: u64,
    data_file: bool,
}

fn case(size: u64, theirs: &str, ours: impl FnOnce(CreateOptions) -> CreateOptions) -> Case {
    let data_file = theirs.contains("data_file=");
    Case { ours: ours(CreateOptions::new(size)), theirs: theirs.into(), size, data_file }
}

impl Case {
    fn create(&self, lab: &Lab, name: &str) -> Result<(), Error<std::io::Error>> {
        let writable = |name: &str| FileStorage::open_writable(lab.path(name)).expect("the folder is writable");
        let data_file = self.data_file.then(|| writable("data"));
        now(self.ours.write_to(&writable(name), data_file.as_ref()))
    }

    /// Both make it, and it is the same.
    fn both(&self, lab: &Lab) {
        let arguments = ["create", "-q", "-u", "-f", "qcow2", "-o", &self.theirs, "theirs", &self.size.to_string()];
        lab.qemu_img(&arguments);
        let theirs = (info(lab, "theirs"), rows(lab, "theirs", self.size));
        self.create(lab, "ours").unwrap_or_else(|error| panic!("{}: {error}", self.theirs));
        lab.check("ours");
        assert_eq!((info(lab, "ours"), rows(lab, "ours", self.size)), theirs, "{}", self.theirs);
        let mut folder = Folder::new(lab);
        if self.data_file {
            folder = folder.with_data_file("data");
        }
        if self.size < GIB {
            compare_map_and_info(lab, &folder, "ours");
            let expected = lab.try_contents("theirs").expect("QEMU reads its own image");
            assert_same(&lab.contents("ours"), &expected, &self.theirs);
        }
    }

    /// Neither makes it, and nothing is written.
    fn neither(&self, lab: &Lab, fault: CreateFault) {
        let arguments = ["create", "-q", "-u", "-f", "qcow2", "-o", &self.theirs, "theirs", &self.size.to_string()];
        let output = Command::new("qemu-img").args(arguments).current_dir(lab.folder()).output().expect("it runs");
        assert!(!output.status.success(), "QEMU creates {}", self.theirs);
        lab.put("ours", b"");
        let refused = self.create(lab, "ours");
        let is_fault = matches!(&refused, Err(Error::Misuse(Misuse::Create(found))) if *found == fault);
        assert!(is_fault, "{}: {refused:?}", self.theirs);
        assert_eq!(lab.bytes("ours"), b"", "{}: nothing was written", self.theirs);
    }
}

/// Without what says where the file is, and how long.
fn info(lab: &Lab, name: &str) -> Value {
    let mut info = lab.info(name);
    let object = info.as_object_mut().expect("an object");
    for field in ["filename", "actual-size", "children"] {
        object.remove(field);
    }
    info
}

/// Without the places, of which each side is free. The largest L1 tables take QEMU half a minute to walk.
fn rows(lab: &Lab, name: &str, size: u64) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    let rows = if size < GIB { lab.map(name) } else { Vec::new() };
    for row in rows {
        let row = Row { offset: None, ..row };
        match merged.last_mut() {
            Some(last) if *last == (Row { start: last.start, length: last.length, ..row.clone() }) => {
                last.length += row.length;
            }
            _ => merged.push(row),
        }
    }
    merged
}

fn with_base(lab: &Lab) {
    lab.put("base.raw", &[7; 100 << 10]);
    lab.create("base.qcow2", "cluster_size=4096", 200 * KIB);
}

#[test]
fn each_option_as_qemu_has_it() {
    let lab = Lab::new();
    with_base(&lab);
    let longest = format!("{}/base.raw", "./".repeat(507));
    assert_eq!(longest.len(), 1023);
    let mut cases = vec![
        case(MIB, "compat=1.1", |ours| ours),
        case(MIB, "compat=0.10", |ours| ours.version(2)),
        case(0, "compat=1.1", |ours| ours),
        case(1, "compat=1.1", |ours| ours),
        case(MIB + 1, "compat=1.1", |ours| ours),
        case(MIB, "lazy_refcounts=on", |ours| ours.lazy_refcounts(true)),
        case(MIB, "extended_l2=on", |ours| ours.extended_l2(true)),
        case(MIB, "extended_l2=on,cluster_size=16k", |ours| ours.extended_l2(true).cluster_size(16 * KIB)),
        case(MIB, "compression_type=zstd", |ours| ours.compression(CompressionType::Zstd)),
        case(MIB, "compression_type=zlib", |ours| ours.compression(CompressionType::Zlib)),
        case(MIB, "backing_file=base.raw,backing_fmt=raw", |ours| ours.backing_file("base.raw", BackingFormat::Raw)),
        case(100 * KIB, "backing_file=base.qcow2,backing_fmt=qcow2", |ours| {
            ours.backing_file("base.qcow2", BackingFormat::Qcow2)
        }),
        case(MIB, "backing_file=base.raw,backing_fmt=raw,compat=0.10", |ours| {
            ours.backing_file("base.raw", BackingFormat::Raw).version(2)
        }),
        case(MIB, "data_file=data", |ours| ours.data_file("data", DataFileLayout::Clusters)),
        case(MIB, "data_file=data,data_file_raw=on", |ours| ours.data_file("data", DataFileLayout::Raw)),
        case(MIB, "data_file=data,backing_file=base.raw,backing_fmt=raw", |ours| {
            ours.data_file("data", DataFileLayout::Clusters).backing_file("base.raw", BackingFormat::Raw)
        }),
        case(TIB, "cluster_size=2M", |ours| ours.cluster_size(2 * MIB)),
        case(MIB, "data_file=data,extended_l2=on,compression_type=zstd,lazy_refcounts=on", |ours| {
            ours.data_file("data", DataFileLayout::Clusters)
                .extended_l2(true)
                .compression(CompressionType::Zstd)
                .lazy_refcounts(true)
        }),
        case(MIB, &format!("backing_file={longest},backing_fmt=raw"), |ours| {
            ours.backing_file(longest.as_str(), BackingFormat::Raw)
        }),
    ];
    for bits in 9..=21 {
        cases.push(case(3 * MIB, &format!("cluster_size={}", 1 << bits), |ours| ours.cluster_size(1 << bits)));
    }
    for bits in (0..=6).map(|order| 1 << order) {
        let ours = |ours: CreateOptions| ours.refcount_bits(bits).cluster_size(512);
        cases.push(case(20 * MIB, &format!("refcount_bits={bits},cluster_size=512"), ours));
    }
    for case in &cases {
        case.both(&lab);
    }
}

#[test]
fn preallocation_as_qemu_has_it() {
    let lab = Lab::new();
    with_base(&lab);
    for (name, preallocation) in
        [("off", Preallocation::Off), ("metadata", Preallocation::Metadata), ("full", Preallocation::Full)]
    {
        let with = |ours: CreateOptions| ours.preallocation(preallocation);
        let cases = [
            case(3 * MIB + 512, &format!("preallocation={name}"), with),
            case(MIB, &format!("preallocation={name},cluster_size=512"), |ours| with(ours).cluster_size(512)),
            case(MIB, &format!("preallocation={name},cluster_size=512,refcount_bits=64"), |ours| {
                with(ours).cluster_size(512).refcount_bits(64)
            }),
            case(MIB, &format!("preallocation={name},extended_l2=on"), |ours| with(ours).extended_l2(true)),
            case(MIB, &format!("preallocation={name},compat=0.10"), |ours| with(ours).version(2)),
            case(MIB, &format!("preallocation={name},data_file=data"), |ours| {
                with(ours).data_file("data", DataFileLayout::Clusters)
            }),
            case(MIB, &format!("preallocation={name},data_file=data,data_file_raw=on"), |ours| {
                with(ours).data_file("data", DataFileLayout::Raw)
            }),
            case(MIB, &format!("preallocation={name},extended_l2=on,backing_file=base.raw,backing_fmt=raw"), |ours| {
                with(ours).extended_l2(true).backing_file("base.raw", BackingFormat::Raw)
            }),
        ];
        for case in &cases {
            case.both(&lab);
        }
    }
}

/// With clusters of that many bytes, and extended entries or not.
const LARGEST: [(u64, bool, u64); 6] = [
    (512, false, 128 * GIB),
    (4 * KIB, false, 8 * TIB),
    (64 * KIB, false, 2048 * TIB),
    (2 * MIB, false, 2 * 1024 * 1024 * TIB),
    (16 * KIB, true, 64 * TIB),
    (2 * MIB, true, 1024 * 1024 * TIB),
];

#[test]
fn the_largest_disks() {
    for (cluster, extended, largest) in LARGEST {
        // A folder each: an L1 table has 32 MiB.
        let lab = Lab::new();
        let theirs = format!("cluster_size={cluster},extended_l2={}", if extended { "on" } else { "off" });
        let of_size = |size| case(size, &theirs, |ours| ours.cluster_size(cluster).extended_l2(extended));
        of_size(largest).both(&lab);
        let size = largest + 512;
        of_size(size).neither(&lab, CreateFault::DiskTooLarge { size, largest });
    }
}

#[test]
fn what_qemu_refuses() {
    let lab = Lab::new();
    with_base(&lab);
    let long = "n".repeat(1024);
    let refused = |fault, theirs: &str, ours: &dyn Fn(CreateOptions) -> CreateOptions| {
        case(MIB, theirs, ours).neither(&lab, fault);
    };
    for (size, theirs) in [(0, "0"), (256, "256"), (1000, "1000"), (4 * MIB, "4M")] {
        let theirs = format!("cluster_size={theirs}");
        refused(CreateFault::ClusterSize(size), &theirs, &|ours| ours.cluster_size(size));
    }
    for bits in [0, 3, 65, 128] {
        let theirs = format!("refcount_bits={bits}");
        refused(CreateFault::RefcountBits(bits), &theirs, &|ours| ours.refcount_bits(bits));
    }
    refused(CreateFault::Version(1), "compat=1.0", &|ours| ours.version(1));
    let version_2 = |what, theirs: &str, ours: &dyn Fn(CreateOptions) -> CreateOptions| {
        refused(CreateFault::NeedsVersion3(what), &format!("compat=0.10,{theirs}"), &|options| {
            ours(options).version(2)
        });
    };
    version_2("another refcount width than 16 bits", "refcount_bits=8", &|ours| ours.refcount_bits(8));
    version_2("lazy refcounts", "lazy_refcounts=on", &|ours| ours.lazy_refcounts(true));
    version_2("extended L2 entries", "extended_l2=on", &|ours| ours.extended_l2(true));
    version_2("another compression than zlib", "compression_type=zstd", &|ours| {
        ours.compression(CompressionType::Zstd)
    });
    version_2("an external data file", "data_file=data", &|ours| ours.data_file("data", DataFileLayout::Clusters));
    refused(CreateFault::ClusterTooSmallForExtendedL2(8 * KIB), "extended_l2=on,cluster_size=8k", &|ours| {
        ours.extended_l2(true).cluster_size(8 * KIB)
    });
    let over = |name: &str, ours: CreateOptions| ours.backing_file(name, BackingFormat::Raw);
    refused(CreateFault::EmptyBackingName, "backing_file=,backing_fmt=raw", &|ours| over("", ours));
    refused(CreateFault::BackingNameTooLong(1024), &format!("backing_file={long},backing_fmt=raw"), &|ours| {
        over(&long, ours)
    });
    // The header, the format's extension, the end of the extensions, and the name.
    let length = 112 + 16 + 8 + 600;
    let theirs = format!("backing_file={},backing_fmt=raw,cluster_size=512", &long[..600]);
    refused(CreateFault::NamesTooLong { length, cluster_size: 512 }, &theirs, &|ours| {
        over(&long[..600], ours).cluster_size(512)
    });
    refused(
        CreateFault::RawDataFileWithBacking,
        "data_file=data,data_file_raw=on,backing_file=base.raw,backing_fmt=raw",
        &|ours| over("base.raw", ours.data_file("data", DataFileLayout::Raw)),
    );
    for (name, preallocation) in [("metadata", Preallocation::Metadata), ("full", Preallocation::Full)] {
        let theirs = format!("preallocation={name},backing_file=base.raw,backing_fmt=raw");
        refused(CreateFault::PreallocationWithBacking, &theirs, &|ours| {
            over("base.raw", ours.preallocation(preallocation))
        });
    }
}

/// Everything of the data file is zeros, and nobody has to write them.
#[test]
fn a_raw_data_file_is_not_written() {
    for preallocation in [Preallocation::Off, Preallocation::Metadata] {
        let machine = Machine::new(vec![Vec::new(), vec![7; 4096]]);
        let options =
            CreateOptions::new(64 * MIB + 512).data_file("data", DataFileLayout::Raw).preallocation(preallocation);
        now(options.write_to(&machine.file(0), Some(&machine.file(1)))).unwrap();
        let counts = machine.counts();
        assert!(counts.bytes_written < 128 * KIB, "{counts:?}");
        machine.with_files(|files| {
            assert_eq!(files[1].len() as u64, 64 * MIB + 512);
            assert!(files[1].iter().all(|byte| *byte == 0));
        });
    }
}
