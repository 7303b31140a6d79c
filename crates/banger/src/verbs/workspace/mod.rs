//! `banger vm workspace`: git runs here, with the user's rights; the VM is reached through the daemon.

mod apart;
mod applying;
mod bootstrap;
mod bring_back;
mod changes;
mod downloads;
mod prepare;
mod pull;
mod risks;
mod setup;
mod status;
mod unsaved;

use api::VmState;
use api::client::Client;
use tokio::sync::watch;
use workspace::WorkspaceError;

use crate::cli::{WorkspaceCommand, WorkspaceGroup};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::Transfer;
use crate::terminal::{Signals, exit_code};
use crate::workspace::{Remote, failed_at};
use apart::{TO_CLEAN_UP, watched};
pub use apart::{apart, asking_apart};
pub use bootstrap::{Bootstrap, check as check_tools, install as install_tools};
pub use bring_back::{BringBack, bring_back};
pub use prepare::{Plan, before_command};
pub use setup::set_up;
pub use unsaved::{Beside, Found, look, note_before_stop, said_beside_patch};

/// Carries out one of the verbs.
///
/// # Errors
/// What it failed with.
pub async fn run(place: &Place, group: WorkspaceGroup) -> Result<u8, Failure> {
    match group.command {
        WorkspaceCommand::Prepare(args) => prepare::prepare(place, &args).await,
        WorkspaceCommand::Export(args) => changes::export(place, &args).await,
        WorkspaceCommand::Diff(args) => changes::diff(place, &args).await,
        WorkspaceCommand::Apply(args) => changes::apply(place, args).await,
        WorkspaceCommand::Pull(args) => pull::pull(place, &args).await,
        WorkspaceCommand::Status(args) => status::status(place, &args).await,
    }
}

/// A running VM and the way into it.
struct Entered {
    client: Client,
    id: String,
    name: String,
    /// The workspace's folder there, for hints.
    guest_path: String,
}

impl Entered {
    async fn of(place: &Place, reference: &str, guest_path: &str) -> Result<Self, Failure> {
        let client = place.connect().await?;
        let vm = client.vm(reference).await?;
        if vm.state != VmState::Running {
            let failure = Failure::new(format!("`{}` is {}", vm.name, vm.state));
            return Err(failure.with_hint(format!("`banger vm start {}` boots it", vm.name)));
        }
        Ok(Self {
            client,
            id: vm.id,
            name: vm.name,
            guest_path: guest_path.to_owned(),
        })
    }

    /// Does work with the guest on a thread of its own. A signal that asks this program to end breaks it off.
    async fn work<T: Send + 'static>(
        &self,
        signals: &mut Signals,
        quiet: bool,
        work: impl FnOnce(&mut Remote) -> Result<T, WorkspaceError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (end, ended) = watch::channel(false);
        let progress = Transfer::new(quiet, None);
        let mut guest = Remote::new(self.client.clone(), self.id.clone(), progress.clone(), ended);
        let end = || {
            let _ = end.send(true);
        };
        let (outcome, signal) = watched(signals, TO_CLEAN_UP, end, move || work(&mut guest)).await?;
        progress.clear();
        match (outcome, signal) {
            (_, Some(signal)) => Err(Failure::quiet(exit_code(signal))),
            (Some(outcome), None) => outcome.map_err(|error| failed_at(&self.name, &self.guest_path, &error)),
            (None, None) => Err(Failure::new("a thread failed")),
        }
    }
}
