//! Work that is in a VM's workspaces only: looked for before the VM goes, and noted before it is shut down.

use std::time::Duration;

use api::client::Client;
use api::{Vm, VmState};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use workspace::{Repository, Terms, beside_patch, unsaved};

use super::apart::apart;
use crate::failure::Failure;
use crate::render::{self, Transfer};
use crate::terminal::Signals;
use crate::workspace::{Noted, Record, Records, Remote, failed_at};

/// How long a VM may take to say what it holds, where the user waits for that alone, and where it is shut down after it.
const PATIENCE: Duration = Duration::from_secs(3);
const BEFORE_STOP: Duration = Duration::from_secs(10);

/// What is known of one workspace.
pub struct Found {
    /// Where it is in the guest; empty where not even that is known.
    guest_path: String,
    /// What was found, now or the last time.
    noted: Option<Noted>,
    /// Why that is not what there is now.
    doubt: Option<String>,
    /// Whether it was found now.
    fresh: bool,
}

impl Found {
    /// Whether the user is to be asked before it goes.
    pub fn asks(&self) -> bool {
        let work = self.noted.as_ref().is_some_and(|noted| !noted.is_empty());
        work || self.doubt.is_some()
    }

    /// What there is to say of it, a line each.
    pub fn lines(&self, vm: &str, now: Timestamp) -> Vec<String> {
        let place = match self.guest_path.is_empty() {
            true => vm.to_owned(),
            false => format!("{vm}:{}", self.guest_path),
        };
        let doubt = self
            .doubt
            .as_deref()
            .map(|why| format!("; {why}"))
            .unwrap_or_default();
        let Some(noted) = &self.noted else {
            let line = format!("  {place} may hold work that is nowhere else{doubt}");
            return vec![render::one_line(&line)];
        };
        let since = match self.fresh {
            true => String::new(),
            false => format!(", as of {} ago", render::age(noted.at, now)),
        };
        let count = |count: u64, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let parts = [(noted.commits, "commit"), (noted.files, "file")];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(number, one)| count(number, one)).collect();
        let what = match (parts.is_empty(), noted.commits + noted.files) {
            (true, _) => "held no work that is nowhere else".to_owned(),
            (false, 1) => format!("holds {} that is nowhere else", parts.join(" and ")),
            (false, _) => format!("holds {} that are nowhere else", parts.join(" and ")),
        };
        let mut lines = vec![format!("  {place} {what}{since}{doubt}")];
        lines.extend(noted.lines.iter().map(|line| format!("    {line}")));
        let more = (noted.commits + noted.files).saturating_sub(noted.lines.len() as u64);
        if more > 0 {
            lines.push(format!("    and {more} more"));
        }
        lines.iter().map(|line| render::one_line(line)).collect()
    }
}

/// Looks at a VM's workspaces, each of which there is something to say of. A VM that is silent is not waited for long.
pub async fn look(client: &Client, vm: &Vm) -> Vec<Found> {
    look_for(client, vm, PATIENCE).await
}

async fn look_for(client: &Client, vm: &Vm, patience: Duration) -> Vec<Found> {
    let records = Records::of(&vm.id);
    let end = Instant::now() + patience;
    let mut found = Vec::new();
    if let Some(why) = records.unreadable() {
        found.push(Found {
            guest_path: String::new(),
            noted: None,
            doubt: Some(why.to_owned()),
            fresh: false,
        });
    }
    for record in records.all() {
        let known = |doubt: Option<String>| {
            let ran_since =
                |noted: &Noted| !noted.at_stop || vm.started_at.is_some_and(|started| started > noted.at);
            let doubt = doubt.or_else(|| match &record.unsaved {
                None => Some(format!("it is {}, and was not looked at", vm.state)),
                Some(noted) if ran_since(noted) => Some("it has run since".to_owned()),
                // What they saved when they were told to end was not there yet.
                Some(noted) if noted.busy => Some("programs that ran in it were ended after that".to_owned()),
                Some(_) => None,
            });
            Found {
                guest_path: record.guest_path.clone(),
                noted: record.unsaved.clone(),
                doubt,
                fresh: false,
            }
        };
        if vm.state != VmState::Running {
            found.push(known(None));
            continue;
        }
        match timeout_at(end, fresh(client, vm, record)).await {
            Ok(Ok(noted)) => {
                Records::found(&vm.id, &record.guest_path, &noted);
                found.push(Found {
                    guest_path: record.guest_path.clone(),
                    noted: Some(noted),
                    doubt: None,
                    fresh: true,
                });
            }
            // Also where no workspace is there any more: its repository may have moved, or be broken.
            Ok(Err(failure)) => found.push(known(Some(failure.message().to_owned()))),
            Err(_) => found.push(known(Some("it does not answer".to_owned()))),
        }
    }
    found.retain(|found| found.asks());
    found
}

