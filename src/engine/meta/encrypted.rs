//! The guest's data of an encrypted file.

use core::ops::Range;

use super::buffer_pool::Buffers;
use super::cluster_locks::{ClusterLocks, LockedRange};
use super::host_file::HostFile;
use crate::crypto::sector::{SECTOR, SectorCipher};
use crate::error::{Error, Missing};
use crate::format::units::{GuestOffset, HostOffset};
use crate::storage::{Storage, StorageMut};

/// What is encrypted, and what is decrypted beside the caller's buffer, at once.
const CHUNK: usize = 256 << 10;

/// What numbers a sector, for its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers nothing is encrypted"))]
pub(crate) enum SectorNumber {
    /// Where the guest sees it: QEMU's first method.
    Guest,
    /// Where it is in the file: LUKS.
    Host,
}

/// Reads and writes the sectors of an encrypted file, in place of [`HostFile`].
///
/// The guest and the file agree on where in a sector a byte is, for clusters are made of whole sectors.
pub(crate) struct Encrypted {
    /// `None` where the file was opened without its passphrase.
    cipher: Option<SectorCipher>,
    number: SectorNumber,
    buffers: Buffers,
    /// The guest's sectors that are being written. A write that begins or ends within a sector writes the rest of it
    /// too, so nobody else may write that meanwhile. Who holds sectors may wait for clusters; nobody waits the other way.
    writes: ClusterLocks,
}

impl Encrypted {
    #[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers nothing is encrypted"))]
    pub(crate) fn new(cipher: Option<SectorCipher>, number: SectorNumber) -> Self {
        Self { cipher, number, buffers: Buffers::new(2 * CHUNK), writes: ClusterLocks::default() }
    }

    fn cipher(&self) -> Result<&SectorCipher, Missing> {
        self.cipher.as_ref().ok_or(Missing::Passphrase)
    }

    /// The number of the sector that begins at both places.
    fn number(&self, guest: GuestOffset, place: HostOffset) -> u64 {
        let offset = match self.number {
            SectorNumber::Guest => guest.0,
            SectorNumber::Host => place.0,
        };
        offset / SECTOR as u64
    }

    /// Waits until nobody writes the sectors of the `length` bytes at `guest`, and keeps them until it is dropped.
    pub(crate) async fn lock(&self, guest: GuestOffset, length: u64) -> LockedRange<'_> {
        let sectors: Range<u64> = guest.0 / SECTOR as u64..guest.plus(length).0.div_ceil(SECTOR as u64);
        self.writes.lock(sectors).await
    }

    /// Fills `buf` with the guest's bytes at `guest`, which are at `place` of the file.
    pub(crate) async fn read<S: Storage>(
        &self,
        file: &HostFile<S>,
        mut guest: GuestOffset,
        mut place: HostOffset,
        mut buf: &mut [u8],
    ) -> Result<(), Error<S::Error>> {
        let cipher = self.cipher()?;
        while !buf.is_empty() {
            let part = Part::new(place, buf.len());
            let (now, rest) = buf.split_at_mut(part.length);
            if part.is_whole() {
                file.read(place, now).await.map_err(Error::Storage)?;
                cipher.decrypt(self.number(guest, place), now);
            } else {
                let mut sectors = self.buffers.take(part.sectors);
                file.read(part.start(place), &mut sectors).await.map_err(Error::Storage)?;
                cipher.decrypt(self.number(guest, place), &mut sectors);
                now.copy_from_slice(&sectors[part.bytes()]);
                self.buffers.put(sectors);
            }
            (guest, place, buf) = (guest.plus(part.length as u64), place.plus(part.length as u64), rest);
        }
        Ok(())
    }

    /// Writes the guest's bytes at `guest` to `place` of the file. The caller holds their sectors.
    ///
    /// A failure loses nothing but these bytes.
    pub(crate) async fn write<S: StorageMut>(
        &self,
        file: &HostFile<S>,
        mut guest: GuestOffset,
        mut place: HostOffset,
        mut buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let cipher = self.cipher()?;
        while !buf.is_empty() {
            let part = Part::new(place, buf.len().min(CHUNK));
            let (now, rest) = buf.split_at(part.length);
            let number = self.number(guest, place);
            let mut sectors = self.buffers.take(part.sectors);
            for sector in part.partial_sectors() {
                let at = part.start(place).plus(sector as u64);
                let old = &mut sectors[sector..sector + SECTOR];
                file.read(at, old).await.map_err(Error::Storage)?;
                cipher.decrypt(number + (sector / SECTOR) as u64, old);
            }
            sectors[part.bytes()].copy_from_slice(now);
            cipher.encrypt(number, &mut sectors);
            file.write(part.start(place), &sectors).await.map_err(Error::Storage)?;
            self.buffers.put(sectors);
            (guest, place, buf) = (guest.plus(part.length as u64), place.plus(part.length as u64), rest);
        }
        Ok(())
    }
}

/// The sectors that some bytes are in.
struct Part {
    /// Bytes of the first sector before them.
    skip: usize,
    length: usize,
    /// The length of the sectors in bytes.
    sectors: usize,
}

impl Part {
    /// Of the first of `length` bytes at `place`: whole sectors, as many as there are, or else what is in the next few.
    fn new(place: HostOffset, length: usize) -> Self {
        // Less than a sector.
        let skip = usize::try_from(place.0 % SECTOR as u64).unwrap_or(0);
        if skip == 0 && (length.is_multiple_of(SECTOR) || length >= CHUNK) {
            let length = length - length % SECTOR;
            return Self { skip, length, sectors: length };
        }
        let sectors = skip.saturating_add(length).min(CHUNK).next_multiple_of(SECTOR);
        Self { skip, length: length.min(sectors - skip), sectors }
    }

    fn is_whole(&self) -> bool {
        self.length == self.sectors
    }

    /// Where the first sector begins.
    fn start(&self, place: HostOffset) -> HostOffset {
        HostOffset(place.0 - self.skip as u64)
    }

    /// Where the bytes are in the sectors.
    fn bytes(&self) -> Range<usize> {
        self.skip..self.skip + self.length
    }

    /// The sectors that hold other bytes as well: where each begins.
    fn partial_sectors(&self) -> impl Iterator<Item = usize> {
        let last = self.sectors - SECTOR;
        let first_is_partial = self.skip > 0 || self.length < SECTOR;
        let last_is_partial = last > 0 && self.skip + self.length < self.sectors;
        first_is_partial.then_some(0).into_iter().chain(last_is_partial.then_some(last))
    }
}
