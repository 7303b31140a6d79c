//! `banger vm run`: makes a VM, boots it, and opens a shell or runs a command in it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use api::client::{Action, Client, ClientError};
use api::{CreateVm, Vm, VmState};
use guest::Exec;

use super::boot;
use super::command::{self, Streams};
use super::create::{no_vm, request};
use super::file_sync::Synced;
use super::operation::{self, follow};
use super::registry;
use super::workspace::{
    Beside, Bootstrap, BringBack, Plan, apart, asking_apart, bring_back, check_tools, install_tools,
    said_beside_patch, set_up,
};
use crate::cli::{ChoiceArgs, GUEST_PATH, ModeArg, RunArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};
use crate::workspace::{Trust, Wishes};

/// Said where a shell needs a terminal and there is none.
const INSTEAD: &str = "`vm run -- COMMAND` runs a command, `vm run -d` leaves the VM running";

/// Runs `vm run`. Gives the command's exit code; a shell's is nobody's business.
///
/// # Errors
/// What failed. With `--rm`, and when the start failed, nothing of the VM is left.
pub async fn run(place: &Place, args: RunArgs) -> Result<u8, Failure> {
    let mut signals = Signals::for_commands()?;
    let (args, plan) = apart(&mut signals, move || {
        let plan = plan(&args)?;
        Ok((args, plan))
    })
    .await?;
    if args.choice.dry_run {
        // Whoever reads it may be slow.
        return asking_apart(&mut signals, move || plan.map_or(Ok(0), |plan| plan.list())).await;
    }
    let trust = trust(&args);
    let (plan, wishes) = asking_apart(&mut signals, move || {
        let wishes = match &plan {
            Some(plan) => plan.wishes(trust)?,
            None => Wishes::default(),
        };
        Ok((plan, wishes))
    })
    .await?;
    let shell = args.command.is_empty() && !args.entrypoint;
    let streams = match (args.detach, shell) {
        (true, _) => None,
        (false, true) => Some(command::terminal_for_shell(INSTEAD)?),
        (false, false) => Some(Streams::of(args.interactive, args.tty)),
    };
    let mut exec = Exec {
        workdir: args
            .workdir
            .or_else(|| plan.as_ref().map(|_| GUEST_PATH.to_owned())),
        user: args.user,
        ..Exec::default()
    };
    let words: Vec<Vec<u8>> = args.command.into_iter().map(OsString::into_vec).collect();
    let back = BringBack {
        apply: args.apply,
        export: args.export,
    };
    let mut request = CreateVm {
        start: true,
        // One whose work is to come back stays if it does not: no lease ends it.
        ephemeral: args.rm && !back.is_wanted(),
        ..request(&args.shape)?
    };
    wishes.fill(&mut request);
    let tools = tools(plan.as_ref().filter(|_| shell && !args.no_bootstrap), &request)?;
    let synced = asking_apart(&mut signals, Synced::gather).await?;
    let client = place.connect().await?;
    registry::prepare(&client, &mut request, args.shape.plain_http).await?;
    let mut progress = Progress::of(args.progress);
    let action = Action::Create(Box::new(request));
    let started = follow(&client, &action, &mut progress, &mut signals).await?;
    let vm = started.vm.ok_or_else(no_vm)?;
    if let Some(signal) = started.too_late {
        let cancelled = Failure::new("cancelled: what was begun is undone").with_code(exit_code(signal));
        return Err(undone(place, &client, &vm, &mut signals, cancelled).await);
    }
    if let Err(failure) = boot::finish(
        &client,
        &vm.id,
        synced,
        args.wait.wait,
        &mut progress,
        &mut signals,
    )
    .await
    {
        return Err(undone(place, &client, &vm, &mut signals, failure).await);
    }
    progress.clear();
    let mut has_workspace = false;
    if let Some(plan) = plan {
        let quiet = args.progress.quiet;
        if !quiet {
            plan.say_what_stays();
        }
        let into = (vm.id.as_str(), vm.name.as_str());
        let ready = async {
            plan.carry_out(&client, into, GUEST_PATH, false, quiet, &mut signals)
                .await?;
            if let Some(file) = tools {
                let when = match streams {
                    None => Bootstrap::Foreground,
                    Some(_) => Bootstrap::Background,
                };
                install_tools(&client, into, (GUEST_PATH, file), when, quiet, &mut signals).await?;
            }
            set_up(&client, into, GUEST_PATH, &wishes.setup, quiet, &mut signals).await
        };
        if let Err(failure) = ready.await {
            return Err(undone(place, &client, &vm, &mut signals, failure).await);
        }
        has_workspace = true;
    }
    let Some(streams) = streams else {
        render::output(&format!("{}\n", render::one_line(&vm.name)))?;
        return Ok(0);
    };
    if args.entrypoint {
        // By the image as it is now: it was used a moment ago.
        let image = client.image(&vm.image).await;
        match image
            .map_err(Failure::from)
            .and_then(|image| entry_point(&image, words))
        {
            Ok(words) => exec.set_words(&words),
            Err(failure) => {
                return Err(undone(place, &client, &vm, &mut signals, failure).await);
            }
        }
    } else {
        exec.set_words(&words);
    }
    if has_workspace && args.rm && !back.is_wanted() && !args.progress.quiet {
        render::note(&format!(
            "  --rm    what is changed in {GUEST_PATH} goes with the VM; --apply or --export FILE brings it back"
        ));
    }
    let outcome = command::run(&client, &vm.id, exec, streams, &mut signals).await;
    let mut code = match &outcome {
        Ok(_) if shell => 0,
        Ok(exit) => exit.shell_code(),
        Err(failure) => failure.report(),
    };
    if back.is_wanted() {
        let into = (vm.id.as_str(), vm.name.as_str());
        let quiet = args.progress.quiet;
        match bring_back(&client, into, GUEST_PATH, &back, quiet, &mut signals).await {
            Ok(true) => {}
            Ok(false) => code = code.max(u8::from(code == 0)),
            Err(failure) => {
                failure.report();
                say_that_it_stays(&vm.name);
                return Ok(code.max(u8::from(code == 0)));
            }
        }
    }
    if args.rm && back.is_wanted() {
        let into = (vm.id.as_str(), vm.name.as_str());
        if is_left(&client, into, args.progress.quiet, &mut signals).await {
            return Ok(code.max(u8::from(code == 0)));
        }
    }
    if args.rm {
        let deleted = delete(place, &client, &vm, &mut signals).await;
        drop(started.lease);
        return Ok(match deleted {
            Err(failure) if code == 0 => failure.report(),
            Err(failure) => {
                failure.report();
                code
            }
            Ok(()) => code,
        });
    }
    if !args.progress.quiet
        && client
            .vm(&vm.id)
            .await
            .is_ok_and(|vm| vm.state == VmState::Running)
    {
        render::note(&render::keeps_running(&vm.name));
    }
    Ok(code)
}

