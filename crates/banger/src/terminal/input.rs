//! Stdin as a stream of pieces, read by a thread of its own: not every stdin can be waited for otherwise (a regular
//! file cannot), and the runtime's own stdin holds up the program's end until somebody presses a key.

use std::os::fd::{AsFd, OwnedFd};

use guest::frames::MAX_PAYLOAD;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::stdin;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Stdin, read while this exists. Dropping it ends the reading; what nobody has read yet stays for the next reader.
pub struct Input {
    pieces: mpsc::Receiver<Vec<u8>>,
    /// Its closing wakes the thread.
    _wake: OwnedFd,
}

impl Input {
    /// Begins to read.
    ///
    /// # Errors
    /// No pipe or thread can be had.
    pub fn open() -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("cannot read stdin: {error}"));
        let (woken, wake) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(&error))?;
        // One piece waits while one is sent: reading stays at most that far ahead.
        let (sender, pieces) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || pump(&woken, &sender))
            .map_err(|error| failed(&error))?;
        Ok(Self { pieces, _wake: wake })
    }

    /// The next bytes; `None` at the end. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.pieces.recv().await
    }
}

fn pump(woken: &OwnedFd, pieces: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; MAX_PAYLOAD];
    while wait(woken) {
        match retry_on_intr(|| read(stdin(), &mut buffer)) {
            // Somebody has made stdin non-blocking, and somebody else was faster.
            Err(Errno::AGAIN) => {}
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if pieces.blocking_send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until stdin has something, or its end; `false` when nobody wants it any more.
fn wait(woken: &OwnedFd) -> bool {
    let stdin = stdin();
    let mut fds = [
        PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
        PollFd::new(&stdin, PollFlags::IN),
    ];
    retry_on_intr(|| poll(&mut fds, None)).is_ok() && fds[0].revents().is_empty()
}
