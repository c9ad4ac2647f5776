//! Version × cluster size × extended L2 × compression × backing × data file × snapshot: every cell
//! that QEMU can make. Each is drawn with the same strokes, so that every kind of cluster is in it.

use std::fmt;

use crate::common::compare::{Folder, compare_contents_with_qemu, compare_map_and_info, compare_snapshot};
use crate::common::studio::{Backing, STROKES, Studio, cells, disk_size, places, small};
use crate::common::{KIB, MIB};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Deflate,
    Zstd,
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

impl Cell {
    /// All cells of that version, cluster size and kind of L2 table.
    fn all(version: u8, cluster: u64, extended: bool) -> impl Iterator<Item = Self> {
        use Snapshot::{Larger, None as No, Same, Smaller};
        let compressions = [Compression::None, Compression::Deflate, Compression::Zstd];
        let data_files = [DataFile::None, DataFile::Plain, DataFile::Raw];
        let mut cells = Vec::new();
        for compression in compressions {
            for backing in Backing::ALL {
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

impl Studio {
    fn first_strokes(&self, cell: &Cell) -> Vec<String> {
        let (c, size) = (self.cluster, disk_size(self.cluster));
        let small = small(c);
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
        match cell.backing.file() {
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
    let studio = Studio::new(cluster);
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
