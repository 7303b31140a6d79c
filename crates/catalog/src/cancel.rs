//! Stopping a fetch or build from another thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is done on cancelling, for as long as it is wanted. Its lock is held while it is done: a guard that is dropped
/// meanwhile waits for that, and nothing else does.
type Action = Arc<Mutex<Option<Box<dyn Fn() + Send>>>>;

/// Clones share one state: cancelled once, cancelled for ever.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    next: u64,
    actions: BTreeMap<u64, Action>,
}

impl Cancel {
    /// Not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels: what is under way is killed at once and ends with [`crate::CatalogError::Cancelled`].
    pub fn cancel(&self) {
        let actions: Vec<Action> = {
            let mut state = self.state();
            state.cancelled = true;
            state.actions.values().cloned().collect()
        };
        actions.iter().for_each(act);
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Has `action` done on cancelling, or now if that has happened; not after the guard is gone.
    pub(crate) fn on_cancel(&self, action: impl Fn() + Send + 'static) -> Registration {
        let action: Action = Arc::new(Mutex::new(Some(Box::new(action))));
        let mut state = self.state();
        let (id, cancelled) = (state.next, state.cancelled);
        state.next += 1;
        state.actions.insert(id, Arc::clone(&action));
        drop(state);
        if cancelled {
            act(&action);
        }
        Registration {
            cancel: self.clone(),
            id,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn act(action: &Action) {
    if let Some(action) = &*action.lock().unwrap_or_else(PoisonError::into_inner) {
        action();
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Takes the action back when dropped.
pub(crate) struct Registration {
    cancel: Cancel,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let action = self.cancel.state().actions.remove(&self.id);
        if let Some(action) = action {
            *action.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn an_action_is_done_on_cancelling_or_at_once_if_late_and_not_after_its_guard() {
        let count = Arc::new(AtomicU32::new(0));
        let counting = |count: &Arc<AtomicU32>| {
            let count = Arc::clone(count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let cancel = Cancel::new();
        let kept = cancel.on_cancel(counting(&count));
        drop(cancel.on_cancel(counting(&count)));
        assert!(!cancel.is_cancelled());
        cancel.clone().cancel();
        assert!(cancel.is_cancelled());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let _late = cancel.on_cancel(counting(&count));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(kept);
    }

    #[test]
    fn an_action_may_ask_whether_it_was_cancelled() {
        let cancel = Cancel::new();
        let (asked, seen) = (cancel.clone(), Arc::new(AtomicU32::new(0)));
        let noted = Arc::clone(&seen);
        let _kept = cancel.on_cancel(move || noted.store(asked.is_cancelled().into(), Ordering::SeqCst));
        cancel.cancel();
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}
