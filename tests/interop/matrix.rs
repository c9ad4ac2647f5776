//! Version × cluster size × extended L2 × compression × backing × data file × snapshot: every cell
//! that QEMU can make. Each is drawn with the same strokes, so that every kind of cluster is in it.

use std::fmt;

use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::{KIB, MIB};
use crate::compare::{Folder, compare_contents_with_qemu, compare_map_and_info, compare_snapshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Deflate,
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backing {
    None,
    Qcow2,
    Raw,
    Shorter,
    Longer,
    OtherClusterSize,
    Depth3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataFile {
    None,
    Plain,
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshot {
    None,
    /// Of the disk as large as it is.
    Same,
    /// The disk has grown since.
    Smaller,
    /// The disk has shrunk since.
    Larger,
}

#[derive(Clone, Copy)]
struct Cell {
    version: u8,
    cluster: u64,
    extended: bool,
    compression: Compression,
    backing: Backing,
    data_file: DataFile,
    snapshot: Snapshot,
}

const BACKINGS: [Backing; 7] = [
    Backing::None,
    Backing::Qcow2,
    Backing::Raw,
    Backing::Shorter,
    Backing::Longer,
    Backing::OtherClusterSize,
    Backing::Depth3,
];

impl Cell {
    /// All cells of that version, cluster size and kind of L2 table.
    fn all(version: u8, cluster: u64, extended: bool) -> impl Iterator<Item = Self> {
        use Snapshot::{Larger, None as No, Same, Smaller};
        let compressions = [Compression::None, Compression::Deflate, Compression::Zstd];
        let data_files = [DataFile::None, DataFile::Plain, DataFile::Raw];
        let mut cells = Vec::new();
        for compression in compressions {
            for backing in BACKINGS {
                for data_file in data_files {
                    for snapshot in [No, Same, Smaller, Larger] {
                        cells.push(Self { version, cluster, extended, compression, backing, data_file, snapshot });
                    }
                }
            }
        }
        cells.into_iter().filter(Self::exists)
    }

    /// What QEMU refuses to make is no cell.
    fn exists(&self) -> bool {
        let version_2 = self.compression != Compression::Zstd
            && self.data_file == DataFile::None
            && matches!(self.snapshot, Snapshot::None | Snapshot::Same);
        let data_file = self.compression == Compression::None && self.snapshot == Snapshot::None;
        let raw_data_file = self.backing == Backing::None;
        (self.version >= 3 || version_2)
            && (self.data_file == DataFile::None || data_file)
            && (self.data_file != DataFile::Raw || raw_data_file)
    }

    fn options(&self) -> String {
        let mut options = format!("cluster_size={}", self.cluster);
        options += if self.version == 2 { ",compat=0.10" } else { ",compat=1.1" };
        if self.extended {
            options += ",extended_l2=on";
        }
        if self.compression == Compression::Zstd {
            options += ",compression_type=zstd";
        }
        match self.data_file {
            DataFile::None => {}
            DataFile::Plain => options += ",data_file=disk.data",
            DataFile::Raw => options += ",data_file=disk.data,data_file_raw=on",
        }
        options
    }

    fn backing_file(&self) -> Option<(&'static str, &'static str)> {
        Some(match self.backing {
            Backing::None => return None,
            Backing::Qcow2 => ("same.qcow2", "qcow2"),
            Backing::Raw => ("base.raw", "raw"),
            Backing::Shorter => ("shorter.qcow2", "qcow2"),
            Backing::Longer => ("longer.qcow2", "qcow2"),
            Backing::OtherClusterSize => ("other.qcow2", "qcow2"),
            Backing::Depth3 => ("middle.qcow2", "qcow2"),
        })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cluster, compression, backing, data_file, snapshot, .. } = self;
        let extended = if self.extended { "extended" } else { "standard" };
        write!(
            f,
            "version {version}, clusters of {cluster}, {extended} L2, compression {compression:?}, \
             backing {backing:?}, data file {data_file:?}, snapshot {snapshot:?}"
        )
    }
}

/// How many clusters the strokes need.
const STROKES: u64 = 13;

/// Where the strokes begin, in clusters: where tables are small, over several L2 tables.
fn places(cluster: u64) -> Vec<u64> {
    match cluster {
        ..=1024 => (0..12).map(|place| place * (STROKES + 1)).collect(),
        // An L2 table of 512 entries ends within the second place.
        4096 => vec![0, 505],
        _ => vec![0],
    }
}

/// The last cluster is a partial one, where a cluster is more than a sector.
fn disk_size(cluster: u64) -> u64 {
    let last = places(cluster).last().copied().unwrap_or(0);
    let tail = if cluster <= 1024 { 512 } else { cluster / 2 + 512 };
    (last + STROKES) * cluster + tail
}

struct Studio {
    lab: Lab,
    cluster: u64,
    extended: bool,
}

impl Studio {
    /// A folder with the backing files for disks of that cluster size.
    fn new(cluster: u64, extended: bool) -> Self {
        let studio = Self { lab: Lab::new(), cluster, extended };
        let mut random = Random::seeded(cluster);
        studio.lab.put("text1", &random.text(7919));
        studio.lab.put("text2", &random.text(5003));
        studio.lab.put("noise", &random.noise(16411));
        let size = disk_size(cluster);
        let shorter = size * 6 / 10 / 512 * 512;
        let other = match cluster {
            ..=4096 => 64 * KIB,
            16_384 => 4 * KIB,
            _ => cluster / 8,
        };
        let lab = &studio.lab;
        lab.put("base.raw", &studio.raw_base(size));
        for (name, clusters, size) in [
            ("same.qcow2", cluster, size),
            ("shorter.qcow2", cluster, shorter),
            ("longer.qcow2", cluster, size * 3 / 2 / 512 * 512),
            ("other.qcow2", other, size),
        ] {
            lab.create(name, &format!("cluster_size={clusters}"), size);
            lab.io(name, &studio.base_strokes(clusters, size));
        }
        let deeper = format!("cluster_size={other}");
        lab.create_over("deeper.qcow2", &deeper, ("base.raw", "raw"), shorter);
        lab.io("deeper.qcow2", &studio.base_strokes(other, shorter)[3..]);
        let middle = format!("cluster_size={cluster}");
        lab.create_over("middle.qcow2", &middle, ("deeper.qcow2", "qcow2"), size);
        let strokes = studio.base_strokes(cluster, size);
        lab.io("middle.qcow2", &strokes[strokes.len() / 2..]);
        studio
    }

    /// Dense, so that QEMU's map has no holes of the host's file system in it.
    fn raw_base(&self, size: u64) -> Vec<u8> {
        let mut random = Random::seeded(size);
        let mut bytes = random.text(crate::common::index(size));
        let piece = crate::common::index(self.cluster / 2 * 3);
        for piece in bytes.chunks_mut(piece).skip(2).step_by(3) {
            piece.fill(0);
        }
        bytes
    }

    /// Pieces of 7/4 clusters of the image above, so that they lie across them; `cluster` is the base's own.
    fn base_strokes(&self, cluster: u64, size: u64) -> Vec<String> {
        let piece = self.cluster * 7 / 4;
        let whole = |start: u64| start.next_multiple_of(cluster);
        let mut strokes = Vec::new();
        for (number, start) in (0..size).step_by(crate::common::index(piece)).enumerate() {
            let length = piece.min(size - start);
            match number % 5 {
                0 => strokes.push(self.write("text2", start, length)),
                1 => {}
                2 => strokes.push(format!("write -q -z {start} {length}")),
                3 => strokes.push(format!("write -q -P {} {start} {length}", number % 200 + 1)),
                // A compressed cluster can't be written twice: only where one begins in this piece.
                _ if whole(start) < start + piece && whole(start) + cluster <= size => {
                    strokes.push(self.compress("text1", whole(start), cluster));
                }
                _ => {}
            }
        }
        strokes
    }

    fn write(&self, source: &str, start: u64, length: u64) -> String {
        let path = self.lab.path(source);
        format!("write -q -s {} {start} {length}", path.display())
    }

    fn compress(&self, source: &str, start: u64, length: u64) -> String {
        let path = self.lab.path(source);
        format!("write -q -c -s {} {start} {length}", path.display())
    }

    fn first_strokes(&self, cell: &Cell) -> Vec<String> {
        let (c, size) = (self.cluster, disk_size(self.cluster));
        let small = (c / 32).max(512).min(c / 2).max(256);
        let maybe_compressed = |source: &str, start: u64, length: u64| {
            if cell.compression == Compression::None {
                self.write(source, start, length)
            } else {
                self.compress(source, start, length)
            }
        };
        let mut strokes = Vec::new();
        for place in places(c) {
            let at = |cluster: u64| (place + cluster) * c;
            strokes.extend([
                // Two clusters in a row; the third is left out.
                self.write("text1", at(0), 2 * c),
                // The head of a cluster, and some of its middle: the rest is copied.
                format!("write -q -P 0x31 {} {}", at(3), small),
                format!("write -q -P 0x32 {} {}", at(3) + c / 2 + 7, small / 2),
                // Zeros, with nothing under them and with something.
                format!("write -q -z -u {} {c}", at(4)),
                format!("write -q -P 0x51 {} {c}", at(5)),
                format!("write -q -z {} {c}", at(5)),
                maybe_compressed("text1", at(6), c),
                maybe_compressed("text2", at(7), c),
                // Written, then given back.
                format!("write -q -P 0x81 {} {c}", at(8)),
                format!("discard -q {} {c}", at(8)),
                // A compressed cluster that is then written to.
                maybe_compressed("text2", at(10), c),
                format!("write -q -P 0xa1 {} {small}", at(10) + small),
                // What can't be compressed.
                maybe_compressed("noise", at(12), c),
            ]);
            // Subclusters here and there, data and zero, in a cluster with data and one without.
            for piece in [0, 3, 4, 9, 30, 31].iter().filter(|piece| **piece * small < c) {
                strokes.push(format!("write -q -P 0x91 {} {small}", at(9) + piece * small));
                strokes.push(format!("write -q -z {} {small}", at(11) + piece * small));
            }
            for piece in [4, 12].iter().filter(|piece| **piece * small < c) {
                strokes.push(format!("write -q -z {} {small}", at(9) + piece * small));
                strokes.push(format!("write -q -z -u {} {small}", at(1) + piece * small));
            }
        }
        let tail = size / c * c;
        let rest = size - tail;
        // QEMU can't grow an extended image with a compressed tail whose backing file is longer.
        if cell.extended && cell.backing == Backing::Longer {
            strokes.push(self.write("text1", tail, rest));
        } else if rest > 0 {
            strokes.push(maybe_compressed("text1", tail, rest));
        }
        strokes
    }

    /// After the snapshot: what it holds is written over, zeroed and given back.
    fn second_strokes(&self, cell: &Cell) -> Vec<String> {
        let c = self.cluster;
        let mut strokes = vec![
            format!("write -q -P 0x20 {} {c}", c / 2),
            format!("write -q -P 0x24 {} {c}", 4 * c),
            format!("write -q -z {} {c}", 6 * c),
        ];
        if cell.snapshot != Snapshot::Larger {
            strokes.push(format!("discard -q {} {c}", 12 * c));
        }
        if cell.compression != Compression::None {
            strokes.push(self.compress("text1", 2 * c, c));
        }
        strokes
    }

    /// Makes the cell's image, and gives its contents.
    fn draw(&self, cell: &Cell) -> Vec<u8> {
        let size = disk_size(self.cluster);
        let lab = &self.lab;
        match cell.backing_file() {
            None => lab.create("drawn.qcow2", &cell.options(), size),
            Some(backing) => lab.create_over("drawn.qcow2", &cell.options(), backing, size),
        }
        lab.io("drawn.qcow2", &self.first_strokes(cell));
        lab.contents("drawn.qcow2")
    }

    /// Compares the cell, of which `drawn` are the contents before any snapshot.
    fn check(&self, cell: &Cell, drawn: &[u8]) {
        let lab = &self.lab;
        lab.copy("drawn.qcow2", "disk.qcow2");
        let mut folder = Folder::new(lab);
        if cell.data_file != DataFile::None {
            folder = folder.with_data_file("disk.data");
        }
        if cell.snapshot == Snapshot::None {
            compare_contents_with_qemu(&folder, "disk.qcow2", drawn);
            compare_map_and_info(lab, &folder, "disk.qcow2");
            return;
        }
        lab.snapshot("disk.qcow2", "before");
        match cell.snapshot {
            Snapshot::Smaller => lab.resize("disk.qcow2", (STROKES + 4) * self.cluster),
            Snapshot::Larger => lab.resize("disk.qcow2", (STROKES - 4) * self.cluster + 512),
            _ => {}
        }
        lab.io("disk.qcow2", &self.second_strokes(cell));
        compare_snapshot(lab, &folder, "disk.qcow2", "before", drawn);
        compare_contents_with_qemu(&folder, "disk.qcow2", &lab.contents("disk.qcow2"));
        compare_map_and_info(lab, &folder, "disk.qcow2");
    }
}

/// Runs every cell; the first that fails says which it is.
fn every_cell(version: u8, cluster: u64, extended: bool) {
    let studio = Studio::new(cluster, extended);
    let mut drawn = Vec::new();
    for cell in Cell::all(version, cluster, extended) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // The cells that differ by their snapshot alone come one behind the other, the one without first.
            if cell.snapshot == Snapshot::None {
                drawn = studio.draw(&cell);
            }
            studio.check(&cell, &drawn);
        }));
        if let Err(cause) = outcome {
            eprintln!("the cell that failed: {cell}");
            std::panic::resume_unwind(cause);
        }
    }
}

