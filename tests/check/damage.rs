//! Damage to an image: another value in one of its fields, or in a few.

use std::fmt;

use super::anatomy::{Field, What, fields};
use super::bases::Base;
use crate::common::index;
use crate::common::random::Random;

/// An image with something broken in it.
#[derive(Clone)]
pub struct Damaged {
    /// Which base image.
    pub base: usize,
    pub changes: Vec<Change>,
    /// The file is cut there.
    pub cut: Option<u64>,
}

#[derive(Clone)]
pub struct Change {
    pub field: Field,
    pub from: u64,
    pub to: u64,
}

impl Damaged {
    /// One field, or with a small chance two or three, or the file cut short.
    pub fn any(bases: &[Base], all_fields: &[Vec<Field>], random: &mut Random) -> Self {
        let base = index(random.below(bases.len() as u64));
        let bytes = &bases[base].bytes;
        let count = 1 + u64::from(random.one_in(6)) + u64::from(random.one_in(12));
        let changes = (0..count).map(|_| {
            // Each kind of field as often, however many there are of it.
            let mut kinds: Vec<What> = all_fields[base].iter().map(|field| field.what).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let kind = random.pick(&kinds);
            let of_kind: Vec<_> = all_fields[base].iter().filter(|field| field.what == kind).copied().collect();
            Change::any(bytes, random.pick(&of_kind), random)
        });
        let changes = changes.collect();
        let cut = random.one_in(40).then(|| 512 + random.below(bytes.len() as u64 - 512));
        Self { base, changes, cut }
    }

    pub fn bytes(&self, bases: &[Base]) -> Vec<u8> {
        let mut bytes = bases[self.base].bytes.clone();
        for Change { field, to, .. } in &self.changes {
            let end = index(field.offset) + field.length;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[index(field.offset)..end].copy_from_slice(&to.to_be_bytes()[8 - field.length..]);
        }
        if let Some(cut) = self.cut {
            bytes.truncate(index(cut));
        }
        bytes
    }

    pub fn describe(&self, bases: &[Base]) -> String {
        let cut = self.cut.map(|cut| format!(", cut at {cut}")).unwrap_or_default();
        format!("{:?}: {:?}{cut}", bases[self.base].name, self.changes)
    }

    pub fn touches(&self, what: What) -> bool {
        self.changes.iter().any(|change| change.field.what == what)
    }

    pub fn touches_header(&self, offset: u64) -> bool {
        self.changes.iter().any(|change| change.field.what == What::Header && change.field.offset == offset)
    }
}

impl Change {
    fn any(bytes: &[u8], field: Field, random: &mut Random) -> Self {
        let bits = 8 * field.length as u64;
        let from = number(bytes, field.offset, field.length);
        let cluster = 1 << number(bytes, 20, 4);
        let flags = from & 0xff00_0000_0000_01ff;
        let other = random.below(bytes.len() as u64 / 8) * 8;
        let to = match random.below(14) {
            0 => 0,
            1 => u64::MAX,
            2..5 => from ^ 1 << random.below(bits),
            5 => from ^ 1 << 63 ^ 1 << 62,
            6 => from.wrapping_add(1),
            7 => from.wrapping_sub(1),
            8 => from.wrapping_add(cluster),
            9 => from.wrapping_add(512),
            10 => flags | (random.below(bytes.len() as u64 / cluster + 2) * cluster),
            11 => flags | ((bytes.len() as u64).next_multiple_of(cluster) + random.below(9) * cluster),
            12 => number(bytes, other, field.length),
            _ => random.next(),
        };
        Self { field, from, to: to & (u64::MAX >> (64 - bits)) }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field: Field { what, offset, length }, from, to } = self;
        write!(f, "{what:?} at {offset} ({length} bytes): {from:#x} -> {to:#x}")
    }
}

/// The fields of each base.
pub fn all_fields(bases: &[Base]) -> Vec<Vec<Field>> {
    bases.iter().map(|base| fields(&base.bytes)).collect()
}

fn number(bytes: &[u8], at: u64, length: usize) -> u64 {
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    (index(at)..index(at) + length).fold(0, |number, at| number << 8 | byte(at))
}
