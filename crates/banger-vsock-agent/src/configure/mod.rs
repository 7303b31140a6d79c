//! `configure`: gives the guest its identity, after a cold boot, a restore and a fork alike.
//!
//! Each part is idempotent and leaves what it finds right as it is. It runs before the image's init at each boot, with
//! the final root in place, and may run again at any time.

mod certificates;
mod check;
mod entropy;
pub(crate) mod files;
mod identity;
mod managers;
mod netlink;
mod network;
mod resolver;

use std::fmt::Display;
use std::path::Path;

use guest::{Configure, GuestNetwork, Problem};

pub(crate) use check::check;

use crate::clock::WallClock;
use crate::problem::internal;

/// What `configure` has to remember of its last time.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    network: Option<GuestNetwork>,
}

impl Machine {
    /// Carries out what has been checked. Blocks: for the network's device up to three seconds.
    pub(crate) fn configure(&mut self, clock: &WallClock, wanted: &Configure) -> Result<(), Problem> {
        let root = Path::new("/");
        // Time and randomness first: whatever comes after may use them.
        step("set the clock", clock.set(wanted.unix_time_ns))?;
        step("add entropy", entropy::add(&wanted.entropy))?;
        step(
            "set the host name",
            identity::set_hostname(root, &wanted.hostname),
        )?;
        step(
            "set the machine id",
            identity::set_machine_id(root, &wanted.machine_id),
        )?;
        step("tell the network managers", managers::tell(root))?;
        step(
            "trust the certificates",
            certificates::trust(root, wanted.ca_certificates.as_deref()),
        )?;
        if let Some(network) = &wanted.network {
            step("write resolv.conf", resolver::write(root, network))?;
        }
        step(
            "set up the network",
            network::set_up(self.network.as_ref(), wanted.network.as_ref()),
        )?;
        self.network.clone_from(&wanted.network);
        Ok(())
    }
}

fn step<E: Display>(name: &str, result: Result<(), E>) -> Result<(), Problem> {
    result.map_err(|error| internal(format_args!("cannot {name}"), error))
}
