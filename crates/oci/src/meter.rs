//! How far the unpacking of an image's layers is, counted in bytes of the layers as they are stored.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what is read of layers; clones count together, so that one may look while another reads.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    /// Bytes that have been read, and that will have been: more than at first where layers turn out to be read twice.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        let total = self.0.total.load(Ordering::Relaxed);
        (self.0.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Expects so much more, from now on.
    pub(crate) fn expect(&self, bytes: u64) {
        let done = self.0.done.load(Ordering::Relaxed);
        self.0.total.store(done.saturating_add(bytes), Ordering::Relaxed);
    }

    /// Counts what need not be read.
    pub(crate) fn pass(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        let total = self.0.total.load(Ordering::Relaxed);
        self.0.done.store(total, Ordering::Relaxed);
    }

    pub(crate) fn counted<R>(&self, source: R) -> Counted<R> {
        Counted {
            source,
            meter: self.clone(),
        }
    }
}

/// A reader that counts.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    source: R,
    meter: Meter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.meter.pass(read as u64);
        Ok(read)
    }
}