/// Whether there is work in the VM that no patch carries, or may be; says so then.
async fn is_left(client: &Client, vm: (&str, &str), quiet: bool, signals: &mut Signals) -> bool {
    match said_beside_patch(client, vm, GUEST_PATH, signals).await {
        Ok(Beside::None(commits)) => {
            if commits > 0 && !quiet {
                render::note(&only_changes(commits));
            }
            return false;
        }
        Ok(Beside::Said) => say_that_the_rest_stays(vm.1),
        Err(failure) => {
            failure.report();
            say_that_it_stays(vm.1);
        }
    }
    true
}

fn say_that_it_stays(name: &str) {
    let name = render::one_line(name);
    render::error(&format!("the work is in `{name}` alone, which stays"));
    render::hint(&format!(
        "`banger vm workspace apply {name}` or `export {name}` tries again, `banger vm cp {name}:{GUEST_PATH} FOLDER` copies the files; `banger vm delete {name}` ends it"
    ));
}

/// Said of commits before they go with their VM.
fn only_changes(commits: u64) -> String {
    let what = match commits {
        1 => "1 commit comes as its changes; the commit itself goes".to_owned(),
        count => format!("{count} commits come as their changes; the commits themselves go"),
    };
    format!("  {what} with the VM (`banger vm workspace pull` keeps commits, without --rm)")
}

