//! The saved state of a machine, which lies behind the disk of a snapshot.

use super::Image;
use super::layer::Layer;
use super::read::{check_bounds, read_layers};
use crate::error::Error;
use crate::storage::Storage;

impl<S: Storage> Image<S> {
    /// The length of the snapshot's VM state in bytes; 0 for the active disk, and where a snapshot has none.
    pub fn vm_state_size(&self) -> u64 {
        self.vm_state_size
    }

    /// Fills `buf` with the VM state's bytes at `offset`, counted from its beginning.
    pub async fn read_vm_state(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        check_bounds(offset, buf.len(), self.vm_state_size)?;
        let Layer::Qcow2 { file, l1, size } = self.disk().clone() else {
            // The first layer is the image itself.
            return Ok(());
        };
        let start = file.header().geometry().vm_state_offset(size).plus(offset);
        // It is the image's own: no backing file shows through.
        let behind_the_disk = [Layer::Qcow2 { file, l1, size: u64::MAX }];
        read_layers(&behind_the_disk, start, buf).await
    }
}
