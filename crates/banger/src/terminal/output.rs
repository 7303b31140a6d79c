//! A command's output on stdout and stderr, in the order in which it came, by a thread of its own: a reader that is
//! slow holds up the command, as a pipe does, and not the program's signals.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::stdio::{stderr, stdout};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;

/// A piece of output.
pub enum Piece {
    /// For stdout.
    Out(Vec<u8>),
    /// For stderr.
    Err(Vec<u8>),
}

/// The two streams.
pub struct Output {
    pieces: mpsc::Sender<Piece>,
    outcome: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Begins to write.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn open() -> Result<Self, Failure> {
        let (pieces, mut receiver) = mpsc::channel::<Piece>(4);
        let (end, outcome) = oneshot::channel();
        std::thread::Builder::new()
            .name("stdout".into())
            .spawn(move || {
                let mut written = Ok(());
                while let Some(piece) = receiver.blocking_recv() {
                    written = match piece {
                        Piece::Out(bytes) => write_all(stdout(), &bytes),
                        Piece::Err(bytes) => write_all(stderr(), &bytes),
                    };
                    if written.is_err() {
                        break;
                    }
                }
                let _ = end.send(written);
            })
            .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
        Ok(Self { pieces, outcome })
    }

    /// Hands over a piece; waits while the reader is slow. `false` when a stream has broken: [`Output::finish`] says
    /// how.
    pub async fn write(&self, piece: Piece) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// What the first broken stream said.
    pub async fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        self.outcome.await.unwrap_or(Ok(()))
    }
}

fn write_all(stream: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(stream, bytes)) {
            Ok(written) => bytes = &bytes[written..],
            // Somebody who shares the terminal or pipe has made it non-blocking.
            Err(Errno::AGAIN) => {
                retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(stream, PollFlags::OUT)], None))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
