//! What is remembered of the workspaces that were put into VMs: `<state>/workspaces/<VM's id>.json`.
//!
//! The user's own notes, beside the daemon's state and not in it: they hold paths of the host, which are none of the
//! daemon's business. A note that is lost costs a prepare that is told to replace what is there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::{Environment, Paths};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use workspace::{Prepared, Stamp, Unsaved};

use crate::failure::Failure;

/// One workspace of one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The folder in the guest.
    pub guest_path: String,
    /// The working tree's top on the host.
    pub repository: PathBuf,
    /// The branch in the guest; none if it has none.
    pub branch: Option<String>,
    /// The commit that went in; none before the first one.
    pub commit: Option<String>,
    /// When.
    pub prepared_at: Timestamp,
    /// What was asked for, to ask for it again.
    pub asked: Asked,
    files: Vec<(Text, [i64; 5])>,
    deleted: Vec<Text>,
    /// Notes of earlier versions have neither of these.
    #[serde(default)]
    marks: String,
    #[serde(default)]
    state: Option<String>,
    /// The work that was in the guest only when that was last looked for.
    #[serde(default)]
    pub unsaved: Option<Noted>,
}

/// Work that was in a guest only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When.
    pub at: Timestamp,
    /// How many commits.
    pub commits: u64,
    /// How many files.
    pub files: u64,
    /// The first of them, a line each.
    pub lines: Vec<String>,
    /// Whether the VM was shut down right after. Notes of earlier versions do not have it.
    #[serde(default)]
    pub at_stop: bool,
    /// Whether programs ran in the workspace then. Notes of earlier versions do not have it.
    #[serde(default)]
    pub busy: bool,
}

impl Noted {
    /// Most lines of each kind.
    const MOST: usize = 10;

    /// What was found just now.
    pub fn of(found: &Unsaved) -> Self {
        let commits = found.commits.iter().take(Self::MOST);
        let commits = commits.map(|commit| format!("commit  {} {}", &commit.id[..7], commit.subject));
        let files = found.files.iter().take(Self::MOST);
        let files = files.map(|file| format!("{:<7} {}", file.what, file.path));
        Self {
            at: Timestamp::now(),
            commits: found.commits.len() as u64,
            files: found.files.len() as u64,
            lines: commits.chain(files).collect(),
            at_stop: false,
            busy: found.busy,
        }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.commits == 0 && self.files == 0
    }
}

/// What the user asked to have in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The whole history.
    pub full: bool,
    /// No files. Notes of earlier versions do not have it.
    #[serde(default)]
    pub metadata: bool,
    /// Untracked files.
    pub untracked: bool,
    /// A branch of its own.
    pub branch: Option<String>,
    /// A commit in the place of the working tree.
    pub from: Option<String>,
    /// The objects that the repository borrows, too. Notes of earlier versions do not have it.
    #[serde(default)]
    pub alternates: bool,
    /// Whose it is in the guest. Notes of earlier versions do not have it.
    #[serde(default)]
    pub user: Option<String>,
}

/// Bytes of a path, as text where they are that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Bytes(bytes.to_vec()),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Utf8(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Record {
    /// A note of what was just prepared.
    pub fn of(
        guest_path: &str,
        repository: &Path,
        branch: Option<String>,
        asked: Asked,
        prepared: &Prepared,
    ) -> Self {
        let files = prepared.files.iter();
        Self {
            guest_path: guest_path.to_owned(),
            repository: repository.to_owned(),
            branch,
            commit: prepared.commit.clone(),
            prepared_at: Timestamp::now(),
            asked,
            files: files
                .map(|(path, Stamp(stamp))| (Text::of(path), *stamp))
                .collect(),
            deleted: prepared.deleted.iter().map(|path| Text::of(path)).collect(),
            marks: prepared.marks.clone(),
            state: prepared.state.clone(),
            unsaved: None,
        }
    }

    /// In a word or two: the repository's folder, and the branch or commit.
    pub fn short(&self) -> String {
        let folder = self.repository.file_name().unwrap_or_default().to_string_lossy();
        let commit = self.commit.as_deref().map(|commit| &commit[..7]);
        format!("{folder}@{}", self.branch.as_deref().or(commit).unwrap_or("-"))
    }

    /// What the guest was given.
    pub fn prepared(&self) -> Prepared {
        Prepared {
            commit: self.commit.clone(),
            full: self.asked.full,
            files: self
                .files
                .iter()
                .map(|(path, stamp)| (path.bytes(), Stamp(*stamp)))
                .collect(),
            deleted: self.deleted.iter().map(Text::bytes).collect(),
            marks: self.marks.clone(),
            state: self.state.clone(),
            replaced: false,
        }
    }
}

/// The notes of one VM.
pub struct Records {
    path: PathBuf,
    list: Vec<Record>,
    /// Why there are notes that cannot be read.
    unreadable: Option<String>,
    /// Held while a workspace of the VM is prepared.
    _lock: Option<File>,
}

