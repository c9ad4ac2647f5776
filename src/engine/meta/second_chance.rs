//! A map bounded in bytes that forgets what was not used lately: the second-chance ("clock") algorithm.

use alloc::vec::Vec;
use core::cell::Cell;
use core::hash::Hash;

use hashbrown::HashMap;

/// A value of the cache that may have to stay.
pub(crate) trait Evictable {
    /// Whether it can be forgotten now.
    fn is_evictable(&self) -> bool;
}

/// Holds values of at most `budget` bytes together; more only where those that have to stay need it, or a single one
/// is larger. An access costs one look-up and sets one flag: nothing moves.
pub(crate) struct SecondChance<K, V> {
    index: HashMap<K, usize>,
    entries: Vec<Entry<K, V>>,
    budget: usize,
    used: usize,
    hand: usize,
}

struct Entry<K, V> {
    key: K,
    value: V,
    bytes: usize,
    used: bool,
}

impl<K: Copy + Eq + Hash, V: Evictable> SecondChance<K, V> {
    /// What the map takes to keep account of a value: its vector and its table may be twice as large as they need be.
    pub(crate) const OVERHEAD: usize = 2 * (size_of::<Entry<K, V>>() + size_of::<(K, usize)>());

    pub(crate) fn new(budget: usize) -> Self {
        Self { index: HashMap::new(), entries: Vec::new(), budget, used: 0, hand: 0 }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<&V> {
        let entry = &mut self.entries[*self.index.get(&key)?];
        entry.used = true;
        Some(&entry.value)
    }

    /// As [`Self::get`], without a look-up where the value is at the position of `hint`: where it was found by that hint last.
    #[inline]
    pub(crate) fn get_near(&mut self, key: K, hint: &Cell<usize>) -> Option<&V> {
        if self.entries.get(hint.get()).is_none_or(|entry| entry.key != key) {
            hint.set(*self.index.get(&key)?);
        }
        let entry = &mut self.entries[hint.get()];
        entry.used = true;
        Some(&entry.value)
    }

    /// Puts `value`, of `bytes` bytes, under `key`, and hands what had to make room for it to `evicted`.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize, mut evicted: impl FnMut(V)) {
        if let Some(position) = self.index.get(&key) {
            evicted(self.remove_at(*position));
        }
        while self.used.saturating_add(bytes) > self.budget {
            let Some(victim) = self.victim() else {
                break;
            };
            evicted(self.remove_at(victim));
        }
        self.index.insert(key, self.entries.len());
        self.entries.push(Entry { key, value, bytes, used: true });
        self.used = self.used.saturating_add(bytes);
    }

    /// Forgets what is under `key`, whether or not it could be evicted.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let position = *self.index.get(&key)?;
        Some(self.remove_at(position))
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.entries.clear();
        self.used = 0;
    }

    /// The first entry from the hand on that can go, and was not used since the hand last passed it. The first round
    /// clears every flag, so two rounds find it if there is one.
    fn victim(&mut self) -> Option<usize> {
        for _ in 0..2 * self.entries.len() {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let position = self.hand;
            let entry = &mut self.entries[position];
            if !entry.used && entry.value.is_evictable() {
                return Some(position);
            }
            entry.used = false;
            self.hand += 1;
        }
        None
    }

    fn remove_at(&mut self, position: usize) -> V {
        let entry = self.entries.swap_remove(position);
        self.index.remove(&entry.key);
        if let Some(moved) = self.entries.get(position) {
            self.index.insert(moved.key, position);
        }
        self.used -= entry.bytes;
        entry.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Evictable for char {
        fn is_evictable(&self) -> bool {
            self.is_lowercase()
        }
    }

    fn insert(map: &mut SecondChance<u32, char>, key: u32, value: char, bytes: usize) -> Vec<char> {
        let mut evicted = Vec::new();
        map.insert(key, value, bytes, |value| evicted.push(value));
        evicted
    }

    #[test]
    fn forgets_what_was_not_used() {
        let mut map = SecondChance::new(2);
        insert(&mut map, 1, 'a', 1);
        insert(&mut map, 2, 'b', 1);
        // Both are fresh: the hand clears both flags, comes round, and takes the first.
        assert_eq!(insert(&mut map, 3, 'c', 1), ['a']);
        assert_eq!(map.get(3), Some(&'c'));
        // 2 has not been used since, 3 has.
        assert_eq!(insert(&mut map, 4, 'd', 1), ['b']);
        assert_eq!([2, 3, 4].map(|key| map.get(key).copied()), [None, Some('c'), Some('d')]);
    }

    #[test]
    fn a_hint_is_only_a_hint() {
        let mut map = SecondChance::new(3);
        let hint = Cell::new(7);
        assert_eq!(map.get_near(1, &hint), None);
        for (key, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            insert(&mut map, key, value, 1);
        }
        assert_eq!((map.get_near(3, &hint).copied(), hint.get()), (Some('c'), 2));
        // The last takes the place of the one that is gone.
        map.remove(1);
        assert_eq!((map.get_near(3, &hint).copied(), hint.get()), (Some('c'), 0));
        assert_eq!((map.get_near(2, &hint).copied(), hint.get()), (Some('b'), 1));
        assert_eq!(map.get_near(1, &hint), None);
    }

    #[test]
    fn never_holds_more_than_its_budget() {
        let mut map = SecondChance::new(100);
        for key in 0..1000_u32 {
            insert(&mut map, key % 37, 'x', (key as usize * 7) % 41);
            assert_eq!(map.get(key % 37), Some(&'x'));
            assert!(map.used <= 100, "{} bytes", map.used);
            assert_eq!(map.used, map.entries.iter().map(|entry| entry.bytes).sum::<usize>());
            assert_eq!(map.entries.len(), map.index.len());
            assert!(map.entries.iter().enumerate().all(|(position, entry)| map.index[&entry.key] == position));
        }
    }

    #[test]
    fn holds_one_value_that_is_larger() {
        let mut map = SecondChance::new(0);
        insert(&mut map, 1, 'a', 5);
        assert_eq!(insert(&mut map, 2, 'b', 7), ['a']);
        assert_eq!(map.get(2), Some(&'b'));
    }

    #[test]
    fn keeps_what_has_to_stay() {
        let mut map = SecondChance::new(2);
        insert(&mut map, 1, 'A', 1);
        insert(&mut map, 2, 'B', 1);
        assert_eq!(insert(&mut map, 3, 'c', 1), []);
        assert_eq!(insert(&mut map, 4, 'd', 1), ['c']);
        assert_eq!([1, 2, 3, 4].map(|key| map.get(key).copied()), [Some('A'), Some('B'), None, Some('d')]);
        assert_eq!(map.remove(1), Some('A'));
        assert_eq!(map.get(1), None);
    }

    #[test]
    fn replaces_what_is_there() {
        let mut map = SecondChance::new(10);
        insert(&mut map, 1, 'a', 3);
        assert_eq!(insert(&mut map, 1, 'b', 4), ['a']);
        assert_eq!(map.get(1), Some(&'b'));
        assert_eq!((map.used, map.entries.len()), (4, 1));
    }
}
