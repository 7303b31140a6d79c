//! Where everything lies: the XDG directories in personal mode.

use std::io;
use std::path::{Path, PathBuf};

use crate::Environment;

/// Longest path that a Unix socket's address holds (`sun_path` less its final zero).
const LONGEST_SOCKET_PATH: usize = 107;

/// Where the runtime directory is without XDG_RUNTIME_DIR: anybody can make one of that name there.
const SHARED: &str = "/tmp";

/// The directories of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    runtime: PathBuf,
    uid: u32,
    ssh_key: Option<PathBuf>,
}

/// Why the directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// Neither the XDG variable nor `HOME` says where to put something.
    #[error("HOME is not set to an absolute path, and neither is {variable}")]
    NoHome {
        /// The variable that would do instead.
        variable: &'static str,
    },
    /// A directory's name cannot be written into a file, or shown.
    #[error("cannot use {path:?}: names of banger's folders are UTF-8 text without control characters")]
    Characters {
        /// The directory.
        path: PathBuf,
    },
    /// A directory could not be made.
    #[error("cannot create {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A directory could not be looked at.
    #[error("cannot open {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A directory is a symbolic link or no directory.
    #[error("{path} is not a directory of its own (a symbolic link or a file)")]
    NotADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A directory belongs to somebody else.
    #[error("{path} belongs to uid {owner}, not to uid {uid}")]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        uid: u32,
    },
    /// Others may enter or change a directory.
    #[error("{path} has mode {mode:04o}, others can get at it")]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A socket there could not be bound.
    #[error("{path} is {length} bytes long, a socket's path may have {LONGEST_SOCKET_PATH}")]
    SocketPathTooLong {
        /// The socket.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
}

impl PathsError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            // In `/tmp` nobody but its owner and root can remove it.
            Self::NotADirectory { path } | Self::ForeignOwner { path, .. } | Self::Open { path, .. }
                if path.parent() == Some(Path::new(SHARED)) =>
            {
                Some(format!(
                    "set XDG_RUNTIME_DIR to a folder of your own (`mkdir -m 700 ~/.run; export XDG_RUNTIME_DIR=~/.run`), \
                     or have root remove {}",
                    path.display()
                ))
            }
            Self::NoHome { variable } => Some(format!("set HOME, or {variable} to an absolute path")),
            Self::Characters { .. } => Some(
                "set HOME, or XDG_STATE_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME and XDG_RUNTIME_DIR, to another folder".into(),
            ),
            Self::OpenToOthers { path, .. } => Some(format!("chmod 700 {}", path.display())),
            Self::NotADirectory { path } | Self::ForeignOwner { path, .. } => {
                Some(format!("find out who made {} and remove it", path.display()))
            }
            Self::SocketPathTooLong { .. } => Some("set XDG_RUNTIME_DIR to a shorter path".into()),
            Self::Create { path, source } => match source.kind() {
                io::ErrorKind::StorageFull => Some("free some disk space".into()),
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Some(format!(
                    "make {} writable, or set XDG_STATE_HOME, XDG_CACHE_HOME and XDG_RUNTIME_DIR to folders that are",
                    path.parent().unwrap_or(path).display()
                )),
                _ => None,
            },
            Self::Open { .. } => None,
        }
    }
}

