//! Who changes the tables as a whole has the image alone.

use core::cell::Cell;

use super::waiters::Waiters;

/// Requests of the guest are inside while they run. ExclusiveGuard, it lets nobody in, and whoever closed it goes on when all
/// who were inside have left.
///
/// Nobody who is inside enters once more, for it may be closed in between.
#[derive(Default)]
pub(crate) struct Gate {
    inside: Cell<usize>,
    closed: Cell<bool>,
    waiters: Waiters,
}

/// SharedGuard until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct SharedGuard<'a> {
    gate: &'a Gate,
}

/// Keeps the gate closed until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct ExclusiveGuard<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Enters where nothing has to be waited for.
    pub(crate) fn try_enter(&self) -> Option<SharedGuard<'_>> {
        if self.closed.get() {
            return None;
        }
        self.inside.set(self.inside.get() + 1);
        Some(SharedGuard { gate: self })
    }

    pub(crate) async fn enter(&self) -> SharedGuard<'_> {
        self.waiters.until(|| self.try_enter()).await
    }

    /// Waits until nobody else keeps it closed, closes it, and waits until nobody is inside.
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
    fn closed_it_waits_for_those_inside_and_lets_nobody_in() {
        let gate = Gate::default();
        let inside = gate.try_enter();
        assert!(now_or_never(gate.close()).is_none(), "somebody is inside");
        // Who gave up closing it has opened it again.
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
