//! `banger vm exec` and `banger vm shell`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use api::client::Client;
use guest::Exec;

use super::command::{self, Streams};
use super::started::started;
use super::workspace::before_command;
use crate::cli::{ExecArgs, ShellArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::terminal::Signals;
use crate::workspace::{Record, Records, command as workspace_command};

/// Runs a command in a VM and exits with its code.
///
/// # Errors
/// The command did not run to its end.
pub async fn exec(place: &Place, args: ExecArgs) -> Result<u8, Failure> {
    let mut exec = Exec {
        env: args.environment.resolve(|name| std::env::var_os(name))?,
        workdir: args.workdir,
        user: args.user,
        ..Exec::default()
    };
    let words: Vec<Vec<u8>> = args.command.into_iter().map(OsString::into_vec).collect();
    exec.set_words(&words);
    let streams = Streams::of(args.interactive, args.tty);
    let mut signals = Signals::for_commands()?;
    let client = place.connect().await?;
    started(&client, &args.vm.reference, args.boot.start, false, &mut signals).await?;
    before_command(&client, &args.vm.reference, args.auto_prepare, &mut signals).await?;
    let (user, folder) = (exec.user.clone(), exec.workdir.clone());
    match command::run(&client, &args.vm.reference, exec, streams, &mut signals).await {
        Ok(exit) => Ok(exit.shell_code()),
        Err(failure) => match (user, folder) {
            (Some(user), Some(folder)) if failure.message().contains(&folder) => {
                Err(whose(&client, &args.vm.reference, (&user, &folder), failure).await)
            }
            _ => Err(failure),
        },
    }
}

/// Why a user cannot get into a folder, where that is a workspace which is another user's.
async fn whose(client: &Client, reference: &str, (user, folder): (&str, &str), failure: Failure) -> Failure {
    let Ok(vm) = client.vm(reference).await else {
        return failure;
    };
    let records = Records::of(&vm.id);
    let theirs = |record: &&Record| {
        Path::new(folder).starts_with(&record.guest_path) && record.asked.user.as_deref() != Some(user)
    };
    match records.all().iter().find(theirs) {
        Some(record) => {
            let prepare = workspace_command("prepare", &vm.name, &record.guest_path);
            failure.with_hint(format!(
                "`{prepare} --user {user}` gives the workspace to that user"
            ))
        }
        None => failure,
    }
}

/// Opens a shell in a VM. How its last command ended is nobody's business.
///
/// # Errors
/// There is no terminal, or the shell did not run to its end.
pub async fn shell(place: &Place, args: ShellArgs) -> Result<u8, Failure> {
    let streams = command::terminal_for_shell("`banger vm exec -i NAME -- sh` takes a script on stdin")?;
    let mut signals = Signals::for_commands()?;
    let client = place.connect().await?;
    started(&client, &args.vm.reference, args.boot.start, false, &mut signals).await?;
    let exec = Exec {
        user: args.user,
        ..Exec::default()
    };
    command::run(&client, &args.vm.reference, exec, streams, &mut signals).await?;
    Ok(0)
}
