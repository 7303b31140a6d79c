//! What can go wrong with fetching and building, in the user's words.

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::apt::sources::SourcesError;
use crate::bundle::BundleError;

/// A catalog or recipe file that breaks its rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct DataError {
    /// The file.
    pub file: String,
    /// Line, from 1, where it can be said.
    pub line: Option<usize>,
    /// The key and what is wrong with it.
    pub message: String,
}

/// Reads TOML into a strict type.
pub(crate) fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, DataError> {
    let wrong = |key: Option<String>, error: &toml::de::Error| {
        let line = error.span().map(|span| {
            text.as_bytes()[..span.start.min(text.len())]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1
        });
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let message = key.map_or_else(|| message.clone(), |key| format!("{key}: {message}"));
        DataError {
            file: file.to_owned(),
            line,
            message,
        }
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| wrong(None, &error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        wrong(Some(key).filter(|key| key != "."), error.inner())
    })
}

/// Why a kernel or image could not be fetched or built. `Display` is one line.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The entry is for other machines.
    #[error("`{name}` is for {arch}, this machine is {machine}")]
    OtherArchitecture {
        /// The entry.
        name: String,
        /// What it is for.
        arch: &'static str,
        /// What this is.
        machine: &'static str,
    },
    /// There is nowhere to get packages from.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// A program is not installed.
    #[error("{tool} is not installed")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },
    /// A program could not be started.
    #[error("cannot start {tool}")]
    Spawn {
        /// The program.
        tool: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A program failed in a way that has no variant of its own.
    #[error("{tool} failed: {reason}")]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// Its last complaint, or how it ended.
        reason: String,
    },
    /// A mirror does not answer.
    #[error("cannot reach the mirror {mirror}: {reason}")]
    MirrorUnreachable {
        /// Host, or the whole address.
        mirror: String,
        /// What apt says.
        reason: String,
    },
    /// A server of bundles does not answer.
    #[error("cannot reach {url}")]
    ServerUnreachable {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A catalog does not arrive in time.
    #[error("{url} took longer than {limit:?}")]
    Slow {
        /// What was asked for.
        url: String,
        /// How long it may take.
        limit: std::time::Duration,
    },
    /// A server of bundles does not have it.
    #[error("{url} is not served: status {status}")]
    NotServed {
        /// What was asked for.
        url: String,
        /// HTTP's word for it.
        status: u16,
    },
    /// What is published cannot be used.
    #[error("the {what} {url} cannot be used: {source}")]
    Published {
        /// `catalog` or `bundle`.
        what: &'static str,
        /// Where it is.
        url: String,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// The entry can be had only from where nothing is configured.
    #[error("`{name}` is published as a bundle only, and no catalog is configured")]
    NoCatalog {
        /// The entry.
        name: String,
    },
    /// The mirror does not have that release.
    #[error("the mirror has no such release: {reason}")]
    SuiteMissing {
        /// What apt says.
        reason: String,
    },
    /// Something of the archive is not what the archive's signature promises.
    #[error("the archive could not be verified: {reason}")]
    Unverified {
        /// What apt says.
        reason: String,
    },
    /// A package is not in the archive.
    #[error("there is no package {package} in {suite}")]
    PackageMissing {
        /// The package.
        package: String,
        /// The release.
        suite: String,
    },
    /// What the archive says about a package cannot be used.
    #[error("the archive's record of {package} cannot be used: {reason}")]
    PackageRecord {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the device that holds {path}")]
    DiskFull {
        /// The work folder.
        path: PathBuf,
    },
    /// A work file could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// A verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A work folder whose name other programs' files cannot hold.
    #[error("the folder {path} has a quote, a backslash, a control character or no UTF-8 in its name")]
    FolderName {
        /// The folder.
        path: PathBuf,
    },
    /// More comes of a recipe, or of a package, than an image may have.
    #[error("the {what} has more than {most} {unit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        most: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A program could not be held in its confinement, and does not run without.
    #[error("cannot confine {tool}: {reason}")]
    NotConfined {
        /// The program.
        tool: &'static str,
        /// What the host does not let be done, and why.
        reason: String,
    },
    /// A step of the recipe failed.
    #[error("the recipe's {step} failed: {reason}")]
    RecipeStep {
        /// The command, or the part of the recipe.
        step: String,
        /// Its last words.
        reason: String,
    },
    /// A plain user has no ids to build with.
    #[error("user {user} has no range of subordinate ids in {file}")]
    NoSubordinateIds {
        /// Who.
        user: String,
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
    },
    /// The kernel or its policy does not let a plain user make a user namespace.
    #[error("this system does not let a plain user make a user namespace: {reason}")]
    NamespaceRefused {
        /// What was said.
        reason: String,
    },
}

impl CatalogError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ToolMissing { package, .. } => format!("apt-get install {package}"),
            Self::MirrorUnreachable { .. } => {
                "check the network, or set `mirror` under [recipe] in the configuration".into()
            }
            Self::ServerUnreachable { .. } | Self::Slow { .. } => {
                "check the network, and `catalog_url` in the configuration".into()
            }
            Self::NotServed { .. } => "check `catalog_url` in the configuration; what is published may have moved".into(),
            Self::NoCatalog { .. } => "set `catalog_url` in the configuration".into(),
            Self::Published { source: BundleError::Future { .. }, .. } => "a newer banger reads it".into(),
            Self::Published { source: BundleError::Hash { .. }, .. } => {
                "what is served is not what the catalog promises: ask whoever publishes it".into()
            }
            Self::Published { source: BundleError::Truncated { .. } | BundleError::Read(_), .. } => {
                "try again; the connection broke off".into()
            }
            Self::Sources(_) | Self::SuiteMissing { .. } => {
                "set `mirror` (and `keyring`) under [recipe] in the configuration".into()
            }
            Self::Unverified { .. } => {
                "the archive's keys are in the package debian-archive-keyring; for another mirror set `keyring` under \
                 [recipe] in the configuration"
                    .into()
            }
            Self::NoSubordinateIds { user, file } => {
                let option = if file.ends_with("gid") { "--add-subgids" } else { "--add-subuids" };
                format!("as root: usermod {option} 100000-165535 {user}")
            }
            Self::NamespaceRefused { .. } => {
                "allow user namespaces (sysctl kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces), or build as root"
                    .into()
            }
            Self::DiskFull { .. } => "free some space, or put the cache on another disk with XDG_CACHE_HOME".into(),
            _ => return None,
        })
    }

    /// Whether what is published cannot be had at the moment, and may be had another way.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::ServerUnreachable { .. } | Self::NotServed { .. })
    }

    /// The failure that a [`crate::TarStream`] has reported through `Read`, if `error` is one.
    #[must_use]
    pub fn of_stream(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// A work file that could not be used; a full disk is told apart.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return Self::DiskFull { path };
        }
        Self::File { action, path, source }
    }
}
