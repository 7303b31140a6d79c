//! The file that tells a later daemon which process runs (`process.json`).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{Identity, ProcessError};

/// A record is some hundred bytes; anything longer is none.
const LARGEST: u64 = 4096;

/// Writes `identity` to `path`: under a temporary name, then renamed, so that nobody reads half of one.
///
/// It is not synced. Whoever looks for the process later reads it from the same kernel, and when that goes down, so does
/// the process; what a disk has of the record then is a whole one of another boot, or nothing ([`read_record`]). Two
/// syncs would be most of what a start costs.
///
/// # Errors
/// [`ProcessError::Record`]; nothing is left of the temporary name then.
pub fn write_record(path: &Path, identity: &Identity) -> Result<(), ProcessError> {
    let temporary = temporary_name(path);
    replace(path, &temporary, identity).map_err(|source| {
        let _ = fs::remove_file(&temporary);
        ProcessError::Record {
            path: path.to_owned(),
            source,
        }
    })
}

fn replace(path: &Path, temporary: &Path, identity: &Identity) -> io::Result<()> {
    let mut text = serde_json::to_vec(identity)?;
    text.push(b'\n');
    // A crash may have left one.
    remove_if_there(temporary)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(&text)?;
    fs::rename(temporary, path)
}

/// Reads the record. `None`: there is no such file, or an empty one: the host went down before it was on disk, and with it
/// the process.
///
/// # Errors
/// [`ProcessError::Damaged`] if it is not a record, [`ProcessError::Record`] if it cannot be read.
pub fn read_record(path: &Path) -> Result<Option<Identity>, ProcessError> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ProcessError::Record {
                path: path.to_owned(),
                source,
            });
        }
    }
    let damaged = |reason: String| ProcessError::Damaged {
        path: path.to_owned(),
        reason,
    };
    if text.len() as u64 > LARGEST {
        return Err(damaged("it is too long".into()));
    }
    if is_blank(&text) {
        return Ok(None);
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

/// Removes the record if it tells of `identity`; one of another process stays. Fine if there is none.
///
/// # Errors
/// [`ProcessError::Record`] if it cannot be removed.
pub fn remove_record(path: &Path, identity: &Identity) -> Result<(), ProcessError> {
    if read_record(path)?.as_ref() != Some(identity) {
        return Ok(());
    }
    remove_if_there(path).map_err(|source| ProcessError::Record {
        path: path.to_owned(),
        source,
    })
}

/// Removes what there is of a record that was never finished, since its writer or the host went down. Fine if there is
/// nothing.
///
/// # Errors
/// [`ProcessError::Record`] if it cannot be removed.
pub fn remove_unfinished_record(path: &Path) -> Result<(), ProcessError> {
    let mut unfinished = vec![temporary_name(path)];
    if read_record(path)?.is_none() {
        unfinished.push(path.to_owned());
    }
    unfinished
        .into_iter()
        .try_for_each(|path| remove_if_there(&path).map_err(|source| ProcessError::Record { path, source }))
}

/// Without a word: of a file whose bytes never reached the disk, there is only the length, if that.
fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == 0)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_identity() -> Identity {
        Identity {
            pid: 7,
            start_time: 8,
            boot_id: "nine".into(),
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.json");
        fs::write(temporary_name(&path), "half of an ear").unwrap();
        write_record(&path, &some_identity()).unwrap();
        assert_eq!(read_record(&path).unwrap(), Some(some_identity()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(temporary_name(&path), "half of an ear").unwrap();
        remove_unfinished_record(&path).unwrap();
        remove_unfinished_record(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_record_is_none_and_a_damaged_one_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.json");
        assert_eq!(read_record(&path).unwrap(), None);
        let long = format!(
            "{{\"pid\":1,\"start_time\":2,\"boot_id\":\"{}\"}}",
            "x".repeat(5000)
        );
        for text in [
            "{}",
            "{\"pid\":-1,\"start_time\":2,\"boot_id\":\"\"}",
            "\u{0}{",
            &long,
        ] {
            fs::write(&path, text).unwrap();
            assert!(
                matches!(read_record(&path), Err(ProcessError::Damaged { .. })),
                "{text:.20}"
            );
        }
    }

    #[test]
    fn a_record_that_never_reached_the_disk_is_none_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.json");
        for text in [&b""[..], &[0; 80]] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_record(&path).unwrap(), None);
            remove_unfinished_record(&path).unwrap();
            assert!(!path.exists());
        }
        write_record(&path, &some_identity()).unwrap();
        remove_unfinished_record(&path).unwrap();
        assert!(path.exists(), "a whole one stays");
    }

    #[test]
    fn the_record_of_another_process_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.json");
        write_record(&path, &some_identity()).unwrap();
        remove_record(
            &path,
            &Identity {
                start_time: 9,
                ..some_identity()
            },
        )
        .unwrap();
        assert!(path.exists());
        remove_record(&path, &some_identity()).unwrap();
        assert!(!path.exists());
        remove_record(&path, &some_identity()).unwrap();
    }
}
