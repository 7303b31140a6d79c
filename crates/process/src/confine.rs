//! A process that sees nothing of the host but what is listed, and has no rights but its program's.
//!
//! ```text
//!  the host                              inside
//!    uid 1879048201, pid 4711            uid 1000, pid 1, no other process to be seen
//!    no capability in any namespace      no capability, no way to one, no further user namespaces
//!    /usr, /lib -> usr/lib, …      ───▶  the same, read-only
//!    …/kernels/6.1/vmlinux         ───▶  /kernel, read-only
//!    /home, /proc, /sys, /run, /tmp, …   not there
//!    network, System V IPC, host name    its own, empty
//! ```
//!
//! Needs no root: the rights to do it come from a user namespace, which is gone with the process. Where root does
//! it, the process gets an id that owns nothing on the host ([`Confinement::new`]), and so opens no file but those
//! that everyone may read; others are handed over open ([`crate::Launch::pass`]).
//!
//! Needs Linux 5.12 (`mount_setattr(2)`). Some hosts refuse user namespaces: ask [`Confinement::try_out`] first.

mod enter;
mod ids;
mod mounts;
mod plan;
mod range;
mod system;

use std::ffi::{CStr, CString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) use enter::{Broken, become_other, enter};
pub(crate) use ids::Other;
pub(crate) use plan::Plan;
pub use range::{IdRange, NoRange};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::fork::{Failure, Image, PRIVATE, fork};

/// Where hosts keep programs and their libraries.
const PROGRAMS: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];

/// See [`Confinement::refused`].
static REFUSED: OnceLock<Option<Refusal>> = OnceLock::new();

/// What a confined process sees. Without an entry its root is empty and read-only. An entry below a folder that an earlier
/// one shows comes over what is there: a part that can be written, of what else is only read.
#[derive(Clone, Debug)]
pub struct Confinement {
    number: u32,
    entries: Vec<Entry>,
    keeps_network: bool,
    user: Option<(u32, u32)>,
    never_root: bool,
    system: Option<system::System>,
}

/// Something in the new root.
#[derive(Clone, Debug)]
struct Entry {
    at: PathBuf,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A file or folder of the host, with what is mounted below it.
    Bound {
        source: PathBuf,
        rights: Rights,
        /// Whether the way there is the user's.
        by_user: bool,
    },
    /// A symbolic link.
    Link { to: PathBuf },
    /// An empty folder in memory that can be written, up to so many bytes.
    Scratch { bytes: u64, mode: &'static CStr },
    /// The processes of the own pid namespace, where the host lets them be seen.
    Processes,
    /// Pseudo-terminals of its own.
    Terminals,
}

/// What may be done with a bound file or folder, beyond what its mode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// Read and execute.
    Read,
    /// Read and write.
    Write,
    /// Use as the device it is.
    Device,
    /// Everything but using a device.
    Own,
}

/// What the host does not let be done.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct Refusal {
    pub(crate) step: String,
    /// The system's reason.
    #[source]
    pub(crate) source: io::Error,
}

impl Refusal {
    /// What was refused and why, in one line.
    pub fn reason(&self) -> String {
        format!("{self}: {}", self.source)
    }

    /// Whether it is for want of something that this process may have the next moment: descriptors, processes, memory. That
    /// says nothing of what the host lets be done.
    #[must_use]
    pub fn is_want(&self) -> bool {
        const WANTS: [Errno; 5] = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::INTR,
        ];
        Errno::from_io_error(&self.source).is_some_and(|error| WANTS.contains(&error))
    }
}

