//! `/init`: from the kernel's hand-over to the image's init and the agent beside it.
//!
//! ```text
//!  early ─► modules ─► root (disks, overlay, binds, /lib/modules, /run) ─► switch ─► agent ─► handover
//!                                                                                        │
//!                                  the image's init, as PID 1  ◄── there is one ─────────┤
//!                                  reaper, as PID 1            ◄── there is none ────────┘
//! ```
//! Beside an image's init a keeper starts the agent again if it dies; the reaper does so itself. An image that brings an
//! initrd of its own finds its root by itself: [`direct`] runs before that initrd, and beside it.
//!
//! One thread, no runtime, nothing on the console unless it fails. A failure is one line there, and the power goes
//! off: the host sees a machine that ended and said why, never one that hangs.

mod agent;
mod devices;
mod direct;
mod disks;
mod early;
mod error;
mod find;
mod handover;
mod keeper;
mod modules;
mod parameters;
mod power;
mod processes;
mod reaper;
mod root;
mod switch;
mod systemd;
mod tree;

use std::convert::Infallible;
use std::path::Path;

pub use agent::{AGENT_NAME, enter, survive_memory_shortage};
pub use direct::{BESIDE_NAME, DIRECT_INIT, beside};
pub use error::InitError;
pub use keeper::{KEEPER_NAME, keep};
pub(crate) use parameters::powers_off_by_reset;
pub(crate) use power::mark;
pub use systemd::{LAST_PROGRAM, end_for_systemd};

use agent::Agent;
use parameters::Parameters;

/// What PID 1 calls itself (`/proc/1/comm`) where the image has no init, so that the agent can tell.
pub const REAPER_NAME: &str = reaper::NAME;

/// Brings the machine up. Replaces itself by the image's init, or stays and reaps.
pub fn boot() -> ! {
    power::never_panic();
    let Err(error) = run();
    power::fail(&error)
}

/// Hands the machine over to the initrd that the image brings, with the agent beside it.
pub fn boot_directly() -> ! {
    power::never_panic();
    let Err(error) = direct::run();
    power::fail(&error)
}

/// Where the file system lies that grows with the machine's disk: the layer, or the root of a machine that booted
/// directly.
pub fn disk_folder() -> &'static str {
    if Path::new(root::LAYER).exists() {
        root::LAYER
    } else {
        "/"
    }
}

fn run() -> Result<Infallible, InitError> {
    early::mount()?;
    let parameters = Parameters::read()?;
    modules::load_all(modules::FOLDER)?;
    root::assemble(&parameters)?;
    let binary = agent::copy_binary()?;
    switch::enter_new_root()?;
    agent::make_group()?;
    devices::open_to_users();
    let init = find::init();
    let name = match &init {
        Some(init) => {
            // Before the agent is there, and with it a command.
            systemd::prepare(init);
            KEEPER_NAME
        }
        None => AGENT_NAME,
    };
    let (agent, handover) = Agent::start(binary, name)?;
    if let Some(init) = init {
        systemd::offer_end(&init, agent.id());
        handover::wait(&handover);
        let error = handover::execute(&init);
        agent::log(&format!("cannot execute {}: {error}", init.display()));
    }
    reaper::run(agent, &handover)
}
