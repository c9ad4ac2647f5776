//! The key slots of a LUKS image: which passphrases open it.
//!
//! A key is derived before anything is locked, for that may take seconds. What was derived is used only if the slot that it
//! came from is still what it was by then.
//!
//! A slot is written while it is inactive, and becomes active, or stops being it, by one write of four bytes: so the image
//! opens after a crash at any moment, by the passphrases of before or by those of after.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::key_material::{Entropy, KeyOptions};
use super::luks::{Luks, fill_slot};
use super::unlock::DEFAULT_MAX_ITERATIONS;
use crate::crypto::passphrase::Passphrase;
use crate::error::{Error, Misuse};
use crate::format::luks::{KeySlot, LuksHeader};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::open::header::StoredHeader;
use crate::meta::lock::Guard;
use crate::storage::StorageMut;

/// How often the material of an erased slot is overwritten, in case the medium keeps what was there last.
const OVERWRITES: usize = 3;

impl<S: StorageMut> Image<S> {
    /// Lets `new` open the image too, beside `existing`, which must. The number of the key slot that was taken, 0 to 7.
    ///
    /// Deriving the keys takes as long as it is made to; other requests go on meanwhile. Durable when it ends. Of the files of a chain, this is about the image itself, as it was unlocked.
    pub async fn add_passphrase(
        &self,
        existing: impl Into<Passphrase>,
        new: impl Into<Passphrase>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        let (slots, _, slot) = self.fill_key_slot(&existing.into(), &new.into(), options).await?;
        drop(slots);
        Ok(slot)
    }

    /// Lets `new` open the image in the place of `old`: in another slot, for the old one is erased only when the new one
    /// is there. The number of the new one.
    ///
    /// As with [`Image::add_passphrase`], other requests go on while the keys are derived.
    pub async fn change_passphrase(
        &self,
        old: impl Into<Passphrase>,
        new: impl Into<Passphrase>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        let (slots, opened, slot) = self.fill_key_slot(&old.into(), &new.into(), options).await?;
        slots.erase(opened, &*options.entropy).await?;
        Ok(slot)
    }

    /// Puts the key that `existing` opens into a free slot, for `new`. The slot that `existing` opened, the one that was
    /// taken, and the lock.
    async fn fill_key_slot(
        &self,
        existing: &Passphrase,
        new: &Passphrase,
        options: &KeyOptions,
    ) -> Result<(KeySlots<'_, S>, usize, usize), Error<S::Error>> {
        loop {
            let luks = KeySlots::of(self).await?.luks;
            luks.free_slot()?;
            let opened =
                luks.open(&self.top.files.image, existing, &*options.derivation, DEFAULT_MAX_ITERATIONS).await?;
            let sealed = fill_slot(KeySlot::default(), luks.header.algorithms()?, &opened.key, new, options).await?;
            let (new_slot, material) = sealed.ok_or_else(|| luks.header.unknown_cipher())?;
            let slots = KeySlots::of(self).await?;
            // Otherwise the passphrase may not open the image any more.
            if slots.luks.header.slots[opened.slot] == luks.header.slots[opened.slot] {
                let slot = slots.fill(new_slot, &material).await?;
                return Ok((slots, opened.slot, slot));
            }
        }
    }

    /// Erases a key slot: its passphrase doesn't open the image any more. Not the last one: [`Misuse::LastKeySlot`].
    ///
    /// Who has a copy of the file from before can still open that. An interrupted call may leave the key material of a slot
    /// that is inactive already; a slot can be erased again.
    pub async fn erase_key_slot(&self, slot: usize, entropy: &dyn Entropy) -> Result<(), Error<S::Error>> {
        let slots = KeySlots::of(self).await?;
        let header = &slots.luks.header;
        let found = header.slots.get(slot).ok_or(Misuse::NoSuchKeySlot { slot })?;
        let active = header.slots.iter().filter(|slot| slot.active).count();
        if found.active && active == 1 {
            return Err(Misuse::LastKeySlot.into());
        }
        slots.erase(slot, entropy).await
    }
}

/// The key slots of an image that can be written; nobody else changes metadata meanwhile.
struct KeySlots<'a, S> {
    disk: Disk<'a, S>,
    luks: Luks,
    _guard: Guard<'a>,
}

impl<'a, S: StorageMut> KeySlots<'a, S> {
    async fn of(image: &'a Image<S>) -> Result<Self, Error<S::Error>> {
        let disk = Disk::enter(image).await?;
        let guard = disk.writeback.lock.acquire().await;
        let file = &disk.file.files.image;
        let head = StoredHeader::read(file).await.map_err(Error::Storage)??;
        let place = head.crypto_header()?.ok_or(Misuse::NoKeySlots)?;
        let luks = Luks::read(file, place).await?;
        Ok(Self { disk, luks, _guard: guard })
    }

    /// Makes the first slot that is inactive `new`, but for where its material is.
    async fn fill(&self, new: KeySlot, material: &[u8]) -> Result<usize, Error<S::Error>> {
        let header = &self.luks.header;
        let free = self.luks.free_slot()?;
        let KeySlot { material: place, stripes, .. } = header.slots[free];
        let slot = KeySlot { material: place, stripes, ..new };
        self.write(header.material(&slot).start, material).await?;
        self.write(LuksHeader::slot_offset(free), &KeySlot { active: false, ..slot }.emit()).await?;
        self.barrier().await?;
        self.write(LuksHeader::slot_offset(free), &KeySlot::state(true)).await?;
        self.barrier().await?;
        Ok(free)
    }

    async fn erase(&self, slot: usize, entropy: &dyn Entropy) -> Result<(), Error<S::Error>> {
        let header = &self.luks.header;
        let found = header.slots.get(slot).ok_or(Misuse::NoSuchKeySlot { slot })?;
        self.write(LuksHeader::slot_offset(slot), &KeySlot::state(false)).await?;
        self.barrier().await?;
        let range = header.material(found);
        // At most 64 bytes by 4000: the header was checked.
        let mut noise = Zeroizing::new(vec![0; usize::try_from(range.end - range.start).unwrap_or(0)]);
        for _ in 0..OVERWRITES {
            entropy.fill(&mut noise).map_err(Misuse::from)?;
            self.write(range.start, &noise).await?;
            self.barrier().await?;
        }
        let empty = KeySlot { active: false, iterations: 0, salt: Default::default(), ..*found };
        let fields: Vec<u8> = empty.emit();
        self.write(LuksHeader::slot_offset(slot), &fields).await?;
        self.barrier().await
    }

    /// Writes at `place`, counted from the beginning of the LUKS header.
    async fn write(&self, place: u64, bytes: &[u8]) -> Result<(), Error<S::Error>> {
        let file = &self.disk.file.files.image;
        self.disk.writeback.write(file.write(self.luks.start.plus(place), bytes)).await
    }

    async fn barrier(&self) -> Result<(), Error<S::Error>> {
        self.disk.writeback.sync(self.disk.file.files.image.flush()).await
    }
}
