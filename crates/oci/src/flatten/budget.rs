//! What the layers of an image have used of its [`Limits`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::Limits;
use crate::error::OciError;
use crate::fault::Fault;
use crate::layer::{Checked, Layer};
use crate::meter::Meter;
use progress::Cancel;

/// Counters that all layers of an image share, whichever thread reads them.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    meter: Meter,
    entries: AtomicU32,
    names: AtomicU64,
    bytes: Arc<AtomicU64>,
    memory: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limits: Limits, meter: Meter) -> Self {
        Self {
            limits,
            meter,
            entries: AtomicU32::new(0),
            names: AtomicU64::new(0),
            bytes: Arc::default(),
            memory: AtomicUsize::new(0),
        }
    }

    /// A layer's archive, its bytes counted.
    pub(super) fn open(&self, layer: &Layer, cancel: &Cancel) -> Result<Checked, OciError> {
        layer.open(cancel, Arc::clone(&self.bytes), self.limits.bytes, &self.meter)
    }

    /// The bound on entries.
    pub(super) fn entries(&self) -> u32 {
        self.limits.entries
    }

    /// Holds what something takes of memory against the bound.
    pub(super) fn check_memory(&self, bytes: usize) -> Result<(), Fault> {
        match bytes > self.limits.memory {
            true => Err(Fault::TooMuchMemory(self.limits.memory)),
            false => Ok(()),
        }
    }

    /// Counts memory that is held to the end of all layers.
    pub(super) fn hold_memory(&self, bytes: usize) -> Result<(), Fault> {
        let held = self.memory.fetch_add(bytes, Ordering::Relaxed);
        self.check_memory(held.saturating_add(bytes))
    }

    /// Counts one entry with that many bytes of names.
    pub(super) fn spend(&self, names: usize) -> Result<(), OciError> {
        if self.entries.fetch_add(1, Ordering::Relaxed) >= self.limits.entries {
            return Err(OciError::TooMuch {
                what: "entries",
                limit: self.limits.entries.into(),
            });
        }
        let names = names as u64;
        if self.names.fetch_add(names, Ordering::Relaxed) + names > self.limits.names {
            return Err(OciError::TooMuch {
                what: "bytes of names",
                limit: self.limits.names,
            });
        }
        Ok(())
    }
}
