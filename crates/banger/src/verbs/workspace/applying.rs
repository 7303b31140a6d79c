//! A guest's patch that was fetched, into the user's files or onto a branch.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use workspace::patch::{Onto, Patch, parse};
use workspace::{Apply, Repository, WorkspaceError, apply as apply_here, to_branch};

use super::Entered;
use super::apart::{apart, changing_apart};
use super::risks::Risks;
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;
use crate::workspace::failed_at;

/// What the user wants of it.
#[derive(Default)]
pub(super) struct How {
    /// The commit that was prepared, which a branch begins at.
    pub(super) commit: Option<String>,
    /// Say whether it fits, and no more.
    pub(super) check: bool,
    /// Merge it where it does not fit.
    pub(super) three_way: bool,
    /// Make this branch, and leave the files.
    pub(super) branch: Option<String>,
    /// Take what was shown as risky.
    pub(super) allow_risky: bool,
    /// The hint where that is not so.
    pub(super) to_allow: String,
    /// The hint where it does not fit, unless that is flags of `workspace apply`.
    pub(super) to_fit: Option<String>,
    /// Say nothing but what is wrong.
    pub(super) quiet: bool,
}

/// Applies the patch in a file.
///
/// # Errors
/// It is refused or risky, or does not fit; the user's files are as they were then.
pub(super) async fn apply_fetched(
    entered: &Entered,
    repository: Repository,
    file: File,
    how: How,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let (name, at) = (entered.name.clone(), entered.guest_path.clone());
    let to_fit = how.to_fit.clone();
    let fail = move |error: WorkspaceError| {
        let failure = failed_at(&name, &at, &error);
        match (error, &to_fit) {
            (WorkspaceError::Conflict { .. }, Some(hint)) => failure.with_hint(hint),
            _ => failure,
        }
    };
    let failing = fail.clone();
    let (file, patch) = apart(signals, move || {
        let patch = parsed(&file).map_err(failing)?;
        Ok((file, patch))
    })
    .await?;
    // While it is open.
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if patch.is_empty() {
        say(how.quiet, "banger: nothing was changed there");
        return Ok(());
    }
    let (is_branch, onto, failing) = (how.branch.is_some(), how.commit.clone(), fail.clone());
    let (repository, patch, risks) = apart(signals, move || {
        let onto = match is_branch {
            true => Onto::Commit(onto.as_deref()),
            false => Onto::Files,
        };
        let risks = patch.risks(&repository, onto).map_err(failing)?;
        Ok((repository, patch, Risks(risks)))
    })
    .await?;
    risks.show(how.quiet, how.check);
    if risks.ask() && !how.allow_risky && !how.check {
        return Err(Failure::new("the patch holds what should be looked at first").with_hint(how.to_allow));
    }
    let message = format!("Work from {}:{}", entered.name, entered.guest_path);
    let quiet = how.quiet;
    // Whatever is asked of this program meanwhile: files are never left half replaced.
    let said = changing_apart(signals, move || {
        let _open = file;
        match &how.branch {
            Some(branch) => to_branch(
                &repository,
                &patch,
                &path,
                how.commit.as_deref(),
                branch,
                &message,
            )
            .map_err(fail)
            .map(|commit| format!("  branch {branch} is {}", &commit[..12])),
            None => {
                let check = how.check;
                let how = Apply {
                    check,
                    three_way: how.three_way,
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
    say(quiet, &said);
    Ok(())
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

/// Reads a patch from its beginning.
pub(super) fn parsed(mut file: &File) -> Result<Patch, WorkspaceError> {
    file.rewind().map_err(|source| WorkspaceError::Host {
        action: "read",
        path: "the patch".to_owned(),
        source,
    })?;
    parse(BufReader::with_capacity(256 << 10, file))
}
