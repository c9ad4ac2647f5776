//! The key slots of a LUKS image: the passphrases that open it.
//!
//! A key is derived before any lock is acquired, because that may take seconds. It is used only if its key slot has not
//! changed meanwhile.
//!
//! A slot is written while it is inactive. One write of four bytes activates or deactivates it. So after a crash at any
//! moment, the old or the new passphrases open the image.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::key_material::{Entropy, KeyOptions};
use super::luks::{Luks, fill_slot};
use super::unlock::DEFAULT_MAX_ITERATIONS;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::stack::wiping;
use crate::error::{Error, Misuse};
use crate::format::luks::{KeySlot, LuksHeader};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::open::header::StoredHeader;
use crate::meta::lock::Guard;
use crate::storage::StorageMut;

/// How often the key material of an erased slot is overwritten, in case the medium keeps old contents.
const OVERWRITES: usize = 3;

impl<S: StorageMut> Image<S> {
    /// Adds the passphrase `new`, using the key that `existing` opens.
    ///
    /// Returns the number of the new key slot, 0 to 7.
    ///
    /// Key derivation is slow on purpose; other requests continue meanwhile. The change is durable when it completes.
    /// It applies to the image itself, not to its backing files.
    pub async fn add_passphrase(
        &self,
        existing: impl Into<Passphrase>,
        new: impl Into<Passphrase>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        self.add_to_slot(&existing.into(), &new.into(), None, options).await
    }

    /// As [`Image::add_passphrase`], for the key slot of number `slot`, which must be inactive:
    /// [`Misuse::KeySlotInUse`].
    pub async fn add_passphrase_to_slot(
        &self,
        slot: usize,
        existing: impl Into<Passphrase>,
        new: impl Into<Passphrase>,
        options: &KeyOptions,
    ) -> Result<(), Error<S::Error>> {
        self.add_to_slot(&existing.into(), &new.into(), Some(slot), options).await.map(drop)
    }

    async fn add_to_slot(
        &self,
        existing: &Passphrase,
        new: &Passphrase,
        slot: Option<usize>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        let (slots, _, slot) = wiping(self.fill_key_slot(existing, new, slot, options)).await?;
        drop(slots);
        Ok(slot)
    }

    /// Replaces the passphrase `old` with `new`. Returns the number of the new key slot.
    ///
    /// The new passphrase gets another slot, because the old slot is erased only after the new one is complete.
    ///
    /// As with [`Image::add_passphrase`], other requests continue while keys are derived.
    pub async fn change_passphrase(
        &self,
        old: impl Into<Passphrase>,
        new: impl Into<Passphrase>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        let (slots, opened, slot) = wiping(self.fill_key_slot(&old.into(), &new.into(), None, options)).await?;
        slots.erase(opened, &*options.entropy).await?;
        Ok(slot)
    }

    /// Stores the key that `existing` opens for `new`: in the slot `wanted`, or in the first inactive one. Returns the locked
    /// slots, the slot that `existing` opened and the new slot.
    async fn fill_key_slot(
        &self,
        existing: &Passphrase,
        new: &Passphrase,
        wanted: Option<usize>,
        options: &KeyOptions,
    ) -> Result<(KeySlots<'_, S>, usize, usize), Error<S::Error>> {
        loop {
            let luks = KeySlots::of(self).await?.luks;
            luks.slot_to_fill(wanted)?;
            let opened =
                luks.open(&self.top.files.image, existing, &*options.derivation, DEFAULT_MAX_ITERATIONS).await?;
            let sealed = fill_slot(KeySlot::default(), luks.header.algorithms()?, &opened.key, new, options).await?;
            let (new_slot, material) = sealed.ok_or_else(|| luks.header.unknown_cipher())?;
            let slots = KeySlots::of(self).await?;
            // If the slot has changed, the passphrase may no longer open the image.
            if slots.luks.header.slots[opened.slot] == luks.header.slots[opened.slot] {
                let slot = slots.fill(new_slot, &material, wanted).await?;
                return Ok((slots, opened.slot, slot));
            }
        }
    }

    /// Erases a key slot: its passphrase no longer opens the image.
    ///
    /// The last slot cannot be erased: [`Misuse::LastKeySlot`].
    ///
    /// The passphrase still opens older copies of the file. An interrupted call may leave the key material of a slot
    /// that is already inactive; a slot can be erased again.
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

    /// Erases every key slot that `passphrase` opens, or only the slot `only`. Returns how many there were.
    ///
    /// Fails with [`Misuse::WrongPassphrase`] if there is none, and with [`Misuse::LastKeySlot`] if no other slot would be
    /// left. Otherwise as [`Image::erase_key_slot`]. Tries all slots, so it takes as long as eight wrong passphrases.
    pub async fn erase_passphrase(
        &self,
        passphrase: impl Into<Passphrase>,
        only: Option<usize>,
        options: &KeyOptions,
    ) -> Result<usize, Error<S::Error>> {
        let passphrase = passphrase.into();
        loop {
            let luks = KeySlots::of(self).await?.luks;
            if let Some(slot) = only.filter(|slot| *slot >= luks.header.slots.len()) {
                return Err(Misuse::NoSuchKeySlot { slot }.into());
            }
            let file = &self.top.files.image;
            let opened = wiping(luks.slots_of(file, &passphrase, only, &*options.derivation)).await?;
            let slots = KeySlots::of(self).await?;
            if slots.luks.header.slots != luks.header.slots {
                continue;
            }
            let active = luks.header.slots.iter().filter(|slot| slot.active).count();
            match opened.len() {
                0 => return Err(Misuse::WrongPassphrase.into()),
                count if count == active => return Err(Misuse::LastKeySlot.into()),
                count => {
                    for slot in opened {
                        slots.erase(slot, &*options.entropy).await?;
                    }
                    return Ok(count);
                }
            }
        }
    }
}

/// The key slots of an image that is open for writing, with the metadata lock.
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
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
        let crypto_header = stored.crypto_header()?.ok_or(Misuse::NoKeySlots)?;
        let luks = Luks::read(file, crypto_header).await?;
        Ok(Self { disk, luks, _guard: guard })
    }

    /// Writes `new` to the slot `wanted`, or to the first inactive one, which keeps the position of its key material.
    async fn fill(&self, new: KeySlot, material: &[u8], wanted: Option<usize>) -> Result<usize, Error<S::Error>> {
        let header = &self.luks.header;
        let free = self.luks.slot_to_fill(wanted)?;
        let KeySlot { material: material_offset, stripes, .. } = header.slots[free];
        let slot = KeySlot { material: material_offset, stripes, ..new };
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

    /// Writes at `offset` within the LUKS header.
    async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error<S::Error>> {
        let file = &self.disk.file.files.image;
        self.disk.writeback.write(file.write(self.luks.start.plus(offset), bytes)).await
    }

    async fn barrier(&self) -> Result<(), Error<S::Error>> {
        self.disk.writeback.sync(self.disk.file.files.image.flush()).await
    }
}
