//! Memory that the daemon has done with goes back to the host.
//!
//! glibc keeps what is freed, in an arena per thread, for allocations to come: an import of 200 MiB would stay as the
//! daemon's size until it ends.
#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "glibc's malloc_trim is in no crate that is used here")
)]

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Gives back soon, on a thread that may wait. Asked again meanwhile, it is done once.
pub(crate) fn give_back() {
    if ASKED.swap(true, Ordering::AcqRel) {
        return;
    }
    tokio::task::spawn_blocking(|| {
        ASKED.store(false, Ordering::Release);
        trim();
    });
}

#[cfg(target_env = "gnu")]
fn trim() {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> c_int;
    }
    // SAFETY: malloc_trim(3): thread-safe, and touches free memory only.
    unsafe { malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
