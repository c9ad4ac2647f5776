//! Version × cluster size × extended L2 × compression × backing × data file × snapshot, written by us and read by QEMU.
//! Each is drawn with the same strokes, so that every kind of change is in it.

use std::fmt;

use qcow2_web::storage::FileStorage;
use qcow2_web::{BackingFormat, CompressionType, CreateOptions, DataFileLayout, Image};

use crate::common::compare::{Folder, compare_contents, compare_map_and_info, compare_snapshot};
use crate::common::reading::{assert_same, now, whole};
use crate::common::studio::{Backing, Studio, cells, disk_size, places, small};
use crate::common::{KIB, MIB};
use crate::rig::operation::{Operation, part_of};
use crate::rig::setup::DataFile;

#[derive(Clone, Copy)]
struct Cell {
    version: u32,
    cluster: u64,
    extended: bool,
    compression: Option<CompressionType>,
    backing: Backing,
    data_file: DataFile,
    snapshot: bool,
}

impl Cell {
    /// All cells of that version, cluster size and kind of L2 table.
    fn all(version: u32, cluster: u64, extended: bool) -> impl Iterator<Item = Self> {
        let mut cells = Vec::new();
        for compression in [None, Some(CompressionType::Zlib), Some(CompressionType::Zstd)] {
            for backing in Backing::ALL {
                for data_file in [DataFile::None, DataFile::Plain, DataFile::Raw] {
                    for snapshot in [false, true] {
                        cells.push(Self { version, cluster, extended, compression, backing, data_file, snapshot });
                    }
                }
            }
        }
        cells.into_iter().filter(Self::exists)
    }

    /// What the format has no place for is no cell; and large clusters take so long that some are left out.
    fn exists(&self) -> bool {
        let version_2 = self.compression != Some(CompressionType::Zstd) && self.data_file == DataFile::None;
        let with_data_file = self.compression.is_none() && !self.snapshot;
        let small = self.cluster < MIB || matches!(self.backing, Backing::None | Backing::Depth3);
        (self.version >= 3 || version_2)
            && (self.data_file == DataFile::None || with_data_file)
            && (self.data_file != DataFile::Raw || self.backing == Backing::None)
            && small
    }

    fn options(&self) -> CreateOptions {
        let mut options = CreateOptions::new(disk_size(self.cluster))
            .version(self.version)
            .cluster_size(self.cluster)
            .extended_l2(self.extended);
        if let Some(compression) = self.compression {
            options = options.compression(compression);
        }
        if let Some((name, format)) = self.backing.file() {
            let format = if format == "raw" { BackingFormat::Raw } else { BackingFormat::Qcow2 };
            options = options.backing_file(name, format);
        }
        match self.data_file {
            DataFile::None => options,
            DataFile::Plain => options.data_file("disk.data", DataFileLayout::Clusters),
            DataFile::Raw => options.data_file("disk.data", DataFileLayout::Raw),
        }
    }

    /// Compressed, where this cell has that.
    fn packed(&self, offset: u64, length: u64, seed: u64) -> Operation {
        match self.compression {
            None => Operation::Write { offset, length, seed },
            Some(_) => Operation::Compressed { offset, length, seed },
        }
    }

    fn first_strokes(&self) -> Vec<Operation> {
        let (c, size) = (self.cluster, disk_size(self.cluster));
        let small = small(c);
        let write = |offset, length| Operation::Write { offset, length, seed: offset + 1 };
        let zeroes = |offset, length, unmap| Operation::Zeroes { offset, length, unmap };
        let mut strokes = Vec::new();
        for place in places(c) {
            let at = |cluster: u64| (place + cluster) * c;
            strokes.extend([
                // Two clusters in a row; the third is left out.
                write(at(0), 2 * c),
                // The head of a cluster, and some of its middle: the rest is copied.
                write(at(3), small),
                write(at(3) + c / 2 + 7, small / 2),
                // Zeros, with nothing under them and with something.
                zeroes(at(4), c, true),
                write(at(5), c),
                zeroes(at(5), c, false),
                self.packed(at(6), 2 * c, 1),
                // Written, then given back.
                write(at(8), c),
                Operation::Discard { offset: at(8), length: c },
                // A compressed cluster that is then written to.
                self.packed(at(10), c, 2),
                write(at(10) + small, small),
                // What can't be compressed.
                self.packed(at(12), c, 4),
            ]);
            // Subclusters here and there, data and zero, in a cluster with data and one without.
            for piece in [0, 3, 4, 9, 30, 31].iter().filter(|piece| **piece * small < c) {
                strokes.push(write(at(9) + piece * small, small));
                strokes.push(zeroes(at(11) + piece * small, small, false));
            }
            for piece in [4, 12].iter().filter(|piece| **piece * small < c) {
                strokes.push(zeroes(at(9) + piece * small, small, false));
                strokes.push(zeroes(at(1) + piece * small, small, true));
            }
            strokes.push(Operation::Flush);
        }
        let tail = size / c * c;
        strokes.push(self.packed(tail, size - tail, 5));
        strokes
    }

