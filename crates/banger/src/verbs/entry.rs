//! `banger internal check-entry` and `add-entry`: what scripts/publish relies on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use catalog::bundle::{BundleError, Entry, RemoteCatalog};
use rustix::fs::OFlags;

use super::bundle::one_line;
use crate::cli::{AddEntryArgs, EntryArgs, EntryKind};
use crate::failure::Failure;

/// More than a catalog may have, which is refused then.
const LARGEST_FILE: u64 = 17 << 20;

/// Reads an entry and checks it, and the bundle beside it.
///
/// # Errors
/// The entry breaks a rule, or the bundle is missing or another one.
pub fn check(args: &EntryArgs) -> Result<Entry, Failure> {
    let entry = read_entry(args)?;
    let path = args.entry.with_file_name(&entry.bundle().url);
    let bundle = open(&path).map_err(|error| unread(&path, &error))?;
    entry
        .check_bundle(bundle)
        .map_err(|error| refused(&path, &error))?;
    Ok(entry)
}

/// Adds a checked entry to a catalog.
///
/// # Errors
/// The entry or the catalog breaks a rule.
pub fn add(args: &AddEntryArgs) -> Result<RemoteCatalog, Failure> {
    let entry = read_entry(&args.entry)?;
    RemoteCatalog::parse_published(&read(&args.catalog)?)
        .and_then(|catalog| catalog.with_entry(entry))
        .map_err(|error| refused(&args.catalog, &error))
}

fn read_entry(args: &EntryArgs) -> Result<Entry, Failure> {
    let json = read(&args.entry)?;
    let entry = match args.kind {
        EntryKind::Images => Entry::image(&json),
        EntryKind::Kernels => Entry::kernel(&json),
    };
    entry.map_err(|error| refused(&args.entry, &error))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open(path)
        .and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes))
        .map_err(|error| unread(path, &error))?;
    Ok(bytes)
}

fn open(path: &Path) -> io::Result<File> {
    // Without `NONBLOCK`, a pipe in the file's place would be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok(file)
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

fn refused(path: &Path, error: &BundleError) -> Failure {
    Failure::new(format!("{}: {}", path.display(), one_line(error)))
}
