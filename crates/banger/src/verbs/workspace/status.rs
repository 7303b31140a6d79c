//! What workspaces a VM has, and what moved on since.

use jiff::Timestamp;
use serde::Serialize;
use workspace::patch::LARGEST_TEXT;
use workspace::{Base, Repository};

use super::applying::parsed;
use super::changes::{fetch, tempfile_of_ours};
use super::{Entered, apart};
use crate::cli::{GUEST_PATH, StatusArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;
use crate::workspace::{Record, Records, failed, open};

/// One workspace.
#[derive(Serialize)]
struct Status {
    guest_path: String,
    repository: String,
    branch: Option<String>,
    commit: Option<String>,
    prepared_at: Timestamp,
    /// Where the host's head is now; none if the repository is gone.
    host_commit: Option<String>,
    host_moved: bool,
    /// Files changed in the guest since; none if it cannot be told.
    changed_files: Option<usize>,
}

/// `vm workspace status`.
///
/// # Errors
/// The VM does not run.
pub async fn status(place: &Place, args: &StatusArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference, GUEST_PATH).await?;
    let records = Records::of(&entered.id);
    let mut found = Vec::new();
    for record in records.all() {
        found.push(of(&entered, record, &mut signals).await?);
    }
    if args.output.json {
        render::json(&found)?;
        return Ok(0);
    }
    if found.is_empty() {
        render::note(&format!("banger: `{}` has no workspace", entered.name));
        render::hint(&format!(
            "`banger vm workspace prepare {}` puts this repository there",
            entered.name
        ));
        return Ok(0);
    }
    let now = Timestamp::now();
    for status in &found {
        render::output(&shown(status, now))?;
    }
    Ok(0)
}

async fn of(entered: &Entered, record: &Record, signals: &mut Signals) -> Result<Status, Failure> {
    // A repository that is gone is told of below.
    let (top, vm, borrowing) = (
        record.repository.clone(),
        entered.name.clone(),
        record.asked.alternates,
    );
    let host = apart(signals, move || {
        if let Err(failure) = open(&top, &vm, borrowing)
            && top.exists()
        {
            render::warning(failure.message());
        }
        Ok(Repository::head_of(&top).ok().flatten())
    })
    .await?;
    let file = tempfile_of_ours()?;
    let changed_files = match fetch(
        entered,
        &record.guest_path,
        (Base::Prepared, LARGEST_TEXT),
        file,
        signals,
    )
    .await
    {
        Ok(file) => match apart(signals, move || Ok(parsed(&file))).await? {
            Ok(patch) => Some(patch.changes.len()),
            Err(error) => {
                render::warning(failed(&entered.name, &error).message());
                None
            }
        },
        Err(failure) if failure.message().is_empty() => return Err(failure),
        Err(failure) => {
            render::warning(failure.message());
            None
        }
    };
    Ok(Status {
        guest_path: record.guest_path.clone(),
        repository: record.repository.display().to_string(),
        branch: record.branch.clone(),
        commit: record.commit.clone(),
        prepared_at: record.prepared_at,
        host_moved: host != record.commit,
        host_commit: host,
        changed_files,
    })
}

fn shown(status: &Status, now: Timestamp) -> String {
    let short = |commit: &Option<String>| {
        commit
            .as_deref()
            .map_or("no commit".to_owned(), |id| id[..12].to_owned())
    };
    let host = match (status.host_moved, &status.host_commit) {
        (false, _) => "at the same commit".to_owned(),
        (true, None) => "gone, or without a commit".to_owned(),
        (true, commit) => format!("moved on to {}", short(commit)),
    };
    let guest = match status.changed_files {
        None => "cannot be told".to_owned(),
        Some(0) => "nothing changed".to_owned(),
        Some(1) => "1 file changed".to_owned(),
        Some(count) => format!("{count} files changed"),
    };
    let branch = status
        .branch
        .as_deref()
        .map(|branch| format!("{branch} at "))
        .unwrap_or_default();
    let age = render::age(status.prepared_at, now);
    render::pairs([
        ("workspace", status.guest_path.clone()),
        ("from", status.repository.clone()),
        (
            "prepared",
            format!("{branch}{}, {age} ago", short(&status.commit)),
        ),
        ("host", host),
        ("guest", guest),
    ])
}