    /// After the snapshot: what it holds is written over, zeroed, given back and packed.
    fn second_strokes(&self) -> Vec<Operation> {
        let c = self.cluster;
        vec![
            Operation::Write { offset: c / 2, length: c, seed: 31 },
            Operation::Write { offset: 4 * c, length: c, seed: 32 },
            Operation::Zeroes { offset: 6 * c, length: c, unmap: false },
            Operation::Discard { offset: 12 * c, length: c },
            Operation::Flush,
            self.packed(2 * c, c, 33),
            self.packed(9 * c, 2 * c, 34),
            Operation::Write { offset: 10 * c + 5, length: 9, seed: 35 },
        ]
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cluster, extended, compression, backing, data_file, snapshot } = self;
        let extended = if *extended { "extended" } else { "standard" };
        write!(
            f,
            "version {version}, clusters of {cluster}, {extended} L2, compression {compression:?}, backing {backing:?}, \
             data file {data_file:?}, snapshot {snapshot}"
        )
    }
}

impl Studio {
    fn check_written(&self, cell: &Cell) {
        let lab = &self.lab;
        let mut folder = Folder::new(lab);
        let path = |name: &str| FileStorage::open_writable(lab.path(name)).expect("the folder is writable");
        let has_data_file = cell.data_file != DataFile::None;
        if has_data_file {
            folder = folder.with_data_file("disk.data");
            lab.put("disk.data", b"");
        }
        let data_file = has_data_file.then(|| path("disk.data"));
        now(cell.options().write_to(&path("disk.qcow2"), data_file.as_ref())).unwrap();
        let mut disk = now(whole(&folder.open("disk.qcow2"))).unwrap();
        self.run(&folder, &cell.first_strokes(), &mut disk);
        self.compare(&folder, &disk);
        if cell.snapshot {
            let taken = disk.clone();
            lab.snapshot("disk.qcow2", "before");
            self.run(&folder, &cell.second_strokes(), &mut disk);
            self.compare(&folder, &disk);
            compare_snapshot(lab, &folder, "disk.qcow2", "before", &taken);
        }
    }

    fn run(&self, folder: &Folder, strokes: &[Operation], disk: &mut [u8]) {
        let open = |path: &std::path::Path| FileStorage::open_writable(path).expect("the file is there");
        let image = now(Image::open_writable(open(&self.lab.path("disk.qcow2")), folder.options(open))).unwrap();
        for stroke in strokes {
            now(stroke.run(&image)).unwrap_or_else(|error| panic!("{stroke:?}: {error}"));
            stroke.apply(disk, || part_of(&now(whole(&image)).unwrap(), stroke)).unwrap();
        }
        now(image.close()).unwrap();
    }

    fn compare(&self, folder: &Folder, disk: &[u8]) {
        self.lab.check("disk.qcow2");
        assert_same(&self.lab.contents("disk.qcow2"), disk, "what QEMU reads");
        compare_contents(&folder.open("disk.qcow2"), disk);
        compare_map_and_info(&self.lab, folder, "disk.qcow2");
    }
}

/// Writes every cell; the first that fails says which it is.
fn every_cell(version: u32, cluster: u64, extended: bool) {
    let studio = Studio::new(cluster);
    for cell in Cell::all(version, cluster, extended) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| studio.check_written(&cell)));
        if let Err(cause) = outcome {
            eprintln!("the cell that failed: {cell}");
            std::panic::resume_unwind(cause);
        }
    }
}

cells! {
    version_2_with_clusters_of_512: version 2, clusters of 512, extended false;
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
