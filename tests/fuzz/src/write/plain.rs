//! A disk without an image, and copies of it: what a sound image must be.

use qcow2_web::Image;

use super::File;
use super::request::{Request, read};
use crate::limits::ready;

pub(super) struct Plain {
    disk: Vec<u8>,
    /// In the order of the snapshot table.
    snapshots: Vec<Vec<u8>>,
}

impl Plain {
    pub(super) fn new(disk: Vec<u8>) -> Self {
        Self { disk, snapshots: Vec::new() }
    }

    /// Does what `image` has done; what was read must be what is there.
    pub(super) fn follow(&mut self, request: &Request, found: &[u8], image: &Image<File>) {
        let range = |offset: u64, length: u64| offset as usize..(offset + length) as usize;
        match request {
            Request::Read { offset, length } => {
                assert!(found == &self.disk[range(*offset, *length)], "{request:?} differs");
            }
            Request::Write { offset, data } | Request::Compressed { offset, data } => {
                self.disk[range(*offset, data.len() as u64)].copy_from_slice(data);
            }
            Request::Zeroes { offset, length, .. } => self.disk[range(*offset, *length)].fill(0),
            Request::Discard { offset, length } => {
                let after = read(image, *offset, *length).expect("what was discarded can be read");
                let before = &mut self.disk[range(*offset, *length)];
                let allowed = before.iter().zip(&after).all(|(before, after)| after == before || *after == 0);
                assert!(allowed, "{request:?} shows something else");
                before.copy_from_slice(&after);
            }
            Request::Snapshot => self.snapshots.push(self.disk.clone()),
            Request::Apply(which) => {
                if let Some(index) = which.index(self.snapshots.len()) {
                    self.disk.clone_from(&self.snapshots[index]);
                }
            }
            Request::Delete(which) => {
                if let Some(index) = which.index(self.snapshots.len()) {
                    self.snapshots.remove(index);
                }
            }
            Request::Resize(size) => self.disk.resize(*size as usize, 0),
            Request::Flush | Request::Reopen => {}
        }
    }

    /// `image` must be that disk, with those snapshots.
    pub(super) fn check(&self, image: &Image<File>) {
        check_disk(image, &self.disk);
        let listed = image.snapshots();
        assert_eq!(listed.len(), self.snapshots.len());
        for (snapshot, disk) in listed.iter().zip(&self.snapshots) {
            check_disk(&image.open_snapshot(&snapshot.id).expect("a snapshot of a sound image opens"), disk);
        }
    }
}

fn check_disk(image: &Image<File>, disk: &[u8]) {
    assert_eq!(image.size(), disk.len() as u64);
    let mut found = vec![0xaa; disk.len()];
    ready(image.read_at(0, &mut found)).expect("a sound image can be read");
    assert!(found == disk, "opened again, it holds something else");
}
