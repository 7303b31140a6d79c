//! `banger vm exec` and `banger vm shell`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use guest::Exec;

use super::command::{self, Streams};
use super::started::started;
use super::workspace::before_command;
use crate::cli::{ExecArgs, ShellArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::terminal::Signals;

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
    let exit = command::run(&client, &args.vm.reference, exec, streams, &mut signals).await?;
    Ok(exit.shell_code())
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
