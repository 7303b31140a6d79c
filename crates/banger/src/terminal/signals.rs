//! Signals as something to wait for.

use std::future::poll_fn;
use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

use super::unheard;
use crate::failure::Failure;

/// Those that ask a program to end, and those that a command in a guest may have a use for.
const FOR_COMMANDS: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Those that ask a program to end.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Those that concern a terminal.
const OF_TERMINAL: [Signal; 2] = [Signal::SIGWINCH, Signal::SIGCONT];

/// A set of signals that are caught from now on, for the rest of the program.
pub struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Signals that ask this program to end.
    ///
    /// # Errors
    /// The system refuses.
    pub fn ending() -> Result<Self, Failure> {
        Self::catch(&ENDING)
    }

    /// Signals that a command is given.
    ///
    /// # Errors
    /// The system refuses.
    pub fn for_commands() -> Result<Self, Failure> {
        Self::catch(&FOR_COMMANDS)
    }

    /// Changes of the terminal's size, and being woken after a stop.
    ///
    /// # Errors
    /// The system refuses.
    pub fn of_terminal() -> Result<Self, Failure> {
        Self::catch(&OF_TERMINAL)
    }

    /// None at all: they do what they do to a program that does not care.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    fn catch(signals: &[Signal]) -> Result<Self, Failure> {
        let ignored = ignored();
        let mut caught = Vec::new();
        for signal in signals {
            // What the caller has us ignore stays ignored: nohup, and background jobs of a plain shell.
            if ignored & (1 << (*signal as u32 - 1)) != 0 {
                continue;
            }
            let stream = unix::signal(SignalKind::from_raw(*signal as i32))
                .map_err(|error| Failure::new(format!("cannot catch {signal}: {error}")))?;
            caught.push((*signal, stream));
        }
        unheard::watch(caught.iter().map(|(signal, _)| *signal))?;
        Ok(Self(caught))
    }

    /// The next signal. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    unheard::note_heard();
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The code of a program that ended because of this signal.
pub fn exit_code(signal: Signal) -> u8 {
    128u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0))
}

/// Mask of the signals that this process ignores, as the kernel shows it (proc_pid_status(5)).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
