//! What was changed in a VM's workspace: as a patch, and back into the user's files.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use workspace::patch::LARGEST_TEXT;
use workspace::{Base, LARGEST_PATCH, WorkspaceError, export as export_from};

use super::Entered;
use super::apart::apart;
use super::applying::{How, apply_fetched};
use crate::cli::{ApplyArgs, DiffArgs, ExportWorkspaceArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::TerminalFilter;
use crate::terminal::Signals;
use crate::verbs::output::{begin, finish, replaceable};
use crate::workspace::{Records, command, open};

/// `vm workspace export`.
///
/// # Errors
/// There is no workspace or no such base, or the patch cannot be written.
pub async fn export(place: &Place, args: &ExportWorkspaceArgs) -> Result<u8, Failure> {
    let base = args.base.clone().map_or(Base::Commit, Base::Other);
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference, &args.guest.guest_path).await?;
    match &args.output {
        Some(output) => write(&entered, base, output, &mut signals).await.map(|()| 0),
        None => print(&entered, &args.guest.guest_path, base, &mut signals).await,
    }
}

/// Writes the guest's patch to a file of the user's, whole or not at all.
///
/// # Errors
/// There is no workspace or no such base, or the file cannot be written.
pub(super) async fn write(
    entered: &Entered,
    base: Base,
    output: &Path,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cannot write {}: {error}", output.display()));
    replaceable(output)?;
    let folder = output
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let file = begin(folder, ".banger-patch-").map_err(cannot)?;
    let file = fetch(entered, &entered.guest_path, (base, LARGEST_PATCH), file, signals).await?;
    finish(file, output).map_err(cannot)
}

/// `vm workspace diff`.
///
/// # Errors
/// There is no workspace.
pub async fn diff(place: &Place, args: &DiffArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference, &args.guest.guest_path).await?;
    print(&entered, &args.guest.guest_path, Base::Prepared, &mut signals).await
}

/// `vm workspace apply`.
///
/// # Errors
/// There is no workspace, its patch is refused or risky, or does not fit; the user's files are as they were then.
pub async fn apply(place: &Place, args: ApplyArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference, &args.guest.guest_path).await?;
    let records = Records::of(&entered.id);
    let record = records.at(&args.guest.guest_path);
    let top = match (&args.path, record) {
        (Some(path), _) => path.clone(),
        (None, Some(record)) => record.repository.clone(),
        (None, None) => {
            return Err(unknown(&entered, &args.guest.guest_path).with_hint(format!(
                "name the repository: {} PATH",
                command("apply", &entered.name, &entered.guest_path)
            )));
        }
    };
    let borrowing = record.is_some_and(|record| record.asked.alternates);
    let vm = entered.name.clone();
    let repository = apart(&mut signals, move || open(&top, &vm, borrowing)).await?;
    let base = match &args.branch {
        // A branch begins at the commit, without what was not committed here.
        Some(_) => Base::Commit,
        None => Base::Prepared,
    };
    let file = tempfile_of_ours()?;
    let file = fetch(
        &entered,
        &args.guest.guest_path,
        (base, LARGEST_TEXT),
        file,
        &mut signals,
    )
    .await?;
    let how = How {
        commit: record.and_then(|record| record.commit.clone()),
        check: args.check,
        three_way: args.three_way,
        branch: args.branch,
        allow_risky: args.allow_risky,
        to_allow: format!(
            "`{}` shows all of it; --allow-risky applies it",
            command("diff", &entered.name, &entered.guest_path)
        ),
        quiet: args.quiet,
        to_fit: None,
    };
    apply_fetched(&entered, repository, file, how, &mut signals).await?;
    Ok(0)
}

/// No workspace was put there from here.
pub(super) fn unknown(entered: &Entered, guest_path: &str) -> Failure {
    Failure::new(format!(
        "nothing is known of a workspace at {}:{guest_path}",
        entered.name
    ))
}

/// A file without a name: nobody else can open it, and nothing stays of it however this program ends.
pub(super) fn tempfile_of_ours() -> Result<File, Failure> {
    tempfile::tempfile().map_err(|error| Failure::new(format!("cannot make a file for the patch: {error}")))
}

/// Writes the guest's patch against a base, up to a bound, to a file.
pub(super) async fn fetch<F: Write + Send + 'static>(
    entered: &Entered,
    guest_path: &str,
    (base, limit): (Base, u64),
    file: F,
    signals: &mut Signals,
) -> Result<F, Failure> {
    let path = guest_path.to_owned();
    let mut written = entered
        .work(signals, true, move |guest| {
            let mut writer = io::BufWriter::with_capacity(256 << 10, file);
            export_from(guest, &path, &base, limit, &mut writer)?;
            writer.into_inner().map_err(|error| WorkspaceError::Host {
                action: "write",
                path: "the patch".to_owned(),
                source: error.into_error(),
            })
        })
        .await?;
    written
        .flush()
        .map_err(|error| Failure::new(format!("cannot write the patch: {error}")))?;
    Ok(written)
}

/// Prints the guest's patch: as it is, or on a terminal without what could steer it.
async fn print(entered: &Entered, path: &str, base: Base, signals: &mut Signals) -> Result<u8, Failure> {
    let path = path.to_owned();
    let ended = entered
        .work(signals, true, move |guest| {
            let mut screen = Screen {
                filter: io::stdout().is_terminal().then(TerminalFilter::default),
                broken: None,
            };
            let exported = export_from(guest, &path, &base, LARGEST_PATCH, &mut screen);
            match screen.broken {
                // Whoever has read enough ends it.
                Some(error) => Ok(Some(error)),
                None => exported.map(|()| None),
            }
        })
        .await?;
    match ended {
        Some(error) => Err(Failure::output(&error)),
        None => Ok(0),
    }
}

/// Stdout.
struct Screen {
    filter: Option<TerminalFilter>,
    broken: Option<io::Error>,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        let written = match &mut self.filter {
            Some(filter) => stdout.write_all(filter.filter(bytes).as_bytes()),
            None => stdout.write_all(bytes),
        };
        if let Err(error) = written.and_then(|()| stdout.flush()) {
            self.broken = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
