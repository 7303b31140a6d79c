//! What a backend is asked for, and what it gives back.

use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use process::{Refusal, Signal, Wire};

use crate::End;
use crate::firecracker::{Unfit, Version};

/// One machine as the engine wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// The VM's id, for names that a person sees in `ps`.
    pub id: String,
    /// The VM's own folder; sockets, logs and `process.json` go here.
    pub folder: PathBuf,
    /// Virtual processors, at least 1.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Uncompressed ELF kernel.
    pub kernel: PathBuf,
    /// Initramfs, a cpio archive.
    pub initramfs: PathBuf,
    /// What is particular to this VM on the kernel's command line; the backend adds what its devices need.
    pub command_line: String,
    /// Disks in the order the guest sees them (`vda`, `vdb`, …).
    pub drives: Vec<Drive>,
    /// Network device, if any.
    pub network: Option<NetworkDevice>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Raw image file.
    pub path: PathBuf,
    /// Whether the guest may write.
    pub read_only: bool,
    /// How fast it may be used.
    pub limit: RateLimit,
}

/// How fast a disk may be used, reads and writes together; where nothing is said, as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Bytes in a second.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Requests in a second.
    pub operations_per_second: Option<NonZeroU64>,
}

/// The host's side of a network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkDevice {
    /// A connected Unix stream socket whose peer takes either of two things, whichever the backend has: Ethernet
    /// frames, each after its length, or the far end of a card's wire (`process::Wire`).
    Socket {
        /// This machine's end. The VMM gets a copy, or hands the wire over. The peer of a stream sees its end when all
        /// copies are closed, so the spec is dropped once the machine runs.
        socket: NetworkSocket,
        /// The guest's hardware address, `52:54:00:…`.
        mac: String,
        /// The longest packet in bytes.
        mtu: u32,
    },
    /// The backend's own user network (QEMU only): exposes the host's loopback.
    BuiltIn {
        /// The guest's hardware address.
        mac: String,
    },
}

/// One end of a socket pair, shared by whoever holds the spec.
#[derive(Clone, Debug)]
pub struct NetworkSocket(pub Arc<OwnedFd>);

/// What taps are made with.
pub(crate) const TAPS: &str = "/dev/net/tun";

/// Whether this user can make taps.
pub(crate) fn taps() -> io::Result<()> {
    File::options().read(true).write(true).open(TAPS).map(drop)
}

impl NetworkDevice {
    /// The wire of a card for a backend that attaches one by itself.
    pub(crate) fn wire(&self) -> Result<Option<Wire>, VmmError> {
        match self {
            Self::Socket { socket, mtu, .. } => {
                // Found out here, where it can be said what is missing.
                let usable = taps().and_then(|()| socket.0.try_clone());
                let socket = usable.map_err(|source| VmmError::Taps { source })?;
                Ok(Some(Wire::new(socket, *mtu)))
            }
            Self::BuiltIn { .. } => Ok(None),
        }
    }
}

impl PartialEq for NetworkSocket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NetworkSocket {}

impl From<OwnedFd> for NetworkSocket {
    fn from(end: OwnedFd) -> Self {
        Self(Arc::new(end))
    }
}

/// Where the agent of a machine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Unix socket of a virtio-serial port; carries the multiplexer.
    VirtioSerial {
        /// The socket.
        socket: PathBuf,
    },
    /// Unix socket that speaks `CONNECT port`.
    Vsock {
        /// The socket.
        socket: PathBuf,
    },
}

/// A kind of VMM.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Name as stored and shown: `qemu/tcg`, `qemu/kvm`, …
    fn name(&self) -> &str;

    /// Whether it has a network of its own ([`NetworkDevice::BuiltIn`]), for hosts that have nothing better.
    fn has_built_in_network(&self) -> bool {
        false
    }

    /// Starts a machine. On an error nothing of it is left running.
    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>>;

    /// Finds the machine that `folder` tells of, after a restart of the daemon. `None`: it is gone, or its pid
    /// belongs to something else now.
    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, VmmError>>;

    /// Starts a machine that goes on where the one was of which [`Machine::snapshot`] made the folder `snapshot`. The
    /// drives of `spec` have to hold what that one's did then, in the same order. On an error nothing of it is left
    /// running.
    ///
    /// # Errors
    /// [`VmmError::Unsupported`] on a VMM that cannot; else as [`Backend::start`].
    fn restore<'a>(
        &'a self,
        _spec: &'a MachineSpec,
        _snapshot: &'a Path,
    ) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        let vmm = self.name().to_owned();
        Box::pin(async {
            Err(VmmError::Unsupported {
                vmm,
                what: "snapshots",
            })
        })
    }
}

