//! `banger vm cp`: files and trees, packed and unpacked here, as tar streams through the daemon.
//!
//! The user's files are read and written by this program, with the user's own rights, and never by the daemon.

mod read;
mod through;
mod together;
mod write;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use api::client::Client;
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
/// One of the ends cannot be read or written, or the copy broke off. Of several copies none is made after that.
pub async fn cp(place: &Place, args: CpArgs) -> Result<u8, Failure> {
    let several = args.sources.len() > 1;
    if several {
        together::check(&args.sources, &args.target)?;
    }
    let copies: Vec<_> = args
        .sources
        .into_iter()
        .map(|source| Copy::of(source, args.target.clone(), args.follow_link, several))
        .collect::<Result<_, Failure>>()?;
    let mut signals = Signals::ending()?;
    let client = place.connect().await?;
    let options = Options {
        archive: args.archive,
        follow: args.follow_link,
        quiet: args.quiet,
        several,
    };
    for copy in copies {
        copy.make(&client, options, &mut signals).await?;
    }
    Ok(0)
}

/// How all copies of one command are made.
#[derive(Clone, Copy)]
struct Options {
    archive: bool,
    follow: bool,
    quiet: bool,
    /// They go into a folder that is there.
    several: bool,
}

/// A copy whose ends make sense. What can be known without the daemon is: nothing is asked of it, or copied, where one
/// of several copies cannot be made.
enum Copy {
    In(PathBuf, InVm),
    Stdin(InVm),
    Out(InVm, Top, PathBuf),
    Stdout(InVm, Top),
    Between(InVm, Top, InVm),
}

/// A path in a VM.
struct InVm {
    vm: String,
    path: Vec<u8>,
}

impl Copy {
    fn of(source: End, target: End, follow: bool, several: bool) -> Result<Self, Failure> {
        Ok(match (source, target) {
            (End::Here(path), End::There { vm, path: to }) => {
                let to = named(vm, to)?;
                // Not kept open: there may be more of them than a process may have.
                open(&path, follow)?;
                Self::In(path, to)
            }
            (End::Stream, End::There { vm, path: to }) => {
                let to = named(vm, to)?;
                if std::io::stdin().is_terminal() {
                    let failure = Failure::usage("`-` takes a tar stream, and stdin is a terminal");
                    return Err(failure.with_hint("tar c FILES | banger vm cp - NAME:PATH"));
                }
                Self::Stdin(to)
            }
            (End::There { vm, path }, End::Here(to)) => {
                let from = named(vm, path)?;
                let top = called(&from, !to.is_dir())?;
                if several && !to.is_dir() {
                    return Err(together::no_folder(&to.to_string_lossy()));
                }
                Self::Out(from, top, to)
            }
            (End::There { vm, path }, End::Stream) => {
                let from = named(vm, path)?;
                let top = called(&from, false)?;
                if std::io::stdout().is_terminal() {
                    let failure = Failure::usage("`-` gives a tar stream, and stdout is a terminal");
                    return Err(failure.with_hint("banger vm cp NAME:PATH - | tar t"));
                }
                Self::Stdout(from, top)
            }
            (End::There { vm, path }, End::There { vm: other, path: to }) => {
                let (from, to) = (named(vm, path)?, named(other, to)?);
                let top = called(&from, false)?;
                Self::Between(from, top, to)
            }
            _ => {
                return Err(Failure::usage("neither SRC nor DST is in a VM")
                    .with_hint("write NAME:PATH for the one that is; `banger ps` lists the names"));
            }
        })
    }

    async fn make(self, client: &Client, options: Options, signals: &mut Signals) -> Result<u8, Failure> {
        let Options {
            archive,
            follow,
            quiet,
            several,
        } = options;
        let read = |from: InVm| {
            let path = from.path;
            let query = ReadFiles {
                path,
                follow,
                archive,
            };
            (from.vm, query)
        };
        let write = |to: InVm, copy| {
            let path = to.path;
            (to.vm, WriteFiles { path, copy, archive })
        };
        match self {
            Self::In(path, to) => {
                let source = open(&path, follow)?;
                let (vm, to) = write(to, !several);
                let progress = Transfer::new(quiet, source.size());
                let copy = write::tree(client, source, PackOptions { archive }, &vm, &to, progress);
                unless_ended(signals, copy).await
            }
            Self::Stdin(to) => {
                let (vm, to) = write(to, false);
                let copy = write::stdin(client, &vm, &to, Transfer::new(quiet, None));
                unless_ended(signals, copy).await
            }
            Self::Out(from, top, to) => {
                let (vm, from) = read(from);
                let progress = Transfer::new(quiet, None);
                read::tree(client, &vm, (&from, top), to, progress, signals).await
            }
            Self::Stdout(from, top) => {
                let (vm, from) = read(from);
                let copy = through::stdout(client, &vm, &from, top, Transfer::new(quiet, None));
                unless_ended(signals, copy).await
            }
            Self::Between(from, top, to) => {
                let ((vm, from), (other, to)) = (read(from), write(to, !several));
                let progress = Transfer::new(quiet, None);
                let copy = through::between(client, (&vm, &from), top, (&other, &to), progress);
                unless_ended(signals, copy).await
            }
        }
    }
}

fn open(path: &Path, follow: bool) -> Result<Source, Failure> {
    Source::open(path, follow).map_err(|error| Failure::new(error.line()))
}

/// A path in a VM, which must be there: leaving it out is too easily a mistake.
fn named(vm: String, path: Vec<u8>) -> Result<InVm, Failure> {
    if path.is_empty() {
        let failure = Failure::usage(format!("`{vm}:` lacks a path"));
        return Err(failure.with_hint(format!("{vm}:/root is the home of root")));
    }
    Ok(InVm { vm, path })
}

/// What a tree of a VM is called where it goes: by the user's words for it. One without a name can only become a folder
/// that is not there yet, `fresh`.
fn called(InVm { vm, path }: &InVm, fresh: bool) -> Result<Top, Failure> {
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
