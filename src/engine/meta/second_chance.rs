//! A map bounded in bytes that evicts unused values by the second-chance ("clock") algorithm.

use alloc::vec::Vec;
use core::cell::Cell;
use core::hash::Hash;

use hashbrown::HashMap;

/// A value of the cache that may be protected from eviction.
pub(crate) trait Evictable {
    /// Returns whether the value can be evicted now.
    fn is_evictable(&self) -> bool;
}

/// A cache of values of at most `budget` bytes in total.
///
/// It exceeds the budget only if values that can't be evicted need it, or if a single value is larger. An access costs one
/// lookup and sets one flag. It moves no entry.
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
    used: Cell<bool>,
}

impl<K: Copy + Eq + Hash, V: Evictable> SecondChance<K, V> {
    /// The memory that the map itself needs per value: its vector and its table may be twice as large as necessary.
    pub(crate) const OVERHEAD: usize = 2 * (size_of::<Entry<K, V>>() + size_of::<(K, usize)>());

    pub(crate) fn new(budget: usize) -> Self {
        Self { index: HashMap::new(), entries: Vec::new(), budget, used: 0, hand: 0 }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let entry = &self.entries[*self.index.get(&key)?];
        entry.used.set(true);
        Some(&entry.value)
    }

    /// Returns the value of `key`, like [`Self::get`]. It skips the lookup if `hint` holds the position of the value.
    ///
    /// Otherwise it sets `hint` to that position.
    #[expect(clippy::inline_always, reason = "measured: two calls are a seventh of a lookup")]
    #[inline(always)]
    pub(crate) fn get_near(&self, key: K, hint: &Cell<usize>) -> Option<&V> {
        match self.entries.get(hint.get()) {
            Some(entry) if entry.key == key => {
                entry.used.set(true);
                Some(&entry.value)
            }
            _ => self.get_far(key, hint),
        }
    }

    #[inline(never)]
    fn get_far(&self, key: K, hint: &Cell<usize>) -> Option<&V> {
        let position = *self.index.get(&key)?;
        hint.set(position);
        let entry = &self.entries[position];
        entry.used.set(true);
        Some(&entry.value)
    }

    /// Inserts `value`, of `bytes` bytes, under `key`, and passes the values that it evicts or replaces to `evicted`.
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
        self.entries.push(Entry { key, value, bytes, used: Cell::new(true) });
        self.used = self.used.saturating_add(bytes);
    }

    /// Removes the value of `key`, whether or not it is evictable.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let position = *self.index.get(&key)?;
        Some(self.remove_at(position))
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.entries.clear();
        self.used = 0;
    }

    /// Returns the first evictable entry, from the hand, that was not used since the hand last passed it.
    ///
    /// The first round clears every flag, so two rounds find an entry if there is one.
    fn victim(&mut self) -> Option<usize> {
        for _ in 0..2 * self.entries.len() {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let position = self.hand;
            let entry = &self.entries[position];
            if !entry.used.get() && entry.value.is_evictable() {
                return Some(position);
            }
            entry.used.set(false);
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
    fn evicts_the_value_that_was_not_used() {
        let mut map = SecondChance::new(2);
        insert(&mut map, 1, 'a', 1);
        insert(&mut map, 2, 'b', 1);
        // Both are new: the hand clears both flags, wraps around, and evicts the first.
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
        // The last entry moves to the position of the removed one.
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
    fn never_evicts_a_protected_value() {
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
    fn insert_replaces_the_value_of_the_same_key() {
        let mut map = SecondChance::new(10);
        insert(&mut map, 1, 'a', 3);
        assert_eq!(insert(&mut map, 1, 'b', 4), ['a']);
        assert_eq!(map.get(1), Some(&'b'));
        assert_eq!((map.used, map.entries.len()), (4, 1));
    }
}
