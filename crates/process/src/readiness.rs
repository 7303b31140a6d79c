//! Waiting for a process descriptor, which becomes readable when its process ends.
#![expect(
    unsafe_code,
    reason = "the runtime takes a bare descriptor number only on the caller's word"
)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until `descriptor` is readable. May be called any number of times, also at once.
pub(crate) async fn until_readable(descriptor: &OwnedFd) -> io::Result<()> {
    // A copy for each wait: one descriptor can be registered only once.
    let own = descriptor.try_clone()?;
    // SAFETY: an `OwnedFd` names one open descriptor until it is dropped, and the registration owns it.
    let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE)? };
    watched.readable().await?.retain_ready();
    Ok(())
}
