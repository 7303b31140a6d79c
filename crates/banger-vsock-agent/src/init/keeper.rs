//! Keeps the agent running: a part of PID 1 where that is ours, a process of its own beside an image's init.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::agent::{self, Agent, log};

/// `argv[0]` of the process. The `@` asks systemd to leave it alive until the power goes.
pub const KEEPER_NAME: &str = "@banger-keeper";

/// An agent that ends sooner than this is not started again at once: it may never come up.
const LIVED: Duration = Duration::from_secs(1);

/// An agent, and when it is to be started again.
pub(super) struct Keeper {
    agent: Agent,
    started: Instant,
    restart: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            agent,
            started: Instant::now(),
            restart: None,
        }
    }

    /// The agent, unless it has ended.
    pub(super) fn pid(&self) -> Option<Pid> {
        if self.restart.is_some() {
            return None;
        }
        Pid::from_raw(self.agent.id().cast_signed())
    }

    /// Hears that the agent has ended.
    pub(super) fn ended(&mut self, status: WaitStatus) {
        let how = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (_, Some(signal)) => format!("signal {signal}"),
            _ => "no reason".to_owned(),
        };
        log(&format!("the agent ended ({how}) and is started again"));
        self.restart = Some((self.started + LIVED).max(Instant::now()));
    }

    /// Starts the agent again if it is time; otherwise says how long until then.
    pub(super) fn restart_when_due(&mut self) -> Option<Timespec> {
        let due = self.restart?;
        let now = Instant::now();
        if now < due {
            return Timespec::try_from(due - now).ok();
        }
        self.started = now;
        match self.agent.restart() {
            Ok(()) => {
                self.restart = None;
                None
            }
            Err(error) => {
                log(&format!("cannot start the agent again: {error}"));
                self.restart = Some(now + LIVED);
                Timespec::try_from(LIVED).ok()
            }
        }
    }
}

/// The process beside an image's init: starts the agent, and starts it again whenever it has ended.
///
/// # Errors
/// The agent cannot be started the first time.
pub fn keep(arguments: &[std::ffi::OsString]) -> io::Result<()> {
    let reports = agent::enter(c"banger-keeper", arguments)?;
    agent::survive_memory_shortage();
    let mut keeper = Keeper::new(Agent::beside(reports)?);
    loop {
        match keeper.restart_when_due() {
            Some(rest) => std::thread::sleep(Duration::try_from(rest).unwrap_or(LIVED)),
            None => {
                if let Some((pid, status)) = rustix::process::wait(WaitOptions::empty())?
                    && keeper.pid() == Some(pid)
                {
                    keeper.ended(status);
                }
            }
        }
    }
}
