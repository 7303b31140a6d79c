//! Services for VMs, images and kernels; operations, the start plan with its undo, reconcile.
//!
//! ```text
//!  Engine ── Vms ── one task a VM (vms::actor) ── start plan ── vmm, net, guest
//!     │        └─── Artefacts: kernels, images, initramfs ───── catalog, rootfs
//!     └── Operations: rows, events, cancelling                 store
//! ```
//!
//! The engine knows no HTTP and no command line. What it needs from the host it asks for through [`Machines`] and
//! [`Sources`], so that tests can put simulated ones in their place.

mod artefacts;
mod body;
mod console;
mod doctor;
mod error;
mod export;
pub mod faults;
mod identity;
mod images;
mod kernels;
mod machines;
mod memory;
mod notices;
mod operations;
mod plain_file;
mod plan;
mod room;
mod space;
mod ssh;
mod vms;
mod walls;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use config::Paths;
use store::Store;

pub use artefacts::{CatalogSources, Known, KnownKernel, Made, Progress, Report, SourceError, Sources};
pub use doctor::Doctor;
pub use error::{EngineError, one_line, plain};
pub use export::Export;
pub use images::{Images, Upload};
pub use kernels::Kernels;
pub use machines::{Choice, Configured, HostMachines, Machines};
pub use net::Subnet;
pub use notices::Listener;
pub use operations::{Events, OperationHandle, Operations};
pub use process::raise_open_files;
pub use room::NoRoom;
pub use vmm::LogKind;
pub use vms::{Follow, Timeouts, Vms};

use artefacts::Artefacts;
use faults::Faults;
use notices::Notices;

/// What a VM gets where its request says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image by name.
    pub image: String,
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the writable layer in bytes.
    pub disk_size: u64,
    /// Network mode.
    pub network: api::NetworkMode,
}

/// How VMs get their networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// passt, if not the one on `PATH`.
    pub passt: Option<PathBuf>,
    /// A program that calls `net::serve_network_if_asked`, if not this one.
    pub program: Option<PathBuf>,
    /// Private networks, and networks of this host, that guests may reach.
    pub open: Vec<Subnet>,
    /// Whether guests have IPv6, where this host has it.
    pub ipv6: bool,
    /// Whether VMs use the VMM's own network where there is no passt.
    pub insecure_builtin: bool,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where everything lies; the folders exist.
    pub paths: Paths,
    /// The agent's binary, for the initramfs.
    pub agent: PathBuf,
    /// Where kernels and images come from.
    pub sources: Arc<dyn Sources>,
    /// What machines run on.
    pub machines: Arc<dyn Machines>,
    /// Named points that tests arm.
    pub faults: Arc<dyn Faults>,
    /// How long to wait for guests.
    pub timeouts: Timeouts,
    /// How VMs get their networks.
    pub networks: Networks,
    /// Reads `machines` and `networks` again at each start; the values above stay if `None`.
    pub configured: Option<Arc<dyn Configured>>,
    /// Certificate authorities that guests shall trust, PEM.
    pub ca_certificates: Option<String>,
    /// Servers that are asked before registries.
    pub registry_mirrors: config::RegistryMirrors,
    /// Bytes to leave free on the disk, if not the default.
    pub free_space_reserve: Option<u64>,
    /// Shape of a VM that says nothing else.
    pub defaults: Defaults,
}

/// The engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    vms: Vms,
    images: Images,
    kernels: Kernels,
    operations: Operations,
    notices: Notices,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the store and brings it together with what runs on the host.
    ///
    /// # Errors
    /// The store cannot be opened or read.
    pub async fn open(parts: Parts) -> Result<Self, EngineError> {
        let store = Store::open(parts.paths.database()).await?;
        let faults = Arc::clone(&parts.faults);
        store.fail_writes_by(Box::new(move |what| faults.fails_write(what)));
        let notices = Notices::default();
        let operations = Operations::new(store.clone(), notices.clone());
        let artefacts = Artefacts::new(
            store.clone(),
            parts.paths.clone(),
            parts.agent,
            Arc::clone(&parts.sources),
            artefacts::container::Registries {
                certificates: parts.ca_certificates.clone(),
                mirrors: parts.registry_mirrors,
            },
        );
        artefacts.sweep()?;
        let shared = Arc::new(vms::Shared {
            reserve: room::Reserve::new(
                parts.free_space_reserve,
                [parts.paths.vms(), parts.paths.images(), parts.paths.blobs()],
            ),
            ssh: Arc::new(ssh::SshKeys::new(&parts.paths)),
            store,
            operations: operations.clone(),
            notices: notices.clone(),
            artefacts,
            machines: parts.machines,
            faults: parts.faults,
            timeouts: parts.timeouts,
            networks: parts.networks,
            configured: parts.configured,
            ca_certificates: parts.ca_certificates,
            defaults: parts.defaults,
            paths: parts.paths,
            slots: guest::forward::Slots::of_process(),
            tasks: std::sync::Mutex::default(),
        });
        vms::reconcile(&shared).await?;
        vms::guard_disk(&shared);
        vms::keep_clocks(&shared);
        if let Some(after) = parts.timeouts.unused {
            vms::stop_unused(&shared, after);
        }
        Ok(Self {
            images: Images::new(Arc::clone(&shared)),
            kernels: Kernels::new(Arc::clone(&shared)),
            vms: Vms::new(shared),
            operations,
            notices,
        })
    }

    /// The VMs.
    #[must_use]
    pub fn vms(&self) -> &Vms {
        &self.vms
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The kernels.
    #[must_use]
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The operations.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Listens to what happens from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.notices.listen()
    }

    /// Whether nothing runs and nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.vms.running() == 0 && self.vms.are_settled() && self.has_no_work()
    }

    /// Whether nothing is under way; VMs may run.
    #[must_use]
    pub fn has_no_work(&self) -> bool {
        *self.operations.running().borrow() == 0
    }
}
