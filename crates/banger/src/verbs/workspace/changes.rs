//! What was changed in a VM's workspace: as a patch, and back into the user's files.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use workspace::patch::{LARGEST_TEXT, Onto, Patch, parse};
use workspace::{
    Apply, Base, LARGEST_PATCH, WorkspaceError, apply as apply_here, export as export_from, to_branch,
};

use super::Entered;
use super::apart::{apart, changing_apart};
use super::risks::Risks;
use crate::cli::{ApplyArgs, DiffArgs, ExportWorkspaceArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, TerminalFilter};
use crate::terminal::Signals;
use crate::verbs::output::{begin, replaceable};
use crate::workspace::{Records, failed, open};

/// `vm workspace export`.
///
/// # Errors
/// There is no workspace or no such base, or the patch cannot be written.
pub async fn export(place: &Place, args: &ExportWorkspaceArgs) -> Result<u8, Failure> {
    let base = args.base.clone().map_or(Base::Commit, Base::Other);
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference).await?;
    let Some(output) = &args.output else {
        return print(&entered, &args.guest.guest_path, base, &mut signals).await;
    };
    let cannot = |error: io::Error| Failure::new(format!("cannot write {}: {error}", output.display()));
    replaceable(output)?;
    let folder = output
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let file = begin(folder, ".banger-patch-").map_err(cannot)?;
    let file = fetch(
        &entered,
        &args.guest.guest_path,
        (base, LARGEST_PATCH),
        file,
        &mut signals,
    )
    .await?;
    file.persist(output).map_err(|error| cannot(error.error))?;
    Ok(0)
}

/// `vm workspace diff`.
///
/// # Errors
/// There is no workspace.
pub async fn diff(place: &Place, args: &DiffArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference).await?;
    print(&entered, &args.guest.guest_path, Base::Prepared, &mut signals).await
}

/// `vm workspace apply`.
///
/// # Errors
/// There is no workspace, its patch is refused or risky, or does not fit; the user's files are as they were then.
pub async fn apply(place: &Place, args: ApplyArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference).await?;
    let records = Records::of(&entered.id);
    let record = records.at(&args.guest.guest_path);
    let top = match (&args.path, record) {
        (Some(path), _) => path.clone(),
        (None, Some(record)) => record.repository.clone(),
        (None, None) => {
            return Err(unknown(&entered, &args.guest.guest_path)
                .with_hint("name the repository: banger vm workspace apply NAME PATH"));
        }
    };
    let name = entered.name.clone();
    let fail = move |error: WorkspaceError| failed(&name, &error);
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
    let failing = fail.clone();
    let (file, patch) = apart(&mut signals, move || {
        let patch = parsed(&file).map_err(failing)?;
        Ok((file, patch))
    })
    .await?;
    // While it is open.
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if patch.is_empty() {
        say(args.quiet, "banger: nothing was changed there");
        return Ok(0);
    }
    let commit = record.and_then(|record| record.commit.clone());
    let (is_branch, onto, failing) = (args.branch.is_some(), commit.clone(), fail.clone());
    let (repository, patch, risks) = apart(&mut signals, move || {
        let onto = match is_branch {
            true => Onto::Commit(onto.as_deref()),
            false => Onto::Files,
        };
        let risks = patch.risks(&repository, onto).map_err(failing)?;
        Ok((repository, patch, Risks(risks)))
    })
    .await?;
    risks.show(args.quiet, args.check);
    if risks.ask() && !args.allow_risky && !args.check {
        return Err(
            Failure::new("the patch holds what should be looked at first").with_hint(format!(
                "`banger vm workspace diff {}` shows all of it; --allow-risky applies it",
                entered.name
            )),
        );
    }
    let message = format!("Work from {}:{}", entered.name, args.guest.guest_path);
    let check = args.check;
    // Whatever is asked of this program meanwhile: files are never left half replaced.
    let said = changing_apart(&mut signals, move || {
        let _open = file;
        match &args.branch {
            Some(branch) => to_branch(&repository, &patch, &path, commit.as_deref(), branch, &message)
                .map_err(fail)
                .map(|commit| format!("  branch {branch} is {}", &commit[..12])),
            None => {
                let how = Apply {
                    check,
                    three_way: args.three_way,
                };
                let applied = apply_here(&repository, &patch, &path, how).map_err(fail)?;
                if let Some(note) = applied.note {
                    let note = note.display();
                    render::warning(&format!("all is applied; cannot remove the note of it, {note}"));
                }
                Ok(summary(&patch, check))
            }
        }
    })
    .await?;
    say(args.quiet, &said);
    Ok(0)
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        render::note(text);
    }
}

/// Each file with its lines, and what becomes of all of them.
fn summary(patch: &Patch, check: bool) -> String {
    let mut text = String::new();
    for change in &patch.changes {
        let what = match (change.before, change.after) {
            (None, _) => "new",
            (_, None) => "deleted",
            _ => "changed",
        };
        let lines = match change.lines {
            Some((added, removed)) => format!("+{added} -{removed}"),
            None => match change.size {
                Some(size) => format!("binary, {}", render::bytes(size)),
                None => "binary".to_owned(),
            },
        };
        text.push_str(&format!(
            "  {what:<8} {}  {lines}\n",
            render::one_line(&change.shown())
        ));
    }
    let count = match patch.changes.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let end = if check {
        "would be changed: it fits"
    } else {
        "changed"
    };
    format!("{text}  {count} {end}")
}

/// No workspace was put there from here.
pub(super) fn unknown(entered: &Entered, guest_path: &str) -> Failure {
    Failure::new(format!(
        "nothing is known of a workspace at {}:{guest_path}",
        entered.name
    ))
}

/// Reads a patch from its beginning.
pub(super) fn parsed(mut file: &File) -> Result<Patch, WorkspaceError> {
    file.rewind().map_err(|source| WorkspaceError::Host {
        action: "read",
        path: "the patch".to_owned(),
        source,
    })?;
    parse(BufReader::with_capacity(256 << 10, file))
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
