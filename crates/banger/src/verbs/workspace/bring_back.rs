//! The work in a VM's workspace back to the user before the VM goes: into the files, as a patch, or, where that is
//! refused, as a patch that is saved.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use api::client::Client;
use config::{Environment, Paths};
use jiff::Timestamp;
use tempfile::NamedTempFile;
use workspace::{Base, LARGEST_PATCH};

use super::Entered;
use super::apart::apart;
use super::applying::{How, apply_fetched};
use super::changes::{fetch, tempfile_of_ours, unknown, write};
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;
use crate::verbs::output::{begin, sync_folder};
use crate::workspace::{Records, open};

/// Said where the patch cannot be applied as it is.
const TO_ALLOW: &str = "look at the patch before you apply it by hand";
/// Said where it does not fit; the VM that `workspace apply` would name is about to go.
const TO_FIT: &str = "nothing was changed; once your own changes are committed, `git apply --3way` of the saved patch tries a merge";

/// Where the work is to go.
#[derive(Clone, Debug, Default)]
pub struct BringBack {
    /// Into the user's files.
    pub apply: bool,
    /// To this file.
    pub export: Option<PathBuf>,
}

impl BringBack {
    /// Whether the work is to go anywhere.
    pub fn is_wanted(&self) -> bool {
        self.apply || self.export.is_some()
    }
}

/// Brings the work back. Where that is refused, which is said, and the patch is saved, this is false.
///
/// # Errors
/// The work is still in the VM alone.
pub async fn bring_back(
    client: &Client,
    (id, name): (&str, &str),
    guest_path: &str,
    to: &BringBack,
    quiet: bool,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let entered = Entered {
        client: client.clone(),
        id: id.to_owned(),
        name: name.to_owned(),
        guest_path: guest_path.to_owned(),
    };
    // Of what cannot be saved, an apply may still come to its end.
    let (kept, file) = match kept() {
        Ok(kept) => {
            let file = kept.reopen();
            let file = file.map_err(|error| Failure::new(format!("cannot write the patch: {error}")))?;
            (Ok(kept), file)
        }
        Err(error) => (Err(error), tempfile_of_ours()?),
    };
    let file = fetch(
        &entered,
        guest_path,
        (Base::Prepared, LARGEST_PATCH),
        file,
        signals,
    )
    .await?;
    let mut done = Ok(());
    if let Some(output) = &to.export {
        done = write(&entered, Base::Commit, output, signals).await;
        if let (Ok(()), false) = (&done, quiet) {
            render::note(&format!(
                "  export  {}",
                render::one_line(&output.display().to_string())
            ));
        }
    }
    if to.apply {
        let applied = apply(&entered, file, quiet, signals).await;
        if let (Err(first), Err(_)) = (&done, &applied) {
            first.report();
        }
        done = done.and(applied);
    }
    let Err(failure) = done else { return Ok(true) };
    failure.report();
    let saved = kept
        .and_then(|kept| save(kept, name))
        .map_err(|error| Failure::new(format!("the patch cannot be saved either: {error}")))?;
    let saved = saved.display().to_string();
    render::error(&format!("the patch is saved: {saved}"));
    Ok(false)
}

async fn apply(entered: &Entered, file: File, quiet: bool, signals: &mut Signals) -> Result<(), Failure> {
    let records = Records::of(&entered.id);
    let record = records
        .at(&entered.guest_path)
        .ok_or_else(|| unknown(entered, &entered.guest_path))?;
    let (top, vm, borrowing) = (
        record.repository.clone(),
        entered.name.clone(),
        record.asked.alternates,
    );
    let repository = apart(signals, move || open(&top, &vm, borrowing)).await?;
    let how = How {
        to_allow: TO_ALLOW.to_owned(),
        to_fit: Some(TO_FIT.to_owned()),
        quiet,
        ..How::default()
    };
    apply_fetched(entered, repository, file, how, signals).await
}

/// A patch of the user's alone, which stays only if it is saved.
fn kept() -> io::Result<NamedTempFile> {
    let paths = Paths::personal(&Environment::of_process()).map_err(io::Error::other)?;
    let folder = paths.state().join("patches");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    begin(&folder, ".banger-patch-")
}

/// Gives it a name that no other one has.
fn save(mut kept: NamedTempFile, vm: &str) -> io::Result<PathBuf> {
    /// As many as there may be of one VM's name in one second.
    const MOST: u32 = 100;
    kept.as_file().sync_all()?;
    let folder = kept.path().parent().unwrap_or(kept.path()).to_owned();
    let now = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    for number in 0..MOST {
        let number = match number {
            0 => String::new(),
            number => format!("-{number}"),
        };
        let path = folder.join(format!("{vm}-{now}{number}.patch"));
        match kept.persist_noclobber(&path) {
            Ok(_) => return sync_folder(&path).map(|()| path),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => kept = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
