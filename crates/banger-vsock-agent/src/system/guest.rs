//! The guest itself: requests have their effects.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use guest::{Boot, Configure, PowerAction, Problem};
use rustix::time::{ClockId, clock_gettime};

use super::System;
use crate::clock::{Kernel, WallClock};
use crate::configure::{self, Machine};
use crate::exec::Commands;
use crate::farewell::Farewell;
use crate::forward::Forwards;
use crate::problem::internal;
use crate::ssh::SshService;
use crate::{memory, power};

/// The machine that the agent runs in.
#[derive(Debug)]
pub struct Guest {
    clock: WallClock,
    commands: Commands,
    farewell: Farewell,
    forwards: Forwards,
    ssh: SshService,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    machine: Machine,
    configured: bool,
    handover: Option<OwnedFd>,
}

impl Guest {
    /// This machine. `handover` gets a byte after the first `configure` that was carried out.
    #[must_use]
    pub fn new(handover: Option<OwnedFd>) -> Self {
        Self {
            clock: WallClock::of(Kernel),
            commands: Commands::in_guest(),
            farewell: Farewell::default(),
            forwards: Forwards::default(),
            ssh: SshService::in_guest(),
            state: Mutex::new(State {
                machine: Machine::default(),
                configured: false,
                handover,
            }),
        }
    }
}

impl System for Guest {
    fn boot_id(&self) -> String {
        // Without /proc there is no machine to speak of, and health has no better place to say so.
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim_end().to_owned()
    }

    fn uptime(&self) -> Duration {
        let up = clock_gettime(ClockId::Boottime);
        Duration::new(
            u64::try_from(up.tv_sec).unwrap_or_default(),
            u32::try_from(up.tv_nsec).unwrap_or_default(),
        )
    }

    fn is_configured(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .configured
    }

    fn configure(&self, wanted: &Configure) -> Result<(), Problem> {
        configure::check(wanted)?;
        // One at a time, and health does not answer in the middle of one.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.machine.configure(&self.clock, wanted)?;
        self.commands.set_environment(wanted.environment.clone());
        state.configured = true;
        if let Some(handover) = state.handover.take() {
            // PID 1 has its own idea of how long it waits; one that has given up is no failure of this request.
            let _ = File::from(handover).write_all(&[1]);
        }
        memory::give_back();
        Ok(())
    }

    fn grow_disk(&self) -> Result<u64, Problem> {
        crate::layer::grow(crate::init::disk_folder())
            .map_err(|error| internal("cannot grow the disk's file system", error))
    }

    fn boot(&self) -> BoxFuture<'static, Result<Boot, Problem>> {
        Box::pin(crate::boot::wait())
    }

    fn power(&self, action: PowerAction) {
        power::act(action, &self.commands, &self.farewell);
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
        true
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn ssh(&self) -> &SshService {
        &self.ssh
    }
}