/// A machine that was started and may have ended since.
pub trait Machine: fmt::Debug + Send + Sync {
    /// Process id of the VMM.
    fn pid(&self) -> u32;

    /// Where its agent is reached.
    fn channel(&self) -> Channel;

    /// Ends when the VMM process has ended (pidfd), whoever started it, and gives how. May be called any number of
    /// times. A guest's reset ends it, too.
    fn wait(&self) -> BoxFuture<'_, End>;

    /// Sends the VMM a signal; its end is seen by [`Machine::wait`]. Fine if it is gone already.
    ///
    /// # Errors
    /// The system refuses.
    fn signal(&self, signal: Signal) -> Result<(), VmmError>;

    /// Makes a drive of the running machine larger, file and all; the guest sees a larger disk from then on.
    /// `number` counts the [`MachineSpec::drives`] from 0.
    fn grow_drive(&self, number: usize, size: u64) -> BoxFuture<'_, Result<(), VmmError>>;

    /// Has the guest's processors stand still.
    fn pause(&self) -> BoxFuture<'_, Result<(), VmmError>>;

    /// Whether the guest's processors stand still, whoever had them do so: since they were paused, or since the process
    /// was stopped by a signal.
    fn is_paused(&self) -> BoxFuture<'_, Result<bool, VmmError>>;

    /// Has a paused guest's processors go on.
    fn resume(&self) -> BoxFuture<'_, Result<(), VmmError>>;

    /// Writes a paused machine, its memory included, into a folder that is there, on the file system of the VM's
    /// folder. The drives are not part of it.
    ///
    /// # Errors
    /// [`VmmError::Unsupported`] on a VMM that cannot; else nothing of it is left in the folder.
    fn snapshot<'a>(&'a self, _into: &'a Path) -> BoxFuture<'a, Result<(), VmmError>> {
        Box::pin(async {
            Err(VmmError::Unsupported {
                vmm: "this VMM".into(),
                what: "snapshots",
            })
        })
    }

    /// Kills the VMM at once and returns when it is gone. Fine if it is gone already.
    fn kill(&self) -> BoxFuture<'_, Result<(), VmmError>>;
}

/// What can go wrong with a VMM.
#[derive(Debug, thiserror::Error)]
pub enum VmmError {
    /// The binary is not there or not executable.
    #[error("{binary} was not found")]
    BinaryMissing {
        /// Name or path that was looked for.
        binary: String,
    },
    /// The process could not be started.
    #[error("{binary} could not be started")]
    Spawn {
        /// What was executed.
        binary: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// This user can make no taps.
    #[error("cannot make a network card by {TAPS}")]
    Taps {
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// This host does not let the machine have a network card.
    #[error("{binary} cannot be given a network card")]
    Card {
        /// What was to be executed.
        binary: PathBuf,
        /// What the host does not let be done.
        #[source]
        source: Refusal,
    },
    /// This host does not let the process be confined.
    #[error("{binary} could not be confined")]
    Confine {
        /// What was to be executed.
        binary: PathBuf,
        /// What the host does not let be done.
        #[source]
        source: Refusal,
    },
    /// The process ended before it was ready.
    #[error("{binary} ended at start: {log}")]
    DiedAtStart {
        /// What was executed.
        binary: PathBuf,
        /// The last lines of its log, joined.
        log: String,
    },
    /// A file of the VM's folder could not be used.
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
    /// The version is not one that guests are run on.
    #[error("{binary} is Firecracker {version}, {reason}")]
    Unfit {
        /// The file.
        binary: PathBuf,
        /// Its version.
        version: Version,
        /// What is wrong with it.
        reason: Unfit,
    },
    /// The VMM does not have what is asked for.
    #[error("{vmm} has no {what}")]
    Unsupported {
        /// Its name.
        vmm: String,
        /// What it lacks, in the plural.
        what: &'static str,
    },
    /// Jails are asked for, and this is not root.
    #[error("only root can use the jailer")]
    JailerNeedsRoot,
    /// The VMM did not carry out what it was asked for.
    #[error("the VMM refused {request}: {reason}")]
    Refused {
        /// What it was asked for.
        request: String,
        /// In its words.
        reason: String,
    },
    /// The VMM's control socket answered with an error, or not at all.
    #[error("the VMM's control socket: {message}")]
    Control {
        /// What was said.
        message: String,
    },
}
