//! What git tracks, in the index or in a commit: names of links, kinds of files, what links lead to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::Output;

use crate::error::WorkspaceError;
use crate::git::{Git, failed, first_of, status};
use crate::repository::Repository;

/// Most bytes of a link's target.
const TARGET: u64 = 4096;
/// Most bytes of an answer.
const MOST: u64 = 256 << 20;

/// All that a commit has.
pub(crate) struct Listing(Vec<u8>);

/// Lists what a commit has, folders too.
pub(crate) fn of_commit(repository: &Repository, commit: &str) -> Result<Listing, WorkspaceError> {
    let arguments = ["ls-tree", "-r", "-t", "-z", "--full-tree", commit];
    repository
        .git
        .read("list the commit's files", arguments)
        .map(Listing)
}

impl Listing {
    /// Path, mode and id of each.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
        self.0.split(|byte| *byte == 0).filter_map(|entry| {
            let tab = entry.iter().position(|byte| *byte == b'\t')?;
            let mut words = entry[..tab].split(|byte| *byte == b' ');
            let (mode, id) = (words.next()?, words.nth(1)?);
            Some((&entry[tab + 1..], mode, id))
        })
    }
}

/// What each link holds, where that is known.
pub(crate) type Targets = Vec<Option<Vec<u8>>>;

/// What links hold, and whether all of them: nothing of one that is longer than a target can be, or no object here, nor
/// of those that come after `most` bytes. (Many links can be one object.)
pub(crate) fn targets(git: &Git, ids: &[&str], most: usize) -> Result<(Targets, bool), WorkspaceError> {
    if ids.is_empty() {
        return Ok((Vec::new(), true));
    }
    let wanted: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let mut found = Vec::with_capacity(ids.len());
    let all = fed(
        git,
        "read the links",
        &["cat-file", "--batch", "--buffer"],
        wanted.into(),
        |printed| read(printed, ids.len(), most, &mut found),
    )?;
    Ok((found, all))
}

/// Runs git with something on its stdin, and reads what it prints.
pub(crate) fn fed<T>(
    git: &Git,
    action: &'static str,
    arguments: &[&str],
    input: Vec<u8>,
    read: impl FnOnce(&mut dyn BufRead) -> io::Result<T>,
) -> Result<T, WorkspaceError> {
    let mut child = git.spawn(arguments)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let complaint = std::thread::spawn(move || first_of(stderr, 4096));
    let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let read = match stdout {
        Some(stdout) => read(&mut BufReader::new(stdout)),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    if read.is_err() {
        // It may have ended by itself; what failed is told below.
        child.kill();
    }
    // A git that does not read on says why itself.
    let _ = writer.join();
    let status = status(child.wait().map_err(WorkspaceError::host(action, "git"))?);
    let stderr = complaint.join().unwrap_or_default();
    let read = read.map_err(WorkspaceError::host(action, "git"))?;
    if !status.success() {
        let stdout = Vec::new();
        return Err(failed(
            action,
            &Output {
                status,
                stdout,
                stderr,
            },
        ));
    }
    Ok(read)
}

/// Reads all that git prints, up to a bound.
pub(crate) fn all(printed: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    printed.take(MOST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(io::Error::other("it has too much to say"));
    }
    Ok(text)
}

/// `ID TYPE SIZE`, the object and a line's end, of each; `ID missing` of one that is not there.
fn read(mut printed: &mut dyn BufRead, count: usize, most: usize, found: &mut Targets) -> io::Result<bool> {
    let mut room = Some(most);
    for _ in 0..count {
        let mut line = Vec::new();
        (&mut printed).take(200).read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line);
        let size = line.trim_end().rsplit(' ').next().map(str::parse::<u64>);
        let Some(Ok(size)) = size else {
            found.push(None);
            continue;
        };
        let mut target = Vec::new();
        (&mut printed).take(size.min(TARGET)).read_to_end(&mut target)?;
        let rest = size.saturating_sub(TARGET) + 1;
        io::copy(&mut (&mut printed).take(rest), &mut io::sink())?;
        room = room.and_then(|room| room.checked_sub(target.len()));
        found.push((size <= TARGET && room.is_some()).then_some(target));
    }
    Ok(room.is_some())
}
