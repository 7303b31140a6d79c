//! What can go wrong in the engine, and how the API tells it.
//!
//! `Display` says what failed with which value; causes stay in `source()`. [`EngineError::to_api`] joins the chain
//! into one line and adds the code and, where there is one, the hint.

mod hint;
mod plain;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use api::{ApiError, ErrorCode};

pub use plain::plain;

/// A failure of an engine call.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No VM answers to the reference.
    #[error("no VM is called `{reference}`")]
    VmNotFound {
        /// As the user wrote it.
        reference: String,
        /// The name that comes nearest.
        suggestion: Option<String>,
    },
    /// Several VMs answer to an id prefix.
    #[error("`{reference}` is ambiguous: it could be {}", .candidates.join(", "))]
    VmAmbiguous {
        /// As the user wrote it.
        reference: String,
        /// `name (short id)` of each.
        candidates: Vec<String>,
    },
    /// The name is taken.
    #[error("a VM called `{name}` exists")]
    VmExists {
        /// The name.
        name: String,
    },
    /// The VM's state does not allow the call.
    #[error("cannot {verb} `{name}`: it is {state}")]
    WrongState {
        /// The VM's name.
        name: String,
        /// Its state.
        state: api::VmState,
        /// What was asked for.
        verb: &'static str,
    },
    /// A stop came before the first start had come to its end.
    #[error("`{name}` was stopped before it had started")]
    StoppedBefore {
        /// The VM's name.
        name: String,
    },
    /// Something else is being done with the VM.
    #[error("cannot {verb} `{name}`: another operation on it is under way")]
    Busy {
        /// The VM's name.
        name: String,
        /// What was asked for.
        verb: &'static str,
    },
    /// A VMM did not follow a signal.
    #[error("the machine of `{name}` did not end on {signal} within {} s", .waited.as_secs())]
    Unmoved {
        /// The VM's name.
        name: String,
        /// What it was sent.
        signal: api::KillSignal,
        /// How long was waited.
        waited: Duration,
    },
    /// A value is not allowed.
    #[error("{what} `{value}`: {why}")]
    Invalid {
        /// What the value is for: `name`, `memory`, …
        what: &'static str,
        /// The value.
        value: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A port of the host cannot be published.
    #[error("{message}")]
    PortUnavailable {
        /// Which, and why.
        message: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// No such image.
    #[error("no image is called `{name}`")]
    ImageNotFound {
        /// The name.
        name: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// The image is known and its file is not there.
    #[error("the file of image `{name}` is gone")]
    ImageFileGone {
        /// The image.
        name: String,
        /// Its full name in a registry, if it came from one.
        reference: Option<String>,
    },
    /// The user's file of an image cannot be used.
    #[error("cannot use {path} for image `{name}`: {source}")]
    RegisteredFile {
        /// The image.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A guest could not unpack its work seed.
    #[error("cannot put the image's work seed into /root")]
    WorkSeed {
        /// Why.
        #[source]
        source: guest::AgentError,
    },
    /// VMs use the image.
    #[error("cannot delete image `{name}`: {} {} it", .vms.join(", "), if .vms.len() == 1 { "uses" } else { "use" })]
    ImageInUse {
        /// The image.
        name: String,
        /// Names of the VMs.
        vms: Vec<String>,
    },
    /// Another image has the name.
    #[error("an image called `{name}` exists{}", .from.as_ref().map_or_else(String::new, |from| format!(", from {from}")))]
    ImageExists {
        /// The name.
        name: String,
        /// Where the one that exists came from, if from a registry.
        from: Option<String>,
    },
    /// What a client sends is no image, or no kernel.
    #[error("cannot take in {kind} `{name}`")]
    Upload {
        /// `image` or `kernel`.
        kind: &'static str,
        /// Name that it was to get.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No such kernel.
    #[error("no kernel is called `{name}`")]
    KernelNotFound {
        /// The name.
        name: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// Images or VMs use the kernel.
    #[error("cannot delete kernel `{name}`: {} it", users(images, vms))]
    KernelInUse {
        /// The kernel.
        name: String,
        /// Names of the images.
        images: Vec<String>,
        /// Names of the VMs.
        vms: Vec<String>,
    },
    /// Another kernel has the name.
    #[error("a kernel called `{name}` exists")]
    KernelExists {
        /// The name.
        name: String,
    },
    /// An image or kernel could not be fetched or built.
    #[error("cannot {action} {kind} `{name}`")]
    Artefact {
        /// `fetch`, `get`, …
        action: &'static str,
        /// `image` or `kernel`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A step of the start failed.
    #[error("cannot start `{name}`")]
    Start {
        /// The VM's name.
        name: String,
        /// Where the VM is deleted again: the last lines of its console, escaped.
        deleted: Option<Vec<String>>,
        /// Why.
        #[source]
        source: Box<EngineError>,
    },
    /// The VMM failed.
    #[error(transparent)]
    Vmm(#[from] vmm::VmmError),
    /// There is nothing to make a network with.
    #[error("{passt} was not found, and a VM's network goes through it")]
    PasstMissing {
        /// Name or path that was looked for.
        passt: String,
    },
    /// The network failed.
    #[error(transparent)]
    Net(#[from] net::NetError),
    /// The agent did not answer in time.
    #[error("the agent in the guest did not answer within {} s{}", .waited.as_secs(), console_suffix(.console))]
    AgentSilent {
        /// How long was waited.
        waited: Duration,
        /// What the guest said of it on its console, escaped.
        console: Option<String>,
    },
    /// The machine ended before its agent answered.
    #[error("the machine ended before it was ready: {reason}{}", console_suffix(.console))]
    MachineEnded {
        /// What the VMM says.
        reason: String,
        /// What the guest said of it on its console, escaped.
        console: Option<String>,
    },
    /// The agent refused or failed a request.
    #[error("the agent in the guest: {0}")]
    Agent(#[source] guest::AgentError),
    /// The image has no sshd.
    #[error("`{name}` has no sshd")]
    NoSshd {
        /// The VM's name.
        name: String,
    },
    /// The VM was booted with an agent that cannot do this.
    #[error("the agent in `{name}` is too old for this")]
    OldAgent {
        /// The VM's name.
        name: String,
    },
    /// A key cannot be made or read.
    #[error("cannot use the ssh key {path}")]
    SshKey {
        /// The key.
        path: PathBuf,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
    /// A file of a guest cannot be read or written.
    #[error("in `{name}`: {why}")]
    GuestFiles {
        /// The VM's name.
        name: String,
        /// What the agent says.
        why: String,
    },
    /// The layer could not be made.
    #[error("cannot make the disk of `{name}`")]
    Layer {
        /// The VM's name.
        name: String,
        /// Why.
        #[source]
        source: rootfs::layer::LayerError,
    },
    /// A file could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// A verb: read, write, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// What the daemon goes by is not the user's configuration, which its start could not read.
    #[error("{reason}")]
    Unread {
        /// What is wrong, or was.
        reason: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The operation was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The disk has less room than is to be left.
    #[error(transparent)]
    NoRoom(#[from] crate::NoRoom),
    /// A VM stands still.
    #[error("cannot {verb} `{name}`: it is {reason}")]
    Paused {
        /// Its name.
        name: String,
        /// What was to be done.
        verb: &'static str,
        /// Why it does.
        reason: &'static str,
    },
    /// No such operation.
    #[error("no operation has the id `{id}`")]
    OperationNotFound {
        /// The id.
        id: String,
    },
    /// A promise inside the daemon was broken.
    #[error("internal error: {0}")]
    Internal(String),
    /// A panic in what was done.
    #[error("a panic: {0}")]
    Panic(String),
}

/// `image a and VMs b, c use`
fn users(images: &[String], vms: &[String]) -> String {
    let told = |one: &str, many: &str, names: &[String]| match names {
        [] => None,
        [name] => Some(format!("{one} {name}")),
        names => Some(format!("{many} {}", names.join(", "))),
    };
    let parts = [told("image", "images", images), told("VM", "VMs", vms)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let verb = if images.len() + vms.len() == 1 {
        "uses"
    } else {
        "use"
    };
    format!("{} {verb}", parts.join(" and "))
}

fn console_suffix(console: &Option<String>) -> String {
    console
        .as_ref()
        .map_or_else(String::new, |said| format!("; {said}"))
}

impl EngineError {
    /// Whether nothing is known of what was done and what not.
    pub(crate) fn is_panic(&self) -> bool {
        matches!(self, Self::Panic(_))
    }

    /// A failure to use a file, ready for `map_err`.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// The failure of a VM that is deleted for it, whose console ended with these lines.
    pub(crate) fn of_deleted(mut self, console: Vec<String>) -> Self {
        if let Self::Start { deleted, .. } = &mut self {
            *deleted = Some(console);
        }
        self
    }

    /// The failure as the API tells it.
    #[must_use]
    pub fn to_api(&self) -> ApiError {
        ApiError {
            code: self.code(),
            message: one_line(self),
            hint: self.hint().map(|hint| plain(&hint)),
            operation: None,
        }
    }

    fn code(&self) -> ErrorCode {
        if let Some(code) = host_resource(self) {
            return code;
        }
        match self {
            Self::VmNotFound { .. } => ErrorCode::VmNotFound,
            Self::VmAmbiguous { .. } => ErrorCode::VmAmbiguous,
            Self::VmExists { .. } => ErrorCode::VmExists,
            Self::WrongState { .. } | Self::Busy { .. } | Self::StoppedBefore { .. } => ErrorCode::VmState,
            Self::Invalid { .. } => ErrorCode::Invalid,
            Self::PortUnavailable { .. } => ErrorCode::PortUnavailable,
            Self::ImageNotFound { .. } => ErrorCode::ImageNotFound,
            Self::KernelNotFound { .. } => ErrorCode::KernelNotFound,
            Self::KernelInUse { .. } => ErrorCode::KernelInUse,
            Self::KernelExists { .. } => ErrorCode::KernelExists,
            Self::ImageFileGone { .. } | Self::RegisteredFile { .. } => ErrorCode::ArtefactFailed,
            Self::WorkSeed { .. } => ErrorCode::AgentRefused,
            Self::ImageInUse { .. } => ErrorCode::ImageInUse,
            Self::ImageExists { .. } => ErrorCode::ImageExists,
            Self::Upload { .. } | Self::Artefact { .. } => ErrorCode::ArtefactFailed,
            Self::Start { source, .. } => source.code(),
            Self::Vmm(vmm::VmmError::BinaryMissing { .. } | vmm::VmmError::Unfit { .. }) => {
                ErrorCode::VmmMissing
            }
            Self::Vmm(_)
            | Self::Net(_)
            | Self::PasstMissing { .. }
            | Self::MachineEnded { .. }
            | Self::Unmoved { .. } => ErrorCode::VmmFailed,
            Self::AgentSilent { .. } => ErrorCode::AgentSilent,
            Self::Agent(guest::AgentError::Refused(problem)) => match problem.code {
                guest::ProblemCode::CommandNotFound => ErrorCode::CommandNotFound,
                guest::ProblemCode::CommandNotExecutable => ErrorCode::CommandNotExecutable,
                guest::ProblemCode::CannotConnect => ErrorCode::CannotConnect,
                _ => ErrorCode::AgentRefused,
            },
            Self::Agent(_) => ErrorCode::AgentSilent,
            Self::NoSshd { .. } => ErrorCode::CommandNotFound,
            Self::OldAgent { .. } => ErrorCode::AgentRefused,
            Self::GuestFiles { .. } => ErrorCode::GuestFiles,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::NoRoom(_) | Self::Paused { .. } => ErrorCode::HostResource,
            Self::OperationNotFound { .. } => ErrorCode::OperationNotFound,
            Self::SshKey { .. }
            | Self::Layer { .. }
            | Self::File { .. }
            | Self::Store(_)
            | Self::Config(_)
            | Self::Unread { .. }
            | Self::Internal(_)
            | Self::Panic(_) => ErrorCode::Internal,
        }
    }
}

/// A failure and its causes in one line, joined with colons; a cause that its parent already says is left out.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    plain(&line)
}

/// A failure and all that caused it.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether this host lets something not be confined, anywhere among the causes.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<process::Refusal>())
}

/// Whether something ran out on the host, anywhere among the causes. (The kernel's word for as many namespaces as a
/// setting allows is that of a full disk.)
fn host_resource(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let ran_out = |cause: &(dyn Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(
            kind,
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory)
        )
    };
    causes(error)
        .take_while(|cause| !cause.is::<process::Refusal>())
        .any(ran_out)
        .then_some(ErrorCode::HostResource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such_however_deep_it_lies() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = EngineError::Start {
            name: "a".into(),
            deleted: None,
            source: Box::new(EngineError::File {
                action: "write",
                path: "/x".into(),
                source: full,
            }),
        };
        let told = error.to_api();
        assert_eq!(told.code, ErrorCode::HostResource);
        assert!(told.hint.is_some());
        assert_eq!(
            told.message,
            "cannot start `a`: cannot write /x: no storage space"
        );
    }

    #[test]
    fn no_namespaces_left_is_no_full_disk() {
        let full = || io::Error::from_raw_os_error(28);
        assert!(host_resource(&full()).is_some());
        let Err(refusal) = process::Confinement::new(0)
            .show("/nowhere/at/all", "/x")
            .try_out()
        else {
            panic!("there is nothing to show");
        };
        let error = EngineError::Vmm(vmm::VmmError::Confine {
            binary: "/usr/bin/qemu".into(),
            source: refusal,
        });
        assert!(is_refused(&error) && host_resource(&error).is_none());
    }

    #[test]
    fn a_message_is_always_one_line() {
        let error = EngineError::Internal("a\nb".into());
        assert_eq!(error.to_api().message, "internal error: a b");
    }
}
