//! Reading a log that may be written, and turned over, at the same time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{CONSOLE, Log, METRICS, VMM};

/// How often a reader that a turn-over got in the way of looks again.
const TRIES: usize = 3;

/// What the guest printed on its serial console in its last run: the newest part, at most 2 MiB. Works for a
/// machine that is gone, too.
///
/// # Errors
/// Of kind `NotFound` where nothing was ever kept; else what the system says.
pub fn console_log(folder: &Path) -> io::Result<Vec<u8>> {
    read(folder, CONSOLE)
}

/// The end of that, at most so many bytes.
///
/// # Errors
/// As [`console_log`].
pub fn console_end(folder: &Path, most: u64) -> io::Result<Vec<u8>> {
    let newer = open(&folder.join(CONSOLE.name))?;
    let mut end = Vec::new();
    let length = match &newer {
        Some(file) => file.metadata()?.len(),
        None => 0,
    };
    if length < most {
        // A few lines after a turn-over are not all that there is.
        let mut all = console_log(folder)?;
        let beginning = all
            .len()
            .saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        all.drain(..beginning);
        return Ok(all);
    }
    if let Some(mut file) = newer {
        file.seek(SeekFrom::Start(length - most))?;
        file.take(most).read_to_end(&mut end)?;
    }
    Ok(end)
}

/// What the VMM said in its last run, at most 512 KiB.
///
/// # Errors
/// As [`console_log`].
pub fn vmm_log(folder: &Path) -> io::Result<Vec<u8>> {
    read(folder, VMM)
}

/// What the VMM counted in its last run, where it does: a line of JSON each time, the first one maybe cut; at most
/// 256 KiB.
///
/// # Errors
/// As [`console_log`].
pub fn metrics_log(folder: &Path) -> io::Result<Vec<u8>> {
    read(folder, METRICS)
}

fn read(folder: &Path, log: Log) -> io::Result<Vec<u8>> {
    for _ in 0..TRIES {
        // The newer first: what is turned over in between is then found twice, never missed.
        let newer = open(&folder.join(log.name))?;
        let older = open(&folder.join(log.older))?;
        if is_same(newer.as_ref(), older.as_ref())? {
            continue;
        }
        if newer.is_none() && older.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut text = Vec::new();
        for part in [older, newer].into_iter().flatten() {
            part.take(log.limit).read_to_end(&mut text)?;
        }
        return Ok(text);
    }
    Err(io::Error::other("it is turned over faster than it can be read"))
}

pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    match File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
    {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn is_same(one: Option<&File>, other: Option<&File>) -> io::Result<bool> {
    let (Some(one), Some(other)) = (one, other) else {
        return Ok(false);
    };
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_parts_are_read_in_order_and_no_more_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let missing = console_log(folder.path()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::write(folder.path().join(CONSOLE.older), "one ").unwrap();
        assert_eq!(console_log(folder.path()).unwrap(), b"one ");
        fs::write(folder.path().join(CONSOLE.name), "two").unwrap();
        assert_eq!(console_log(folder.path()).unwrap(), b"one two");
        for (most, end) in [(2, "wo"), (3, "two"), (5, "e two"), (100, "one two")] {
            assert_eq!(
                console_end(folder.path(), most).unwrap(),
                end.as_bytes(),
                "{most}"
            );
        }
        let name = folder.path().join(CONSOLE.name);
        let file = File::options().write(true).open(name).unwrap();
        file.set_len(1 << 30).unwrap();
        assert_eq!(console_log(folder.path()).unwrap().len(), 4 + (1 << 20));
    }
}