fn say_that_the_rest_stays(name: &str) {
    let name = render::one_line(name);
    render::error(&format!(
        "no patch carries that: it is in `{name}` alone, which stays"
    ));
    render::hint(&format!(
        "`banger vm shell {name}` to save it; `banger vm delete {name}` ends it"
    ));
}

/// What of a repository is to go into the VM; nothing without a path. All of it is known before there is a VM.
fn plan(args: &RunArgs) -> Result<Option<Plan>, Failure> {
    let Some(path) = &args.path else {
        let ChoiceArgs {
            branch,
            from,
            include_untracked,
            dry_run,
            allow_alternates,
        } = &args.choice;
        if branch.is_some() || from.is_some() || *include_untracked || *dry_run || *allow_alternates {
            let failure = Failure::usage("there is no repository whose files could go: a PATH is missing");
            return Err(failure.with_hint("`banger vm run .` takes the one of the current folder"));
        }
        return Ok(None);
    };
    let plan = Plan::of(
        path,
        &args.choice,
        ModeArg::default(),
        args.user.as_deref(),
        "NAME",
    );
    plan.map(Some).map_err(|failure| match image_in_place_of(path) {
        Some(image) => failure.with_hint(format!(
            "PATH is a folder of this host; `banger vm run --image {image}` starts from an image, and a command comes after `--`"
        )),
        None => failure,
    })
}

/// What is no path of this host's, and may well be an image's name, as other tools take one there.
fn image_in_place_of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let first = text.chars().next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte);
    let like_one = first.is_ascii_alphanumeric() && text.bytes().all(plain) && !text.ends_with('/');
    (like_one && matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound))
        .then_some(text)
}

/// What the command line says of what a repository asks for.
fn trust(args: &RunArgs) -> Trust {
    match (args.trust_config, args.no_config) {
        (true, _) => Trust::Given,
        (_, true) => Trust::Refused,
        _ => Trust::Ask,
    }
}

/// The file whose tools are to be installed.
fn tools(plan: Option<&Plan>, request: &CreateVm) -> Result<Option<&'static str>, Failure> {
    let file = plan.and_then(Plan::tools);
    if let Some(file) = file {
        check_tools(file, request)?;
    }
    Ok(file)
}

/// What an image runs: its entry point with its own arguments, or with those given.
fn entry_point(image: &api::Image, given: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    let config = image.config.clone().unwrap_or_default();
    let bytes = |words: Vec<String>| words.into_iter().map(String::into_bytes);
    let mut words: Vec<Vec<u8>> = bytes(config.entrypoint).collect();
    match given.is_empty() {
        true => words.extend(bytes(config.cmd)),
        false => words.extend(given),
    }
    if words.is_empty() {
        let message = format!("the image `{}` does not say what it runs", image.name);
        return Err(Failure::new(message).with_hint("give a command after `--`, without --entrypoint"));
    }
    Ok(words)
}

/// Takes a VM back whose run failed. What that failed with stays the failure, whatever becomes of the VM.
async fn undone(place: &Place, client: &Client, vm: &Vm, signals: &mut Signals, failure: Failure) -> Failure {
    if let Err(left) = delete(place, client, vm, signals).await {
        let name = render::one_line(&vm.name);
        render::warning(&format!("`{name}` could not be deleted: {}", left.message()));
    }
    failure
}

/// Deletes the VM, by another daemon if the first one has gone meanwhile.
async fn delete(place: &Place, client: &Client, vm: &Vm, signals: &mut Signals) -> Result<(), Failure> {
    match client.version().await {
        Err(ClientError::Unreachable { .. } | ClientError::Broke(_)) => {
            operation::delete(&place.connect().await?, &vm.id, signals).await
        }
        _ => operation::delete(client, &vm.id, signals).await,
    }
}