impl Paths {
    /// Personal mode: the user's own directories, by the XDG base directory specification.
    ///
    /// The runtime directory falls back to `/tmp/banger-<uid>`; [`Paths::prepare`] checks that nobody else made it.
    ///
    /// # Errors
    /// [`PathsError::NoHome`] if `HOME` is needed and missing, [`PathsError::Characters`],
    /// [`PathsError::SocketPathTooLong`].
    pub fn personal(environment: &Environment) -> Result<Self, PathsError> {
        let base = |variable: &'static str, below_home: &str| {
            environment
                .absolute_path(variable)
                .or_else(|| {
                    environment
                        .absolute_path("HOME")
                        .map(|home| home.join(below_home))
                })
                .map(|base| base.join("banger"))
                .ok_or(PathsError::NoHome { variable })
        };
        let uid = environment.uid();
        let paths = Self {
            config: base("XDG_CONFIG_HOME", ".config")?,
            state: base("XDG_STATE_HOME", ".local/state")?,
            cache: base("XDG_CACHE_HOME", ".cache")?,
            runtime: environment.absolute_path("XDG_RUNTIME_DIR").map_or_else(
                || Path::new(SHARED).join(format!("banger-{uid}")),
                |base| base.join("banger"),
            ),
            uid,
            ssh_key: None,
        };
        for path in [&paths.config, &paths.state, &paths.cache, &paths.runtime] {
            // The daemon records them as JSON and announces them on a line.
            if path.to_str().is_none_or(|text| text.contains(char::is_control)) {
                return Err(PathsError::Characters { path: path.clone() });
            }
        }
        let socket = paths.socket();
        let length = socket.as_os_str().len();
        if length > LONGEST_SOCKET_PATH {
            return Err(PathsError::SocketPathTooLong { path: socket, length });
        }
        Ok(paths)
    }

    /// Creates the directories, mode 0700, and checks that those which exist are the user's own and closed to others.
    ///
    /// # Errors
    /// The first directory that cannot be used.
    pub fn prepare(&self) -> Result<(), PathsError> {
        crate::prepare::user_directory(&self.state, self.uid)?;
        crate::prepare::user_directory(&self.cache, self.uid)?;
        for directory in [
            self.vms(),
            self.images(),
            self.kernels(),
            self.layers(),
            self.blobs(),
            self.initramfs(),
            self.recipes(),
            self.ssh(),
        ] {
            crate::prepare::user_directory(&directory, self.uid)?;
        }
        self.prepare_runtime()
    }

    /// Checks the state directory, and makes nothing; false where it is not there yet.
    ///
    /// # Errors
    /// As [`Paths::prepare`].
    pub fn check_state(&self) -> Result<bool, PathsError> {
        crate::prepare::check_user_directory(&self.state, self.uid)
    }

    /// The user whose directories these are.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Creates and checks the runtime directory only: it can vanish at logout while the daemon lives.
    ///
    /// # Errors
    /// As [`Paths::prepare`].
    pub fn prepare_runtime(&self) -> Result<(), PathsError> {
        crate::prepare::private_directory(&self.runtime, self.uid)
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// What must not be lost.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What can be fetched or built again.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Sockets; gone after a logout or reboot.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Tells where the daemon of this state directory listens.
    #[must_use]
    pub fn daemon_file(&self) -> PathBuf {
        self.state.join("bangerd.json")
    }

    /// Held by the one daemon of this state directory.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.state.join("bangerd.lock")
    }

    /// Log of the daemon that the CLI starts.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("bangerd.log")
    }

    /// The store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state.join("banger.db")
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("bangerd.sock")
    }

    /// Folders of the VMs.
    #[must_use]
    pub fn vms(&self) -> PathBuf {
        self.state.join("vms")
    }

    /// Folder of one VM. `id` is an id that the store has given, never text from outside.
    #[must_use]
    pub fn vm(&self, id: &str) -> PathBuf {
        self.vms().join(id)
    }

    /// Keys and settings of ssh into guests.
    #[must_use]
    pub fn ssh(&self) -> PathBuf {
        self.state.join("ssh")
    }

    /// The key that ssh logs in to guests with.
    #[must_use]
    pub fn ssh_key(&self) -> PathBuf {
        self.ssh_key
            .clone()
            .unwrap_or_else(|| self.ssh().join("id_ed25519"))
    }

    /// The same with a key of the user's own, if there is one.
    #[must_use]
    pub fn with_ssh_key(mut self, key: Option<PathBuf>) -> Self {
        self.ssh_key = key;
        self
    }

    /// Managed images.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Managed kernels.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.state.join("kernels")
    }

    /// Templates of writable layers.
    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.cache.join("layers")
    }

    /// Layers of container images, by digest.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.cache.join("blobs")
    }

    /// Initramfs files, one for each pair of kernel and agent.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.cache.join("initramfs")
    }

    /// Work files of builds and downloads.
    #[must_use]
    pub fn recipes(&self) -> PathBuf {
        self.cache.join("recipes")
    }
}
