//! `banger vm cp`: files and trees, packed and unpacked here, as tar streams through the daemon.
//!
//! The user's files are read and written by this program, with the user's own rights, and never by the daemon.

mod read;
mod write;

use std::io::IsTerminal;

use archive::{PackOptions, Source};
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
            let client = place.connect().await?;
            let progress = Transfer::new(quiet, None);
            read::tree(&client, &vm, &from, to, progress, &mut signals).await
        }
        (End::There { vm, path }, End::Stream) => {
            let from = read(named(&vm, path)?);
            if std::io::stdout().is_terminal() {
                let failure = Failure::usage("`-` gives a tar stream, and stdout is a terminal");
                return Err(failure.with_hint("banger vm cp NAME:PATH - | tar t"));
            }
            let client = place.connect().await?;
            let copy = read::stdout(&client, &vm, &from, Transfer::new(quiet, None));
            unless_ended(&mut signals, copy).await
        }
        (End::There { vm, path }, End::There { vm: other, path: to }) => {
            let (from, to) = (read(named(&vm, path)?), write(named(&other, to)?, true));
            let client = place.connect().await?;
            let copy = write::between(&client, (&vm, &from), (&other, &to), Transfer::new(quiet, None));
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