impl Records {
    /// Whether any VM has a workspace.
    pub fn exist() -> bool {
        let entries = folder().and_then(|folder| std::fs::read_dir(folder).ok());
        entries.is_some_and(|mut entries| entries.next().is_some())
    }

    /// The notes of a VM; none if they cannot be read, which [`Records::unreadable`] says.
    pub fn of(id: &str) -> Self {
        let path = folder().map(|folder| folder.join(format!("{id}.json")));
        let path = path.unwrap_or_default();
        let (list, unreadable) = match read(&path) {
            Ok(list) => (list, None),
            Err(error) => (
                Vec::new(),
                Some(format!("cannot read {}: {error}", path.display())),
            ),
        };
        Self {
            path,
            list,
            unreadable,
            _lock: None,
        }
    }

    /// Why there are notes that cannot be read: what the VM holds is not known then.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Forgets a VM that is gone.
    pub fn forget(id: &str) {
        let Some(folder) = folder() else { return };
        for end in ["json", "lock"] {
            // Most VMs have none.
            let _ = std::fs::remove_file(folder.join(format!("{id}.{end}")));
        }
    }

    /// The notes of a VM, which nobody else changes while this exists.
    ///
    /// # Errors
    /// Somebody else prepares a workspace of the VM, or the notes cannot be written.
    pub fn lock(id: &str) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::new(format!("cannot keep notes of workspaces: {error}"));
        let folder = folder().ok_or_else(|| cannot(io::ErrorKind::NotFound.into()))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(cannot)?;
        let lock = folder.join(format!("{id}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(lock);
        let lock = lock.map_err(cannot)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::new("another `banger` is preparing a workspace of this VM")
                .with_hint("wait until it is done")
        })?;
        let records = Self::of(id);
        match records.unreadable() {
            // Written over, they would be as if there had been none.
            Some(why) => Err(Failure::new(why)
                .with_hint("move it away; what workspaces of that VM hold is then not known any more")),
            None => Ok(Self {
                _lock: Some(lock),
                ..records
            }),
        }
    }

    /// All of the VM's.
    pub fn all(&self) -> &[Record] {
        &self.list
    }

    /// The workspace at a path of the guest's.
    pub fn at(&self, guest_path: &str) -> Option<&Record> {
        self.list.iter().find(|record| record.guest_path == guest_path)
    }

    /// Notes one, in the place of what was noted of its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, record: Record) -> Result<(), Failure> {
        self.list.retain(|known| known.guest_path != record.guest_path);
        self.list.push(record);
        self.write()
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", self.path.display())))
    }

    /// Notes what work was found in a workspace. Where another process changes the notes, that one's count.
    pub fn found(id: &str, guest_path: &str, noted: &Noted) {
        let Ok(mut records) = Self::lock(id) else { return };
        let mut list = records.list.iter_mut();
        if let Some(record) = list.find(|record| record.guest_path == guest_path) {
            record.unsaved = Some(noted.clone());
            records.write_if_possible();
        }
    }

    /// Notes that a VM was shut down right after what was noted since then.
    pub fn stopped(id: &str, since: Timestamp) {
        let Ok(mut records) = Self::lock(id) else { return };
        let noted = records
            .list
            .iter_mut()
            .filter_map(|record| record.unsaved.as_mut());
        for noted in noted.filter(|noted| noted.at >= since) {
            noted.at_stop = true;
        }
        records.write_if_possible();
    }

    fn write_if_possible(&self) {
        if let Err(error) = self.write() {
            tracing::debug!(%error, "cannot note what work a VM holds");
        }
    }

    fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.list).map_err(io::Error::other)?;
        durable::replace(&self.path, 0o600, &text)
    }
}

fn folder() -> Option<PathBuf> {
    let paths = Paths::personal(&Environment::of_process()).ok()?;
    Some(paths.state().join("workspaces"))
}

fn read(path: &Path) -> io::Result<Vec<Record>> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_paths_of_any_bytes() {
        let prepared = Prepared {
            commit: Some("a".repeat(40)),
            full: false,
            files: vec![
                (b"plain".to_vec(), Stamp([1, 2, 3, 4, 5])),
                (b"\xff".to_vec(), Stamp([0; 5])),
            ],
            deleted: vec![b"\n\xfe".to_vec()],
            marks: "m".to_owned(),
            state: Some("b".repeat(40)),
            replaced: false,
        };
        let record = Record::of(
            "/root/repo",
            Path::new("/tmp/x"),
            None,
            Asked::default(),
            &prepared,
        );
        let text = serde_json::to_vec(&record).unwrap();
        let back: Record = serde_json::from_slice(&text).unwrap();
        assert_eq!(back, record);
        assert_eq!(back.prepared(), prepared);
    }
}
