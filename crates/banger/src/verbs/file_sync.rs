//! `[[file_sync]]` of `config.toml`: files of the user's home into each VM that boots.
//!
//! They are read by this program, with the user's own rights, and never by the daemon: before there is a VM, so that a
//! wrong line costs no boot.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::client::Client;
use archive::{ArchiveError, Members};
use config::{Environment, FileSync};
use guest::files::{WriteFiles, pipe};
use rustix::fs::OFlags;

use crate::configuration;
use crate::failure::Failure;
use crate::render;

/// Most bytes of all files together: settings, not data.
const LARGEST: u64 = 32 << 20;
/// Most files.
const MOST: usize = 10_000;
/// How long a guest may take over them: as long as over its boot.
const TAKING: Duration = Duration::from_secs(120);
/// Most levels of folders.
const DEEPEST: usize = 32;

/// The files, as they are to be in a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    files: Vec<Synchronised>,
    size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Synchronised {
    /// Below `/root`.
    path: PathBuf,
    mode: u32,
    content: Vec<u8>,
}

impl Synced {
    /// Reads all that the configuration names. One that is not there is a warning.
    ///
    /// # Errors
    /// The configuration is wrong, a file lies outside of the user's home, cannot be read, or they are too large.
    pub fn gather() -> Result<Self, Failure> {
        let environment = Environment::of_process();
        let mut synced = Self::default();
        let config = configuration::read(&environment)?;
        let Some(config) = config.filter(|config| !config.file_sync.is_empty()) else {
            return Ok(synced);
        };
        let home = environment
            .variable("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let home = home
            .canonicalize()
            .map_err(|error| Failure::new(format!("[[file_sync]] needs your home folder: {error}")))?;
        for entry in &config.file_sync {
            synced.add(entry, &home)?;
        }
        Ok(synced)
    }

    fn add(&mut self, entry: &FileSync, home: &Path) -> Result<(), Failure> {
        let path = entry.host.resolve(home);
        let found = match path.canonicalize() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                render::warning(&format!("[[file_sync]]: there is no {}", path.display()));
                return Ok(());
            }
            Err(error) => return Err(unread(&path, &error)),
        };
        if !found.starts_with(home) || found == home {
            let message = format!("[[file_sync]]: {} lies outside of your home", path.display());
            return Err(
                Failure::new(message).with_hint(format!("files below {} can be synced", home.display()))
            );
        }
        self.tree(&found, &entry.guest, entry.mode, DEEPEST)
    }

    fn tree(&mut self, from: &Path, to: &Path, mode: Option<u32>, deeper: usize) -> Result<(), Failure> {
        // What a folder became between the looks is not followed.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.cast_signed())
            .open(from)
            .map_err(|error| unread(from, &error))?;
        let metadata = file.metadata().map_err(|error| unread(from, &error))?;
        if metadata.is_file() {
            return self.file(
                &file,
                from,
                to,
                mode.unwrap_or(metadata.permissions().mode() & 0o777),
            );
        }
        if !metadata.is_dir() || deeper == 0 {
            return Err(Failure::new(format!(
                "[[file_sync]]: {} is neither a file nor a folder that is not too deep",
                from.display()
            )));
        }
        let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|error| unread(from, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(|error| unread(from, &error))?;
            // Links and sockets stay here.
            if kind.is_file() || kind.is_dir() {
                self.tree(&entry.path(), &to.join(entry.file_name()), mode, deeper - 1)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &File, from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
        let mut content = Vec::new();
        let left = LARGEST - self.size;
        file.take(left + 1)
            .read_to_end(&mut content)
            .map_err(|error| unread(from, &error))?;
        if content.len() as u64 > left || self.files.len() == MOST {
            return Err(Failure::new(format!(
                "[[file_sync]]: with {} they are more than {} MiB or {MOST} files",
                from.display(),
                LARGEST >> 20
            ))
            .with_hint("`banger vm cp` copies data"));
        }
        self.size += content.len() as u64;
        self.files.push(Synchronised {
            path: to.to_owned(),
            mode,
            content,
        });
        Ok(())
    }

    /// Puts them into a VM that runs. What a guest does not take is a warning: it may have no home at all.
    pub async fn bring(self, client: &Client, vm: &str) {
        if self.files.is_empty() {
            return;
        }
        let (pieces, tar) = pipe();
        let packing = tokio::task::spawn_blocking(move || {
            let mut send = |piece| {
                let sent = pieces.blocking_send(Ok(piece));
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            };
            self.pack(&mut send)
        });
        let to = WriteFiles {
            path: b"/root".to_vec(),
            ..WriteFiles::default()
        };
        let written = tokio::time::timeout(TAKING, client.write_files(vm, &to, tar)).await;
        // Who does not take the stream says why.
        let _ = packing.await;
        let why = match written {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not take them within {TAKING:?}"),
        };
        render::warning(&format!("[[file_sync]]: the VM has none of your files: {why}"));
    }

    fn pack(&self, send: &mut dyn FnMut(bytes::Bytes) -> io::Result<()>) -> Result<(), ArchiveError> {
        let mut members = Members::below(Path::new("/"), send)?;
        for file in &self.files {
            members.bytes(file.path.as_os_str().as_bytes(), file.mode, &file.content)?;
        }
        members.end()
    }
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("[[file_sync]]: cannot read {}: {error}", path.display()))
}
