//! A mutex that can be held across awaits.

use core::cell::Cell;

use super::waiters::Waiters;

/// A mutex for the tasks of one thread. It is safe to drop a future that waits for it or holds it.
#[derive(Default)]
pub(crate) struct Lock {
    locked: Cell<bool>,
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

    #[inline]
    pub(crate) fn try_acquire(&self) -> Option<Guard<'_>> {
        (!self.locked.replace(true)).then(|| Guard { lock: self })
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.locked.set(false);
        self.lock.waiters.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::now_or_never;

    #[test]
    fn a_dropped_acquire_leaves_the_lock_held() {
        let lock = Lock::default();
        let held = now_or_never(lock.acquire());
        assert!(held.is_some());
        assert!(now_or_never(lock.acquire()).is_none());
        assert!(now_or_never(lock.acquire()).is_none());
        drop(held);
        assert!(now_or_never(lock.acquire()).is_some());
    }
}