impl Confinement {
    /// Started by root, processes of different numbers get different ids on the host, as far as there are enough.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            entries: Vec::new(),
            keeps_network: false,
            user: None,
            never_root: false,
            system: None,
        }
    }

    /// Refuses to run as root for want of rights of somebody else's on a file that is shown. A device that is root's alone
    /// (`/dev/kvm` where no group has it) is no reason: there is no other way to it.
    pub fn never_root(&mut self) -> &mut Self {
        self.never_root = true;
        self
    }

    /// The user and group on the host that stand for a number: nobody's, as far as distributions and containers hand
    /// ids out.
    #[must_use]
    pub fn id(number: u32) -> u32 {
        ids::own(number)
    }

    /// The id for a program that root starts and that changes its user by itself: the one of its own for a number, as
    /// confined processes have it. `None` where this process is not root, or knows no such id: it is left to the program.
    ///
    /// # Errors
    /// It cannot be found out which ids this process knows.
    pub fn id_to_become(number: u32) -> io::Result<Option<u32>> {
        ids::to_become(number)
    }

    /// Started by root, the process becomes this user and group instead of one that owns nothing; 0 stays root, without
    /// any right. Others stay who they are. Inside, users have the numbers that they have outside.
    pub fn become_user(&mut self, user: u32, group: u32) -> &mut Self {
        self.user = Some((user, group));
        self
    }

    /// Shows a file or folder for reading; programs in it can be run.
    pub fn show(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>) -> &mut Self {
        self.bind(source, at, Rights::Read)
    }

    /// Shows a file or folder for writing as well; no program in it can be run.
    pub fn show_writable(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>) -> &mut Self {
        self.bind(source, at, Rights::Write)
    }

    /// [`Confinement::show`] for what the user of [`Confinement::become_user`] can move: the way there is gone with that
    /// user's rights on files, so that it ends at nothing that the user could not reach.
    pub fn show_of_user(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>) -> &mut Self {
        self.bind_by(source, at, Rights::Read, true)
    }

    /// [`Confinement::show_writable`], likewise.
    pub fn show_writable_of_user(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>) -> &mut Self {
        self.bind_by(source, at, Rights::Write, true)
    }

    /// Shows a device of the host under its own path.
    pub fn device(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        self.bind(path.clone(), path, Rights::Device)
    }

    /// Adds an empty folder that can be written, kept in memory: at most `bytes` bytes.
    pub fn scratch(&mut self, at: impl Into<PathBuf>, bytes: u64) -> &mut Self {
        // For everyone, since the process may become another user; there is none beside it.
        self.add(at, What::Scratch { bytes, mode: c"0777" })
    }

    /// Leaves the process in the host's network.
    pub fn keep_network(&mut self) -> &mut Self {
        self.keeps_network = true;
        self
    }

    /// Shows the host's programs with their libraries, wherever this host keeps them, and nothing of its settings
    /// but where libraries lie.
    pub fn show_programs(&mut self) -> &mut Self {
        const FILES: [&str; 2] = ["/etc/ld.so.cache", "/etc/alternatives"];
        for path in PROGRAMS.into_iter().chain(FILES).map(Path::new) {
            match path.read_link() {
                Ok(to) => self.add(path, What::Link { to }),
                Err(_) if path.exists() => self.show(path, path),
                Err(_) => self,
            };
        }
        self
    }

    /// Why this host confines nothing, if it does not. Found out once, by a process that sees programs alone; where such a
    /// process is not to be had for the moment, nothing is found out.
    #[must_use]
    pub fn refused() -> Option<&'static Refusal> {
        if let Some(known) = REFUSED.get() {
            return known.as_ref();
        }
        match Self::new(0).show_programs().try_out() {
            Err(refusal) if refusal.is_want() => None,
            tried => REFUSED.get_or_init(|| tried.err()).as_ref(),
        }
    }

    /// Whether [`Confinement::refused`] has been found out, to that effect.
    pub(crate) fn is_known_to_be_refused() -> bool {
        REFUSED.get().is_some_and(Option::is_some)
    }

    /// Whether a path, which goes over no link, is among what [`Confinement::show_programs`] shows.
    #[must_use]
    pub fn is_shown_with_programs(path: &Path) -> bool {
        PROGRAMS.iter().any(|shown| path.starts_with(shown))
    }

    /// Confines a process that then ends at once.
    ///
    /// # Errors
    /// What this host does not let be done.
    pub fn try_out(&self) -> Result<(), Refusal> {
        let plan = Plan::new(self)?;
        let failed = |source| Refusal {
            step: "start a process".into(),
            source,
        };
        let nowhere = || std::fs::File::open("/dev/null").map(Into::into).map_err(failed);
        let namespaces = plan.namespaces();
        let image = Image {
            // No program has this name: the process ends where it would become one.
            program: CString::default(),
            opened: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: std::fs::File::open("/").map_err(failed)?.into(),
            within: None,
            input: nowhere()?,
            output: nowhere()?,
            errors: None,
            passed: Vec::new(),
            namespaces,
            confinement: Some(plan),
            user: None,
            wire: None,
            group: None,
            umask: PRIVATE,
            limits: Vec::new(),
            filters: Vec::new(),
            ends_with_parent: false,
        };
        let waiting = fork(&image).map_err(|failure| match failure {
            Failure::Confine(refusal) => refusal,
            Failure::Wire(refusal) | Failure::Restrict(refusal) => refusal,
            Failure::Other(source) => failed(source),
        })?;
        match waiting.release() {
            Err(Failure::Confine(refusal)) => Err(refusal),
            Err(Failure::Wire(_) | Failure::Restrict(_) | Failure::Other(_)) | Ok(_) => Ok(()),
        }
    }

    fn bind(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>, rights: Rights) -> &mut Self {
        self.bind_by(source, at, rights, false)
    }

    fn bind_by(
        &mut self,
        source: impl Into<PathBuf>,
        at: impl Into<PathBuf>,
        rights: Rights,
        by_user: bool,
    ) -> &mut Self {
        let source = source.into();
        self.add(
            at,
            What::Bound {
                source,
                rights,
                by_user,
            },
        )
    }

    /// The user that root becomes for good, where it is another.
    pub(crate) fn other_user(&self) -> Option<Other> {
        let (user, group) = self.user.filter(|_| geteuid().is_root())?;
        Other::named(user, group)
    }

    /// Whether this process can be confined as another user.
    pub(crate) fn can_become_another() -> bool {
        ids::is_privileged().unwrap_or(false)
    }

    fn add(&mut self, at: impl Into<PathBuf>, what: What) -> &mut Self {
        self.entries.push(Entry { at: at.into(), what });
        self
    }
}
