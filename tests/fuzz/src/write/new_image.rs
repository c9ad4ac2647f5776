//! A new image, as the input wants it.

use std::rc::Rc;

use qcow2_web::{BackingFile, BackingFormat, CompressionType, CreateOptions, DataFileLayout, Image};

use super::{Failed, File, ROOM, options};
use crate::input::Input;
use crate::limits::ready;
use crate::storage::Limited;

/// The files of a new image.
pub(super) struct NewImage {
    pub(super) cluster_size: u64,
    pub(super) file: File,
    size: u64,
    data_file: Option<File>,
    backing: Option<File>,
}

impl NewImage {
    pub(super) fn of(input: &mut Input<'_>) -> Self {
        let bits = 9 + u32::from(input.u8()) % 8;
        let flags = input.u8();
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let cluster_size = 1 << bits;
        let size = (1 + input.u16() % (64 * cluster_size).min(512 << 10)).next_multiple_of(512);
        let mut options = CreateOptions::new(size).cluster_size(cluster_size);
        let version_3 = !flag(0);
        let backing = flag(1).then(|| Rc::new(Limited::new(noise(length_of_backing(size)), 0)));
        if backing.is_some() {
            options = options.backing_file("base", BackingFormat::Raw);
        }
        let mut data_file = None;
        if version_3 {
            options = options.refcount_bits(1 << (input.u8() % 7)).extended_l2(flag(2) && bits >= 14);
            options = options.lazy_refcounts(flag(3));
            if flag(4) {
                options = options.compression(CompressionType::Zstd);
            }
            if flag(5) {
                let raw = flag(6) && backing.is_none();
                let layout = if raw { DataFileLayout::Raw } else { DataFileLayout::Clusters };
                options = options.data_file("data", layout);
                data_file = Some(Rc::new(Limited::new(Vec::new(), ROOM)));
            }
        } else {
            options = options.version(2);
        }
        let file = Rc::new(Limited::new(Vec::new(), ROOM));
        ready(options.write_to(&*file, data_file.as_deref())).expect("an image that can be");
        Self { cluster_size, file, size, data_file, backing }
    }

    pub(super) fn open(&self, input: &mut Input<'_>) -> Result<Image<File>, Failed> {
        let options = options(input, self.data_file.clone());
        let raw = |file: File| BackingFile { format: Some(BackingFormat::Raw), ..BackingFile::from(file) };
        let backing: Vec<_> = self.backing.clone().map(raw).into_iter().collect();
        ready(Image::open_writable(self.file.clone(), options.backing(backing)))
    }

    /// What the disk shows before anything is written.
    pub(super) fn contents(&self) -> Vec<u8> {
        let mut disk = vec![0; self.size as usize];
        if self.backing.is_some() {
            let base = noise(length_of_backing(self.size));
            disk[..base.len()].copy_from_slice(&base);
        }
        disk
    }
}

/// It ends within the disk.
fn length_of_backing(size: u64) -> u64 {
    size * 3 / 4 / 512 * 512
}

fn noise(length: u64) -> Vec<u8> {
    (0..length).map(|at| ((at >> 9).wrapping_mul(at) >> 3) as u8).collect()
}
