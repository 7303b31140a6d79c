//! Fuzz targets for what comes from a guest or a client: `make fuzz ARGS=60` runs each for a minute.
//!
//! | target | what is hostile |
//! |---|---|
//! | `frames` | what either side says on an upgraded stream |
//! | `port` | the bytes of a virtio-serial port |
//! | `multiplexer` | a guest behind that port: yamux, then HTTP |
//! | `answers` | a guest's agent: HTTP heads, JSON, frames |
//! | `requests` | who speaks to the agent |
//! | `calls` | who speaks to the daemon: heads, JSON bodies, upgrades, uploads |
//! | `log` | what a guest prints on its console |
//!
//! Decoders of archives, images and documents have theirs beside them, with `proptest`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod agent;
mod daemon;
mod guest_side;
mod log;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Nothing may take longer to be answered or refused.
const PATIENCE: Duration = Duration::from_secs(20);

/// Panics in tasks that nobody waits for are findings, too.
struct Panics;

static PANICS: AtomicUsize = AtomicUsize::new(0);

impl Panics {
    fn counted() -> Self {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(panic);
        }));
        Self
    }

    fn assert_none(&self) {
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a task panicked");
    }
}
