//! A command in a guest and the user's terminal, joined until one of them ends.
//!
//! ```text
//! stdin ─ thread ─►┐                               ┌─► thread ─► stdout, stderr
//! signals, resize ─┴► writer task ─► stream ─► reader ┘─► exit
//! ```

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::Duration;

use api::client::ExecStream;
use guest::frames::{Exit, Frame, FrameError};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, split};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::input::Input;
use super::modes::Modes;
use super::output::{Output, Piece};
use super::raw::{RawMode, window_size};
use super::signals::Signals;
use crate::failure::Failure;
use crate::render;

/// How long a command that was killed, or whose terminal has gone, may take to end.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// Two signals within that time mean that the user wants to get out.
const INSISTING: Duration = Duration::from_secs(1);

/// What is joined.
#[derive(Clone, Copy, Debug)]
pub struct Attachment {
    /// The command has a terminal: ours.
    pub tty: bool,
    /// Stdin is passed on.
    pub stdin: bool,
}

/// How it ended.
#[derive(Debug)]
pub enum Ending {
    /// The command ended.
    Exit(Exit),
    /// A signal asked this program to end.
    Signalled(Signal),
    /// Stdout or stderr broke.
    Output(io::Error),
    /// The stream ended before the command did, as far as anybody knows.
    Lost(Option<FrameError>),
}

/// Joins the two. The terminal is as it was before when this returns, or panics.
///
/// # Errors
/// The terminal cannot be set up.
pub async fn attach(
    stream: impl ExecStream + 'static,
    attachment: Attachment,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let mut terminal_signals = Signals::of_terminal()?;
    let output = Output::open()?;
    let raw = match attachment {
        Attachment {
            tty: true,
            stdin: true,
        } => Some(
            RawMode::enter().map_err(|error| Failure::new(format!("cannot set up the terminal: {error}")))?,
        ),
        _ => None,
    };
    let input = if attachment.stdin {
        Some(Input::open()?)
    } else {
        None
    };
    let (reader, writer) = split(stream);
    let (control, commands) = mpsc::unbounded_channel();
    let writer = tokio::spawn(write_frames(writer, commands, input));
    let modes = RefCell::new(Modes::default());
    let mut reading = std::pin::pin!(read_frames(reader, output, attachment.tty.then_some(&modes)));
    let mut deadline = Deadline::default();
    let mut insistence = Insistence::default();
    let ending = loop {
        tokio::select! {
            ending = &mut reading => break ending,
            signal = terminal_signals.next() => {
                if let (Signal::SIGCONT, Some(raw)) = (signal, &raw) {
                    let _ = raw.apply();
                }
                if attachment.tty {
                    let _ = control.send(Frame::Resize(window_size()));
                }
            }
            signal = signals.next() => {
                let ends = matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP);
                if raw.is_some() && (ends || signal == Signal::SIGQUIT) {
                    break Ending::Signalled(signal);
                }
                let insists = ends && insistence.add(Instant::now());
                let passed_on = if insists { Signal::SIGKILL } else { signal };
                let _ = control.send(Frame::Signal(passed_on as i32 as u8));
                if insists || signal == Signal::SIGHUP {
                    deadline.set(signal);
                }
            }
            signal = deadline.reached() => break Ending::Signalled(signal),
        }
    };
    writer.abort();
    if io::stdout().is_terminal() {
        // Nobody is left to tell of a terminal that has gone.
        let _ = render::output(&modes.borrow().restore());
    }
    drop(raw);
    // The user has insisted and left, whatever the command has made of it.
    Ok(match (ending, deadline.signal()) {
        (Ending::Exit(_) | Ending::Lost(_), Some(signal)) => Ending::Signalled(signal),
        (ending, _) => ending,
    })
}

/// Tells somebody who wants to get out from somebody whose command has a use for the signal.
#[derive(Default)]
struct Insistence(Option<Instant>);

impl Insistence {
    /// Whether this is the second within a second.
    fn add(&mut self, now: Instant) -> bool {
        self.0
            .replace(now)
            .is_some_and(|before| now.duration_since(before) <= INSISTING)
    }
}

/// A moment from which on nothing is waited for, once it is set.
#[derive(Default)]
struct Deadline(Option<(Instant, Signal)>);

impl Deadline {
    fn set(&mut self, signal: Signal) {
        self.0
            .get_or_insert_with(|| (Instant::now() + LAST_MOMENT, signal));
    }

    fn signal(&self) -> Option<Signal> {
        self.0.map(|(_, signal)| signal)
    }

    async fn reached(&self) -> Signal {
        match self.0 {
            Some((at, signal)) => {
                tokio::time::sleep_until(at).await;
                signal
            }
            None => std::future::pending().await,
        }
    }
}

/// Sends what the command is to get: signals and sizes before stdin.
async fn write_frames(
    mut stream: impl AsyncWrite + Unpin,
    mut control: mpsc::UnboundedReceiver<Frame>,
    mut input: Option<Input>,
) {
    loop {
        let frame = tokio::select! {
            biased;
            frame = control.recv() => match frame {
                Some(frame) => frame,
                None => return,
            },
            bytes = next_input(&mut input) => Frame::Stdin(bytes),
        };
        // A command that has ended takes nothing more; the reader learns how it ended.
        if frame.write(&mut stream).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// The next bytes of stdin: none at its end, and after that never again.
async fn next_input(input: &mut Option<Input>) -> Vec<u8> {
    let Some(open) = input else {
        return std::future::pending().await;
    };
    match open.next().await {
        Some(bytes) => bytes,
        None => {
            *input = None;
            Vec::new()
        }
    }
}

/// Passes output on until the command ends, and waits until all of it is written.
async fn read_frames(
    stream: impl AsyncRead + Unpin,
    output: Output,
    modes: Option<&RefCell<Modes>>,
) -> Ending {
    let mut stream = BufReader::with_capacity(128 << 10, stream);
    let ending = loop {
        let piece = match Frame::read(&mut stream).await {
            Ok(Some(Frame::Stdout(bytes))) => {
                if let Some(modes) = modes {
                    modes.borrow_mut().follow(&bytes);
                }
                Piece::Out(bytes)
            }
            Ok(Some(Frame::Stderr(bytes))) => Piece::Err(bytes),
            Ok(Some(Frame::Exit(exit))) => break Ending::Exit(exit),
            // What only goes the other way means nothing here.
            Ok(Some(Frame::Stdin(_) | Frame::Resize(_) | Frame::Signal(_))) => continue,
            Ok(None) => break Ending::Lost(None),
            Err(error) => break Ending::Lost(Some(error)),
        };
        if !output.write(piece).await {
            break Ending::Lost(None);
        }
    };
    match output.finish().await {
        Ok(()) => ending,
        Err(error) => Ending::Output(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_signals_within_a_second_insist_and_two_that_are_further_apart_do_not() {
        let start = Instant::now();
        let mut insistence = Insistence::default();
        let mut add = |milliseconds| insistence.add(start + Duration::from_millis(milliseconds));
        assert_eq!(
            [0, 1_100, 2_200, 3_100].map(&mut add),
            [false, false, false, true]
        );
    }
}
