//! Exclusive access for operations that restructure the tables.

use core::cell::Cell;

use super::waiters::Waiters;

/// A lock with shared access for guest requests and exclusive access for restructuring operations.
///
/// A waiting exclusive access blocks new shared accesses. Therefore a request with shared access must not enter again:
/// it would wait for itself.
#[derive(Default)]
pub(crate) struct Gate {
    /// The number of shared accesses.
    inside: Cell<usize>,
    /// An exclusive access exists or waits.
    closed: Cell<bool>,
    waiters: Waiters,
}

/// Shared access until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct SharedGuard<'a> {
    gate: &'a Gate,
}

/// Exclusive access until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct ExclusiveGuard<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Acquires shared access without waiting.
    pub(crate) fn try_enter(&self) -> Option<SharedGuard<'_>> {
        if self.closed.get() {
            return None;
        }
        self.inside.set(self.inside.get() + 1);
        Some(SharedGuard { gate: self })
    }

    /// Waits for shared access.
    pub(crate) async fn enter(&self) -> SharedGuard<'_> {
        self.waiters.until(|| self.try_enter()).await
    }

    /// Waits for other exclusive accesses, blocks new shared accesses, and waits until the existing ones end.
    pub(crate) async fn close(&self) -> ExclusiveGuard<'_> {
        let closed = self.waiters.until(|| (!self.closed.replace(true)).then(|| ExclusiveGuard { gate: self })).await;
        self.waiters.until(|| (self.inside.get() == 0).then_some(())).await;
        closed
    }
}

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        self.gate.inside.set(self.gate.inside.get() - 1);
        if self.gate.closed.get() && self.gate.inside.get() == 0 {
            self.gate.waiters.wake_all();
        }
    }
}

impl Drop for ExclusiveGuard<'_> {
    fn drop(&mut self) {
        self.gate.closed.set(false);
        self.gate.waiters.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ready::now_or_never;

    #[test]
    fn exclusive_access_waits_for_shared_accesses_and_blocks_new_ones() {
        let gate = Gate::default();
        let inside = gate.try_enter();
        assert!(now_or_never(gate.close()).is_none(), "a request has shared access");
        // The dropped future no longer blocks new accesses.
        let second = gate.try_enter();
        assert!(second.is_some());
        drop((inside, second));
        let closed = now_or_never(gate.close());
        assert!(closed.is_some());
        assert!(gate.try_enter().is_none());
        assert!(now_or_never(gate.close()).is_none(), "one at a time");
        drop(closed);
        assert!(now_or_never(gate.enter()).is_some());
    }
}
