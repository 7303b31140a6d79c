//! Where a tree is made: a system of its own ([`Confinement::system`]), whose root is nobody on the host.
//!
//! ```text
//!  install     a root of the host's programs and what apt reads, /tree and /tmp to write; the host's network
//!  step        the tree itself as root, /tmp and /run beside it; no network, no mounts
//!  pack        the host's programs, /tree to read; no network, no mounts
//! ```
//!
//! As root the range of ids is one that nobody else has; as a plain user it is the user's own by `/etc/subuid`. Where root
//! is refused a user namespace, or has no such range, the rest still holds: root of its own, few rights, filter, limits.
//!
//! Once something has run in the tree, this process touches nothing in it by itself any more: what may be anything there is
//! read, and removed, from within as well.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use process::{Command, Confinement, IdRange, Kind, Limits, NoRange, SystemCalls};

use crate::apt::HostFiles;
use crate::error::CatalogError;
use crate::progress::{Progress, ProgressSink};
use crate::tool::{find, search_path};
use crate::workdir::WorkDir;

/// How long it may take to install packages, downloads included.
pub(super) const TIME_TO_INSTALL: Duration = Duration::from_secs(6 * 60 * 60);
/// How long one of a recipe's commands may take.
pub(super) const TIME: Duration = Duration::from_secs(60 * 60);
/// What the tree is called in a work folder.
pub(crate) const TREE: &str = "tree";
/// `PATH` in the tree.
const PATH_INSIDE: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LIMITS: Limits = Limits {
    address_space: None,
    data: Some(8 << 30),
    file_size: Some(16 << 30),
    open_files: Some(65_536),
    processes: Some(4096),
    cpu: None,
};

/// Who builds, and where.
#[derive(Debug)]
pub(crate) struct Room {
    /// Without one, root of the host is root inside.
    range: Option<IdRange>,
}

impl Room {
    /// For what is made in `folder`, with what this host lets be done; what it does not is said.
    pub(crate) fn find(folder: &Path, progress: &ProgressSink) -> Result<Self, CatalogError> {
        let first = folder
            .metadata()
            .map_err(|source| CatalogError::file("read", folder, source))?
            .ino();
        // Another one for each build of this process, and, as a rule, of another process.
        static FIRST: OnceLock<u64> = OnceLock::new();
        static BUILDS: AtomicU64 = AtomicU64::new(0);
        let first = *FIRST.get_or_init(|| first);
        let number = first.wrapping_add(BUILDS.fetch_add(1, Ordering::Relaxed));
        let (room, refused) = Self::look(number)?;
        if let Some(reason) = refused {
            let warning = format!(
                "no user namespace to build an image in ({reason}): packages and commands run as root of this host, in a \
                 root of their own, with few rights and a filter of system calls"
            );
            progress(Progress::warning(warning));
        }
        Ok(room)
    }

