//! Reading and writing the guest data of an encrypted file.

use core::ops::Range;

use super::buffer_pool::Buffers;
use super::cluster_locks::{ClusterLocks, LockedRange};
use super::host_file::HostFile;
use crate::crypto::sector::{SECTOR, SectorCipher};
use crate::error::{Error, Missing, Misuse};
use crate::format::units::{GuestOffset, HostOffset};
use crate::storage::{Storage, StorageMut};

/// The most bytes that are encrypted, or decrypted outside the caller's buffer, in one step.
const CHUNK: usize = 256 << 10;

/// Which offset numbers a sector, for its initialisation vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers nothing is encrypted"))]
pub(crate) enum SectorNumber {
    /// The guest offset: QEMU's legacy method.
    Guest,
    /// The host offset: LUKS.
    Host,
}

/// Reads and writes the sectors of an encrypted file, instead of [`HostFile`].
///
/// A byte has the same position in its guest sector and in its host sector, because clusters consist of whole sectors.
pub(crate) struct Encrypted {
    /// `None` if the file was opened without its passphrase.
    cipher: Option<SectorCipher>,
    number: SectorNumber,
    buffers: Buffers,
    /// Locks on the guest sectors that are being written.
    ///
    /// A write that begins or ends within a sector also rewrites the rest of that sector, so no other request may write it
    /// meanwhile. A request that holds sectors may wait for clusters, but never the other way round.
    writes: ClusterLocks,
}

impl Encrypted {
    #[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers nothing is encrypted"))]
    pub(crate) fn new(cipher: Option<SectorCipher>, number: SectorNumber) -> Self {
        Self { cipher, number, buffers: Buffers::new(2 * CHUNK), writes: ClusterLocks::default() }
    }

    /// Returns whether the encryption of a byte depends on its host offset.
    pub(crate) fn is_by_host_offset(&self) -> bool {
        self.number == SectorNumber::Host
    }

    fn cipher(&self) -> Result<&SectorCipher, Missing> {
        self.cipher.as_ref().ok_or(Missing::Passphrase)
    }

    /// Returns the number of the sector that contains both offsets.
    fn number(&self, guest: GuestOffset, host: HostOffset) -> u64 {
        let offset = match self.number {
            SectorNumber::Guest => guest.0,
            SectorNumber::Host => host.0,
        };
        offset / SECTOR as u64
    }

    /// Waits until no request writes the sectors of the `length` bytes at `guest`, and locks these sectors.
    pub(crate) async fn lock(&self, guest: GuestOffset, length: u64) -> LockedRange<'_> {
        let sectors: Range<u64> = guest.0 / SECTOR as u64..guest.plus(length).0.div_ceil(SECTOR as u64);
        self.writes.lock(sectors).await
    }

    /// Reads and decrypts the bytes at `guest`, which are at host offset `host`, into `buf`.
    pub(crate) async fn read<S: Storage>(
        &self,
        file: &HostFile<S>,
        mut guest: GuestOffset,
        mut host: HostOffset,
        mut buf: &mut [u8],
    ) -> Result<(), Error<S::Error>> {
        let cipher = self.cipher()?;
        while !buf.is_empty() {
            let segment = Segment::new(host, buf.len());
            let (now, rest) = buf.split_at_mut(segment.length);
            if segment.is_whole() {
                file.read(host, now).await.map_err(Error::Storage)?;
                cipher.decrypt(self.number(guest, host), now);
            } else {
                let mut sectors = self.buffers.take(segment.sectors);
                file.read(segment.start(host), &mut sectors).await.map_err(Error::Storage)?;
                cipher.decrypt(self.number(guest, host), &mut sectors);
                now.copy_from_slice(&sectors[segment.bytes()]);
                self.buffers.put(sectors);
            }
            (guest, host, buf) = (guest.plus(segment.length as u64), host.plus(segment.length as u64), rest);
        }
        Ok(())
    }

    /// Encrypts the bytes at `guest` and writes them to host offset `host`. The caller has locked their sectors.
    ///
    /// A failure affects only these bytes. Each write of the storage is refused if `check` fails: a barrier may fail while
    /// this reads the rest of a sector.
    pub(crate) async fn write<S: StorageMut>(
        &self,
        file: &HostFile<S>,
        mut guest: GuestOffset,
        mut host: HostOffset,
        mut buf: &[u8],
        check: impl Fn() -> Result<(), Misuse>,
    ) -> Result<(), Error<S::Error>> {
        let cipher = self.cipher()?;
        while !buf.is_empty() {
            let segment = Segment::new(host, buf.len().min(CHUNK));
            let (now, rest) = buf.split_at(segment.length);
            let number = self.number(guest, host);
            let mut sectors = self.buffers.take(segment.sectors);
            for sector in segment.partial_sectors() {
                let at = segment.start(host).plus(sector as u64);
                let old = &mut sectors[sector..sector + SECTOR];
                file.read(at, old).await.map_err(Error::Storage)?;
                cipher.decrypt(number + (sector / SECTOR) as u64, old);
            }
            sectors[segment.bytes()].copy_from_slice(now);
            cipher.encrypt(number, &mut sectors);
            check()?;
            file.write(segment.start(host), &sectors).await.map_err(Error::Storage)?;
            self.buffers.put(sectors);
            (guest, host, buf) = (guest.plus(segment.length as u64), host.plus(segment.length as u64), rest);
        }
        Ok(())
    }
}

/// A range of bytes that is read or written in one step, and the sectors that contain it.
struct Segment {
    /// The offset of the range in the first sector, in bytes.
    skip: usize,
    length: usize,
    /// The total length of the sectors, in bytes.
    sectors: usize,
}

impl Segment {
    /// Returns the first segment of the `length` bytes at `host`: all whole sectors, or else up to [`CHUNK`] bytes.
    fn new(host: HostOffset, length: usize) -> Self {
        // Less than a sector.
        let skip = usize::try_from(host.0 % SECTOR as u64).unwrap_or(0);
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

    /// Returns the host offset of the first sector.
    fn start(&self, host: HostOffset) -> HostOffset {
        HostOffset(host.0 - self.skip as u64)
    }

    /// Returns the position of the range in the sectors.
    fn bytes(&self) -> Range<usize> {
        self.skip..self.skip + self.length
    }

    /// Returns the positions of the sectors that the range covers only in part.
    fn partial_sectors(&self) -> impl Iterator<Item = usize> {
        let last = self.sectors - SECTOR;
        let first_is_partial = self.skip > 0 || self.length < SECTOR;
        let last_is_partial = last > 0 && self.skip + self.length < self.sectors;
        first_is_partial.then_some(0).into_iter().chain(last_is_partial.then_some(last))
    }
}
