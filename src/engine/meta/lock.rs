//! One at a time, across awaits.

use core::cell::Cell;

use super::waiters::Waiters;

/// A lock for a single thread. Dropping a future that waits for it, or holds it, is safe.
#[derive(Default)]
pub(crate) struct Lock {
    taken: Cell<bool>,
    waiters: Waiters,
}

/// Holds the lock until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct Guard<'a> {
    lock: &'a Lock,
}

impl Lock {
    pub(crate) async fn acquire(&self) -> Guard<'_> {
        self.waiters.until(|| self.try_acquire()).await
    }

    pub(crate) fn try_acquire(&self) -> Option<Guard<'_>> {
        (!self.taken.replace(true)).then(|| Guard { lock: self })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.lock.taken.set(false);
        self.lock.waiters.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::now_or_never;

    #[test]
    fn who_does_not_get_it_leaves_it_to_who_has_it() {
        let lock = Lock::default();
        let held = now_or_never(lock.acquire());
        assert!(held.is_some());
        assert!(now_or_never(lock.acquire()).is_none());
        assert!(now_or_never(lock.acquire()).is_none());
        drop(held);
        assert!(now_or_never(lock.acquire()).is_some());
    }
}
