//! `banger vm cp`: files and trees, packed and unpacked here, as tar streams through the daemon.
//!
//! The user's files are read and written by this program, with the user's own rights, and never by the daemon.

mod read;
mod through;
mod write;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::{PackOptions, Source, Top};
use guest::files::{ReadFiles, WriteFiles};

use super::operation::ending;
use crate::cli::{CpArgs, End};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::Transfer;
use crate::terminal::{Signals, exit_code};

/// Copies.
///
/// # Errors
/// One of the ends cannot be read or written, or the copy broke off.
pub async fn cp(place: &Place, args: CpArgs) -> Result<u8, Failure> {
    let CpArgs {
        source,
        target,
        archive,
        follow_link: follow,
        quiet,
        ..
    } = args;
    let read = |path| ReadFiles {
        path,
        follow,
        archive,
    };
    let write = |path, copy| WriteFiles { path, copy, archive };
    let mut signals = Signals::ending()?;
    match (source, target) {
        (End::Here(path), End::There { vm, path: to }) => {
            let to = write(named(&vm, to)?, true);
            // Before anything is asked of the daemon: what is not there needs none.
            let source = Source::open(&path, follow).map_err(|error| Failure::new(error.line()))?;
            let progress = Transfer::new(quiet, source.size());
            let client = place.connect().await?;
            let copy = write::tree(&client, source, PackOptions { archive }, &vm, &to, progress);
            unless_ended(&mut signals, copy).await
        }
        (End::Stream, End::There { vm, path: to }) => {
            let to = write(named(&vm, to)?, false);
            if std::io::stdin().is_terminal() {
                let failure = Failure::usage("`-` takes a tar stream, and stdin is a terminal");
                return Err(failure.with_hint("tar c FILES | banger vm cp - NAME:PATH"));
            }
            let client = place.connect().await?;
            let copy = write::stdin(&client, &vm, &to, Transfer::new(quiet, None));
            unless_ended(&mut signals, copy).await
        }
        (End::There { vm, path }, End::Here(to)) => {
            let from = read(named(&vm, path)?);
            let top = called(&vm, &from.path, !to.is_dir())?;
            let client = place.connect().await?;
            let progress = Transfer::new(quiet, None);
            read::tree(&client, &vm, (&from, top), to, progress, &mut signals).await
        }
        (End::There { vm, path }, End::Stream) => {
            let from = read(named(&vm, path)?);
            let top = called(&vm, &from.path, false)?;
            if std::io::stdout().is_terminal() {
                let failure = Failure::usage("`-` gives a tar stream, and stdout is a terminal");
                return Err(failure.with_hint("banger vm cp NAME:PATH - | tar t"));
            }
            let client = place.connect().await?;
            let copy = through::stdout(&client, &vm, &from, top, Transfer::new(quiet, None));
            unless_ended(&mut signals, copy).await
        }
        (End::There { vm, path }, End::There { vm: other, path: to }) => {
            let (from, to) = (read(named(&vm, path)?), write(named(&other, to)?, true));
            let top = called(&vm, &from.path, false)?;
            let client = place.connect().await?;
            let progress = Transfer::new(quiet, None);
            let copy = through::between(&client, (&vm, &from), top, (&other, &to), progress);
            unless_ended(&mut signals, copy).await
        }
        _ => Err(Failure::usage("neither SRC nor DST is in a VM")
            .with_hint("write NAME:PATH for the one that is; `banger ps` lists the names")),
    }
}

/// A path in a VM, which must be there: leaving it out is too easily a mistake.
fn named(vm: &str, path: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if path.is_empty() {
        let failure = Failure::usage(format!("`{vm}:` lacks a path"));
        return Err(failure.with_hint(format!("{vm}:/root is the home of root")));
    }
    Ok(path)
}

/// What a tree of a VM is called where it goes: by the user's words for it. One without a name can only become a folder
/// that is not there yet, `fresh`.
fn called(vm: &str, path: &[u8], fresh: bool) -> Result<Top, Failure> {
    let top = Top::of(Path::new(OsStr::from_bytes(path)));
    if top == Top::Nameless && !fresh {
        let path = String::from_utf8_lossy(path);
        let failure = Failure::usage(format!("`{vm}:{path}` has no name to be copied under"));
        return Err(failure.with_hint(format!("{vm}:{}/. is what is in it", path.trim_end_matches('/'))));
    }
    Ok(top)
}

/// Drops a copy when a signal asks this program to end. Whoever is at the other end sees it break off.
async fn unless_ended(
    signals: &mut Signals,
    copy: impl Future<Output = Result<u8, Failure>>,
) -> Result<u8, Failure> {
    tokio::select! {
        biased;
        outcome = copy => outcome,
        signal = ending(signals) => Err(Failure::quiet(exit_code(signal))),
    }
}
