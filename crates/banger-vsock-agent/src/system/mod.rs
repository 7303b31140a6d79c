//! What requests act on: the guest itself, or a stand-in that does no harm.

mod guest;
mod hosted;

use std::time::Duration;

use ::guest::{Boot, Configure, PowerAction, Problem};

use futures::future::BoxFuture;

use crate::clock::WallClock;
use crate::exec::Commands;
use crate::farewell::Farewell;
use crate::forward::Forwards;
use crate::ssh::SshService;

pub use guest::Guest;
pub use hosted::Hosted;

/// The machine that the agent speaks for.
pub trait System: Send + Sync + 'static {
    /// The id of this boot.
    fn boot_id(&self) -> String;

    /// How long the machine has been up.
    fn uptime(&self) -> Duration;

    /// Whether `configure` has been carried out in this boot.
    fn is_configured(&self) -> bool;

    /// Gives the machine its identity. Blocks; again and again is fine.
    ///
    /// # Errors
    /// What is wrong with the request, or which step of it failed.
    fn configure(&self, wanted: &Configure) -> Result<(), Problem>;

    /// Lets the writable layer's file system grow into its disk, and gives the disk's size. Blocks.
    ///
    /// # Errors
    /// It cannot grow.
    fn grow_disk(&self) -> Result<u64, Problem>;

    /// Waits until the image's init has finished booting.
    fn boot(&self) -> BoxFuture<'static, Result<Boot, Problem>>;

    /// Carries out the action. Blocks; called after the request has been answered.
    fn power(&self, action: PowerAction);

    /// What the machine is about to end with.
    fn farewell(&self) -> &Farewell;

    /// Its wall clock.
    fn clock(&self) -> &WallClock;

    /// The commands that run in the machine.
    fn commands(&self) -> &Commands;

    /// Whether what listens in it may be asked what it speaks: such a question is a connection.
    fn asks_ports(&self) -> bool;

    /// Its forwarded connections.
    fn forwards(&self) -> &Forwards;

    /// Its sshd.
    fn ssh(&self) -> &SshService;
}
