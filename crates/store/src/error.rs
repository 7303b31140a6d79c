//! What can go wrong with the store.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use model::VmState;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be made or opened.
    #[error("cannot {action} {path}")]
    File {
        /// A verb: open, back up to, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// SQLite could not open the file.
    #[error("cannot open the store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is no database, or a damaged one.
    #[error("the store {path} is damaged: {detail}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file was written by a later version.
    #[error("the store {path} has version {found}, this banger knows up to {known}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest version that this program knows.
        known: u32,
    },
    /// The file may not be written.
    #[error("the store {path} cannot be written")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// There is no room for the write.
    #[error("no room left to write the store {path}")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the file.
    #[error("the store {path} is in use by another process")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The migration to this program's version failed.
    #[error("cannot bring the store {path} from version {from} to {to}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        from: u32,
        /// Version that was to be reached.
        to: u32,
        /// The reason.
        #[source]
        source: Box<rusqlite_migration::Error>,
    },
    /// A row of that name exists.
    #[error("the name `{name}` is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No row of that id or name.
    #[error("no {table} row `{key}`")]
    NotFound {
        /// The table.
        table: &'static str,
        /// Id or name.
        key: String,
    },
    /// The VM is not in a state that the transition starts from.
    #[error("VM `{id}` is {state}, not {}", list(.wanted))]
    NotInState {
        /// Id of the VM.
        id: String,
        /// The state it is in.
        state: VmState,
        /// The states that would have done.
        wanted: Vec<VmState>,
    },
    /// A statement failed.
    #[error("cannot {what}")]
    Statement {
        /// What it was to do.
        what: &'static str,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The thread that owns the connection is gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What the user can do about it, one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Corrupt { path, .. } => Some(format!(
                "move {} away, or put a copy back ({}.before-N is one from before a migration); \
                 disks of VMs are in folders of their own and are not touched",
                path.display(),
                path.display()
            )),
            Self::TooNew { .. } => Some("run the newer banger that wrote it".to_owned()),
            Self::ReadOnly { path } => Some(format!("make {} and its folder writable", path.display())),
            Self::Full { .. } => Some("free some disk space".to_owned()),
            Self::Busy { .. } => Some("is another bangerd running?".to_owned()),
            _ => None,
        }
    }

    /// Turns an error of SQLite into the variant that names its kind.
    pub(crate) fn from_sqlite(source: rusqlite::Error, path: &Path, what: &'static str) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt {
                path,
                detail: source.to_string(),
            },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::CannotOpen) => Self::Open { path, source },
            _ => Self::Statement { what, source },
        }
    }
}

fn list(states: &[VmState]) -> String {
    states
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}
