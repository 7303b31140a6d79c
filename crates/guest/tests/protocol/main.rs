//! Host and agent over real sockets: what each makes of a slow, a broken and a hostile other end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod floods;
mod hostile;
mod sessions;
mod slow;
mod support;
