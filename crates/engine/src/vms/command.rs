//! What a VM may be asked to do.

use std::time::Duration;

use store::Change;

use super::publish::Claimed;
use crate::artefacts::import::Import;
use crate::operations::OperationHandle;

/// What a VM may be asked to do; each ends the operation it carries.
#[derive(Debug)]
pub(crate) enum Command {
    /// Fetch what is missing, make the disk and, given the ports that it is published on, start. Failing, the VM is
    /// gone again.
    Create {
        operation: OperationHandle,
        claimed: Option<Claimed>,
        /// How the image is had, where neither the store nor the catalog has it.
        import: Option<Box<Import>>,
    },
    /// Start; what is known of reboots begins anew, unless it is one that the guest began while no daemon ran.
    Start {
        operation: OperationHandle,
        reboot: Change<String>,
    },
    /// Shut down in order, or by force where the guest does not. With `unused`, only if nobody uses it, which has been
    /// so for that long.
    Stop {
        operation: OperationHandle,
        unused: Option<Duration>,
    },
    /// Shut down and start anew; just start where nothing runs.
    Restart { operation: OperationHandle },
    /// End the machine.
    Kill {
        operation: OperationHandle,
        signal: api::KillSignal,
    },
    /// Change the shape.
    Set {
        operation: OperationHandle,
        change: api::SetVm,
    },
    /// Go away, in whatever state; `idle` spares a VM that runs.
    Delete { operation: OperationHandle, idle: bool },
}

impl Command {
    pub(crate) fn operation(&self) -> &OperationHandle {
        match self {
            Self::Create { operation, .. }
            | Self::Start { operation, .. }
            | Self::Stop { operation, .. }
            | Self::Restart { operation }
            | Self::Kill { operation, .. }
            | Self::Set { operation, .. }
            | Self::Delete { operation, .. } => operation,
        }
    }

    /// Whether it does not wait for a shutdown.
    pub(crate) fn hurries(&self) -> bool {
        matches!(
            self,
            Self::Delete { idle: false, .. }
                | Self::Kill {
                    signal: api::KillSignal::Kill,
                    ..
                }
        )
    }
}
