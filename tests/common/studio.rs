//! What the matrices of cells share: the disks of each cluster size, the files that they are over, and a test for each kind
//! of table.

use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::{KIB, index};

/// The file under an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    None,
    Qcow2,
    Raw,
    Shorter,
    Longer,
    OtherClusterSize,
    Depth3,
}

impl Backing {
    pub const ALL: [Self; 7] =
        [Self::None, Self::Qcow2, Self::Raw, Self::Shorter, Self::Longer, Self::OtherClusterSize, Self::Depth3];

    /// Its name in the folder of a [`Studio`], and its format.
    pub fn file(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::None => return None,
            Self::Qcow2 => ("same.qcow2", "qcow2"),
            Self::Raw => ("base.raw", "raw"),
            Self::Shorter => ("shorter.qcow2", "qcow2"),
            Self::Longer => ("longer.qcow2", "qcow2"),
            Self::OtherClusterSize => ("other.qcow2", "qcow2"),
            Self::Depth3 => ("middle.qcow2", "qcow2"),
        })
    }
}

/// How many clusters the strokes need.
pub const STROKES: u64 = 13;

/// Where the strokes begin, in clusters: where tables are small, over several L2 tables.
pub fn places(cluster: u64) -> Vec<u64> {
    match cluster {
        ..=1024 => (0..12).map(|place| place * (STROKES + 1)).collect(),
        // An L2 table of 512 entries ends within the second place.
        4096 => vec![0, 505],
        _ => vec![0],
    }
}

/// The last cluster is a partial one, where a cluster is more than a sector.
pub fn disk_size(cluster: u64) -> u64 {
    let last = places(cluster).last().copied().unwrap_or(0);
    let tail = if cluster <= 1024 { 512 } else { cluster / 2 + 512 };
    (last + STROKES) * cluster + tail
}

/// A subcluster, where a cluster has some.
pub fn small(cluster: u64) -> u64 {
    (cluster / 32).max(512).min(cluster / 2).max(256)
}

/// A folder with the files that disks of a cluster size are over, and data to write to them.
pub struct Studio {
    pub lab: Lab,
    pub cluster: u64,
}

impl Studio {
    /// A folder with the backing files for disks of that cluster size.
    pub fn new(cluster: u64) -> Self {
        let studio = Self { lab: Lab::new(), cluster };
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
        let mut bytes = random.text(index(size));
        let piece = index(self.cluster / 2 * 3);
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
        for (number, start) in (0..size).step_by(index(piece)).enumerate() {
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

    /// The stroke that writes the data of a file.
    pub fn write(&self, source: &str, start: u64, length: u64) -> String {
        let path = self.lab.path(source);
        format!("write -q -s {} {start} {length}", path.display())
    }

    /// The stroke that writes them compressed.
    pub fn compress(&self, source: &str, start: u64, length: u64) -> String {
        let path = self.lab.path(source);
        format!("write -q -c -s {} {start} {length}", path.display())
    }
}

/// A test for each version, cluster size and kind of L2 table, so that they run side by side: by `every_cell`.
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
pub(crate) use cells;
