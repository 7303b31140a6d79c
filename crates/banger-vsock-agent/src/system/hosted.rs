//! A host process that stands for a guest: commands run for real, nothing else has an effect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use guest::{Boot, Configure, PowerAction, Problem};
use tokio::sync::watch;

use super::System;
use crate::clock::{StandIn, WallClock};
use crate::configure;
use crate::exec::Commands;
use crate::farewell::Farewell;
use crate::forward::Forwards;
use crate::ssh::SshService;

/// A stand-in for a guest, for tests and simulated machines.
///
/// Commands run as processes of the host, as the user that the agent runs as, and end with the agent. `configure`
/// is checked and kept, `power` is told to whoever watches.
#[derive(Debug)]
pub struct Hosted {
    boot_id: String,
    started: Instant,
    clock: WallClock,
    stand_in: Arc<StandIn>,
    configured: Mutex<Option<Configure>>,
    powered: watch::Sender<Option<PowerAction>>,
    commands: Commands,
    farewell: Farewell,
    forwards: Forwards,
    ssh: SshService,
}

impl Hosted {
    /// A machine that has just booted, with this boot id.
    #[must_use]
    pub fn new(boot_id: impl Into<String>) -> Self {
        let stand_in = Arc::new(StandIn::default());
        Self {
            boot_id: boot_id.into(),
            started: Instant::now(),
            clock: WallClock::of(Arc::clone(&stand_in)),
            stand_in,
            configured: Mutex::new(None),
            powered: watch::Sender::new(None),
            commands: Commands::hosted(),
            farewell: Farewell::default(),
            forwards: Forwards::default(),
            ssh: SshService::absent(),
        }
    }

    /// What it was configured with last.
    #[must_use]
    pub fn configuration(&self) -> Option<Configure> {
        self.configured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As if it had stood still for so long since it booted: its clocks have missed that.
    pub fn has_stood_still(&self, time: Duration) {
        let nanoseconds = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        self.stand_in.has_missed(nanoseconds);
    }

    /// Turns to the action once one is asked for.
    #[must_use]
    pub fn powered(&self) -> watch::Receiver<Option<PowerAction>> {
        self.powered.subscribe()
    }
}

impl System for Hosted {
    fn boot_id(&self) -> String {
        self.boot_id.clone()
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn is_configured(&self) -> bool {
        self.configuration().is_some()
    }

    fn configure(&self, wanted: &Configure) -> Result<(), Problem> {
        configure::check(wanted)?;
        let mut environment = wanted.environment.clone();
        // A guest's own is this host's here: it stays as it is.
        let system = || "/nonexistent/gitconfig".to_owned();
        environment
            .entry("GIT_CONFIG_SYSTEM".to_owned())
            .or_insert_with(system);
        self.commands.set_environment(environment);
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted.clone());
        Ok(())
    }

    fn grow_disk(&self) -> Result<u64, Problem> {
        // There is no disk that could be too small.
        Ok(u64::MAX)
    }

    fn boot(&self) -> BoxFuture<'static, Result<Boot, Problem>> {
        let state = "running".to_owned();
        Box::pin(std::future::ready(Ok(Boot { state })))
    }

    fn power(&self, action: PowerAction) {
        self.powered.send_replace(Some(action));
    }

    fn farewell(&self) -> &Farewell {
        &self.farewell
    }

    fn clock(&self) -> &WallClock {
        &self.clock
    }

    fn commands(&self) -> &Commands {
        &self.commands
    }

    fn asks_ports(&self) -> bool {
        false
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn ssh(&self) -> &SshService {
        &self.ssh
    }
}