/// A test for each version, cluster size and kind of L2 table, so that they run side by side.
macro_rules! cells {
    ($($name:ident: version $version:literal, clusters of $cluster:expr, extended $extended:literal;)*) => {
        $(
            #[test]
            fn $name() {
                every_cell($version, $cluster, $extended);
            }
        )*
    };
}

cells! {
    version_2_with_clusters_of_512: version 2, clusters of 512, extended false;
    version_2_with_clusters_of_1k: version 2, clusters of KIB, extended false;
    version_2_with_clusters_of_4k: version 2, clusters of 4 * KIB, extended false;
    version_2_with_clusters_of_64k: version 2, clusters of 64 * KIB, extended false;
    version_2_with_clusters_of_2m: version 2, clusters of 2 * MIB, extended false;
    version_3_with_clusters_of_512: version 3, clusters of 512, extended false;
    version_3_with_clusters_of_1k: version 3, clusters of KIB, extended false;
    version_3_with_clusters_of_4k: version 3, clusters of 4 * KIB, extended false;
    version_3_with_clusters_of_64k: version 3, clusters of 64 * KIB, extended false;
    version_3_with_clusters_of_2m: version 3, clusters of 2 * MIB, extended false;
    extended_l2_with_clusters_of_16k: version 3, clusters of 16 * KIB, extended true;
    extended_l2_with_clusters_of_64k: version 3, clusters of 64 * KIB, extended true;
    extended_l2_with_clusters_of_2m: version 3, clusters of 2 * MIB, extended true;
}