    /// The same, with the reason if there is no user namespace.
    fn look(number: u64) -> Result<(Self, Option<String>), CatalogError> {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            find("newuidmap", "uidmap")?;
        }
        // What is wanting for the moment is no reason to build with less around it.
        let not_now = |reason| CatalogError::NotConfined {
            tool: "the build",
            reason,
        };
        let reason = match IdRange::find(number) {
            Ok(range) => match Confinement::system(Some(range)).try_out() {
                Ok(()) => return Ok((Self { range: Some(range) }, None)),
                Err(refusal) if refusal.is_want() => return Err(not_now(refusal.reason())),
                Err(refusal) => refusal.reason(),
            },
            Err(NoRange::NotGiven { user, file }) => {
                return Err(CatalogError::NoSubordinateIds { user, file });
            }
            Err(error @ NoRange::Unread { .. }) => return Err(not_now(error.to_string())),
            Err(error @ NoRange::TooFew) => error.to_string(),
        };
        if is_root {
            Ok((Self { range: None }, Some(reason)))
        } else {
            Err(CatalogError::NamespaceRefused { reason })
        }
    }

    #[cfg(test)]
    pub(super) fn of(range: Option<IdRange>) -> Self {
        Self { range }
    }

    #[cfg(test)]
    pub(super) fn range(&self) -> Option<IdRange> {
        self.range
    }

    /// Gives a file or folder of this process's to root inside.
    pub(crate) fn own(&self, path: &Path) -> Result<(), CatalogError> {
        let Some((user, group)) = self.others() else {
            return Ok(());
        };
        chown(path, Some(user), Some(group)).map_err(|source| CatalogError::file("hand over", path, source))
    }

    /// Makes a folder in a work folder that is root's inside.
    pub(super) fn folder(&self, folder: &WorkDir, name: &str, mode: u32) -> Result<PathBuf, CatalogError> {
        let path = folder.folder(name)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(|source| CatalogError::file("open", &path, source))?;
        self.own(&path)?;
        Ok(path)
    }

    /// Root inside, where that is not this process's own user.
    pub(super) fn others(&self) -> Option<(u32, u32)> {
        let is_root = rustix::process::geteuid().is_root();
        self.range.filter(|_| is_root).map(|range| range.root())
    }

    fn system(&self) -> Confinement {
        Confinement::system(self.range)
    }

    /// A command that installs packages: a program of the host's, with mounts and network.
    pub(super) fn install(
        &self,
        tool: &'static str,
        folder: &WorkDir,
        host: &HostFiles,
        shown: &[(&Path, &str)],
        given: &[(&Path, &str)],
    ) -> Result<Command, CatalogError> {
        let mut confinement = self.system();
        confinement.show_programs().keep_network().mounts();
        // What may mount might get its hands on a file of a plain user's, who is root inside: there, too, it sees copies.
        match &self.range {
            Some(range) => host.show_to(range, folder, &mut confinement)?,
            None => host.show(&mut confinement),
        }
        for (path, at) in shown {
            confinement.show(path, at);
        }
        for (path, at) in given {
            confinement.give(path, at);
        }
        let mut command = of_host(tool, tool, &mut confinement)?;
        proxies(&mut command);
        command
            .confine(confinement)
            .limit(LIMITS)
            .filter(SystemCalls::deny(&[
                Kind::Kernel,
                Kind::Processes,
                Kind::Sockets,
                Kind::Remounts,
            ]));
        Ok(command)
    }

    /// A command that runs in the tree, in a `folder` with what it finds at `/tmp` and `/run`. No shell is involved, and
    /// the program is looked for in the tree.
    pub(super) fn step(&self, tree: &Path, temporary: &Path, run: &Path, words: &[String]) -> Command {
        let mut confinement = self.system();
        confinement
            .rooted_at(tree)
            .give(temporary, "/tmp")
            .give(run, "/run");
        let mut command = Command::new("/usr/bin/env");
        command
            .arguments(words)
            .variable("PATH", PATH_INSIDE)
            .variable("HOME", "/root")
            .variable("LC_ALL", "C.UTF-8")
            .variable("DEBIAN_FRONTEND", "noninteractive")
            .confine(confinement)
            .limit(LIMITS)
            .filter(SystemCalls::deny(&Kind::ALL));
        command
    }

    /// A program of the host's that reads the tree, at `/tree`.
    pub(super) fn read(
        &self,
        tool: &'static str,
        package: &'static str,
        tree: &Path,
    ) -> Result<Command, CatalogError> {
        let mut confinement = self.system();
        confinement.show_programs().show(tree, "/tree");
        let mut command = of_host(tool, package, &mut confinement)?;
        command
            .confine(confinement)
            .limit(LIMITS)
            .filter(SystemCalls::deny(&Kind::ALL));
        Ok(command)
    }

    /// Empties a folder in which a tree was made: of files of other users, and of folders in one another, more than this
    /// process has descriptors or stack for.
    pub(crate) fn empty(folder: &Path) -> io::Result<()> {
        // Root on the host can remove what belongs to any range, but nothing beyond the folder.
        let range = match rustix::process::geteuid().is_root() {
            true => None,
            false => Some(IdRange::find(0).map_err(io::Error::other)?),
        };
        let mut confinement = Confinement::system(range);
        confinement.show_programs().give(folder, "/folder");
        let mut command = of_host("find", "findutils", &mut confinement).map_err(io::Error::other)?;
        command
            .arguments(["/folder", "-xdev", "-mindepth", "1", "-delete"])
            .confine(confinement)
            .filter(SystemCalls::deny(&Kind::ALL));
        let bounds = process::Bounds {
            output: 4096,
            errors: 4096,
            time: TIME,
        };
        let finished = command.run(None, bounds).map_err(io::Error::other)?;
        if finished.succeeded() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&finished.errors);
        let line = said.lines().next().unwrap_or("find failed");
        let kind = if line.contains("Directory not empty") {
            io::ErrorKind::DirectoryNotEmpty
        } else {
            io::ErrorKind::Other
        };
        Err(io::Error::new(kind, line.replace(char::is_control, " ")))
    }
}

/// Whether this host lets images be built: with a user namespace, or, with the reason, as root without.
///
/// # Errors
/// Neither.
pub fn check_host() -> Result<Option<String>, CatalogError> {
    Room::look(0).map(|(_, refused)| refused)
}

/// A program of the host's, by its path, which is shown where it is not among the programs.
pub(crate) fn of_host(
    tool: &'static str,
    package: &'static str,
    confinement: &mut Confinement,
) -> Result<Command, CatalogError> {
    let path = find(tool, package)?;
    let mut command = match path.canonicalize() {
        Ok(real) if !Confinement::is_shown_with_programs(&real) => {
            confinement.show(&real, &real);
            Command::new(real)
        }
        _ => Command::new(path),
    };
    command
        .variable("LC_ALL", "C.UTF-8")
        .variable("PATH", search_path());
    Ok(command)
}

/// What decides how programs reach the network: all that is passed on of this process's environment.
pub(crate) fn proxies(command: &mut Command) {
    for name in [
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.variable(name, value);
        }
    }
}
