//! From the command to the host: whatever it writes, at the pace at which the host reads.
//!
//! All that the command itself has written is sent before its exit. What it left in the background may hold its
//! streams open for ever (`server &`): ssh would wait for it, which has hung many a script; here the exit follows once
//! nothing has come for a moment, or enough of them.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use guest::frames::{HEADER, MAX_PAYLOAD, Output, output_header};
use rustix::io::Errno;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use super::running::Ends;
use crate::descriptor::Descriptor;

/// Room for output to begin with. Most commands write little, and there may be hundreds.
const SMALL: usize = 4096;

/// How long a stream that is still open stays silent before the exit is sent without its end.
const QUIET: Duration = Duration::from_millis(100);

/// How long after the command's end a stream is read that is still open and never silent.
const ENOUGH: Duration = Duration::from_secs(1);

/// Carries the command's output until it is complete. An error is the host's end of the stream.
pub(super) async fn carry_all(
    stdout: &Descriptor,
    stderr: Option<&Descriptor>,
    writer: &Mutex<impl AsyncWrite + Unpin>,
    ended: &watch::Receiver<bool>,
) -> io::Result<()> {
    let stderr = async {
        match stderr {
            Some(stderr) => carry(stderr, Output::Stderr, writer, ended.clone()).await,
            None => Ok(()),
        }
    };
    futures::try_join!(carry(stdout, Output::Stdout, writer, ended.clone()), stderr).map(|_| ())
}

/// Lets a command that was hung up on end: a terminal is closed, so that the kernel hangs up on its foreground job;
/// pipes are read, so that what a handler of the signal writes is not the end of it.
pub(super) async fn discard_while(ends: Ends, ending: impl Future<Output = ()>) {
    let Ends::Pipes {
        stdin,
        stdout,
        stderr,
    } = ends
    else {
        drop(ends);
        return ending.await;
    };
    drop(stdin);
    tokio::select! {
        () = ending => {}
        ((), (), never) = async { futures::join!(discard(&stdout), discard(&stderr), pending::<Infallible>()) } => match never {},
    }
}

async fn discard(source: &Descriptor) {
    let mut buffer = vec![0; SMALL];
    while source.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

/// What is still to come from a stream whose command has ended.
struct Rest {
    /// Bytes that lay in it at that moment, not sent yet.
    unsent: u64,
    until: Instant,
}

async fn carry(
    source: &Descriptor,
    output: Output,
    writer: &Mutex<impl AsyncWrite + Unpin>,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; HEADER + SMALL];
    let mut rest = None;
    loop {
        let read = source.read(&mut buffer[HEADER..]);
        let read = match &rest {
            None => tokio::select! {
                biased;
                // Its sender lives as long as this does.
                _ = ended.wait_for(|ended| *ended) => {
                    let unsent = rustix::io::ioctl_fionread(source).unwrap_or_default();
                    rest = Some(Rest { unsent, until: Instant::now() + ENOUGH });
                    continue;
                }
                read = read => read,
            },
            Some(_) => match timeout(QUIET, read).await {
                Ok(read) => read,
                Err(_silent) => return Ok(()),
            },
        };
        let count = match read {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            // How a terminal says that nobody holds its other end.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => return Ok(()),
            Err(error) => return Err(error),
        };
        buffer[..HEADER].copy_from_slice(&output_header(output, count));
        {
            let mut writer = writer.lock().await;
            writer.write_all(&buffer[..HEADER + count]).await?;
            writer.flush().await?;
        }
        if let Some(rest) = &mut rest {
            rest.unsent = rest.unsent.saturating_sub(count as u64);
            if rest.unsent == 0 && Instant::now() >= rest.until {
                return Ok(());
            }
        }
        if HEADER + count == buffer.len() {
            buffer.resize(HEADER + MAX_PAYLOAD, 0);
        }
    }
}