/// Notes what work a VM holds while it can still be asked. Says since when what is noted was found.
pub async fn note_before_stop(client: &Client, id: &str) -> Option<Timestamp> {
    if Records::of(id).all().is_empty() {
        return None;
    }
    let vm = client.vm(id).await.ok()?;
    if vm.state != VmState::Running {
        return None;
    }
    let since = Timestamp::now();
    look_for(client, &vm, BEFORE_STOP).await;
    Some(since)
}

/// What became of work that a patch does not carry.
pub enum Beside {
    /// There is none, but this many commits are in the patch by their changes alone.
    None(u64),
    /// It was said what there is.
    Said,
}

/// Says what work a patch of a workspace leaves in the VM, if any.
///
/// # Errors
/// It cannot be found out.
pub async fn said_beside_patch(
    client: &Client,
    (id, name): (&str, &str),
    guest_path: &str,
    signals: &mut Signals,
) -> Result<Beside, Failure> {
    let (_end, ended) = watch::channel(false);
    let mut guest = Remote::new(client.clone(), id.to_owned(), Transfer::new(true, None), ended);
    let path = guest_path.to_owned();
    let beside = apart(signals, move || Ok(beside_patch(&mut guest, &path))).await?;
    let beside = beside.map_err(|error| failed_at(name, guest_path, &error))?;
    let found = Found {
        guest_path: guest_path.to_owned(),
        noted: Some(Noted::of(&beside.left)),
        doubt: None,
        fresh: true,
    };
    if !found.asks() {
        return Ok(Beside::None(beside.commits));
    }
    for line in found.lines(name, Timestamp::now()) {
        render::note(&line);
    }
    Ok(Beside::Said)
}

/// What one workspace holds now. Dropped, it is broken off.
async fn fresh(client: &Client, vm: &Vm, record: &Record) -> Result<Noted, Failure> {
    struct End(watch::Sender<bool>);
    impl Drop for End {
        fn drop(&mut self) {
            let _ = self.0.send(true);
        }
    }
    let (end, ended) = watch::channel(false);
    let _end = End(end);
    let mut guest = Remote::new(client.clone(), vm.id.clone(), Transfer::new(true, None), ended);
    let (path, top) = (record.guest_path.clone(), record.repository.clone());
    let terms = Terms {
        alternates: record.asked.alternates,
        records: None,
    };
    let looked = tokio::task::spawn_blocking(move || {
        // Of a repository that is gone, or not to be looked at, nothing is here.
        let repository = Repository::find_on(&top, terms).ok();
        let repository = repository.filter(|found| found.top == top);
        unsaved(&mut guest, &path, repository.as_ref())
    });
    match looked.await {
        Ok(Ok(found)) => Ok(Noted::of(&found)),
        Ok(Err(error)) => Err(failed_at(&vm.name, &record.guest_path, &error)),
        Err(_) => Err(Failure::new("a thread failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_with_how_sure_it_is() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let noted = |commits, files, lines: &[&str]| Noted {
            at: Timestamp::from_second(999_700).unwrap(),
            commits,
            files,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            at_stop: false,
            busy: false,
        };
        let found = |noted, doubt: Option<&str>, fresh| Found {
            guest_path: "/root/repo".to_owned(),
            noted,
            doubt: doubt.map(str::to_owned),
            fresh,
        };
        for (found, asks, expected) in [
            (found(Some(noted(0, 0, &[])), None, true), false, ""),
            (
                found(Some(noted(0, 1, &["new     a\u{1b}b"])), None, true),
                true,
                "  box:/root/repo holds 1 file that is nowhere else\n    new     a\\x1bb",
            ),
            (
                found(Some(noted(2, 11, &["commit  1234567 two"])), None, false),
                true,
                "  box:/root/repo holds 2 commits and 11 files that are nowhere else, as of 5 min ago\n    \
                 commit  1234567 two\n    and 12 more",
            ),
            (
                found(Some(noted(0, 0, &[])), Some("it does not answer"), false),
                true,
                "  box:/root/repo held no work that is nowhere else, as of 5 min ago; it does not answer",
            ),
            (
                found(None, Some("it is stopped, and was not looked at"), false),
                true,
                "  box:/root/repo may hold work that is nowhere else; it is stopped, and was not looked at",
            ),
            (
                Found {
                    guest_path: String::new(),
                    ..found(None, Some("cannot read /x.json: no"), false)
                },
                true,
                "  box may hold work that is nowhere else; cannot read /x.json: no",
            ),
        ] {
            assert_eq!(found.asks(), asks);
            if asks {
                assert_eq!(found.lines("box", now).join("\n"), expected);
            }
        }
    }
}
