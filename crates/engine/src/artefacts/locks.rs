//! One maker at a time for each name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::operations::Stage;

/// Locks by kind and name.
#[derive(Debug, Default)]
pub(crate) struct NameLocks {
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Held while something of that name is being made.
#[derive(Debug)]
pub(crate) struct NameGuard {
    _guard: OwnedMutexGuard<()>,
}

impl NameLocks {
    /// Waits for the lock; says so where somebody else holds it.
    pub(crate) async fn hold(
        &self,
        kind: &str,
        name: &str,
        stage: &Stage,
        cancel: &CancellationToken,
    ) -> Result<NameGuard, EngineError> {
        let lock = self.lock(kind, name);
        if let Ok(guard) = Arc::clone(&lock).try_lock_owned() {
            return Ok(NameGuard { _guard: guard });
        }
        stage.progress(
            &format!("{name}  waiting for another start that makes it"),
            None,
            None,
        );
        tokio::select! {
            () = cancel.cancelled() => Err(EngineError::Cancelled),
            guard = lock.lock_owned() => Ok(NameGuard { _guard: guard }),
        }
    }

    /// Waits for the lock.
    pub(crate) async fn hold_silently(&self, kind: &str, name: &str) -> NameGuard {
        NameGuard {
            _guard: self.lock(kind, name).lock_owned().await,
        }
    }

    fn lock(&self, kind: &str, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(format!("{kind}/{name}")).or_default())
    }
}
