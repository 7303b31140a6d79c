//! What each verb does: it asks the daemon and shows the answer.

mod boot;
mod bundle;
mod command;
pub mod completion;
mod confirm;
mod cp;
mod create;
mod daemon;
mod delete;
mod df;
mod doctor;
mod entry;
mod exec;
mod file_sync;
mod forward;
mod image;
mod internal;
mod kernel;
mod lifecycle;
mod list;
mod logs;
pub mod names;
mod operation;
mod output;
mod pieces;
mod ping;
mod ports;
mod prune;
mod registry;
mod run;
mod show;
mod ssh;
mod ssh_check;
mod started;
mod stats;
mod version;
mod workspace;

use crate::cli::{Cli, Command, ProgressArgs, VmCommand};
use crate::daemon::Place;
use crate::failure::Failure;
pub use confirm::confirmed;
use lifecycle::Verb;
use started::or_start;

/// Carries out a command line. Gives the code to exit with.
///
/// # Errors
/// What the command failed with.
pub async fn run(cli: Cli) -> Result<u8, Failure> {
    let place = Place::of(cli.socket)?;
    match cli.command {
        Command::Ps(args) => list::ps(&place, &args).await,
        Command::Df(args) => df::df(&place, &args).await,
        Command::Doctor(args) => doctor::doctor(&place, &args).await,
        Command::Version(args) => version::version(&place, &args).await,
        Command::Completion(args) => completion::completion(&args),
        Command::Internal(group) => internal::internal(&place, &group.command).await,
        Command::Daemon(group) => daemon::daemon(&place, group.command).await,
        Command::SshConfig(args) => ssh::ssh_config(&place, &args).await,
        Command::Image(group) => image::run(&place, group.command).await,
        Command::Kernel(group) => kernel::run(&place, group.command).await,
        Command::Vm(group) => match group.command {
            VmCommand::Run(args) => run::run(&place, args).await,
            VmCommand::Create(args) => create::create(&place, &args).await,
            VmCommand::Start(args) => {
                let verb = Verb::Start(args.wait.wait);
                lifecycle::each(&place, verb, &args.vms, args.progress).await
            }
            VmCommand::Stop(args) => lifecycle::each(&place, Verb::Stop, &args.vms, args.progress).await,
            VmCommand::Restart(args) => {
                let verb = Verb::Restart(args.wait.wait);
                lifecycle::each(&place, verb, &args.vms, args.progress).await
            }
            VmCommand::Kill(args) => {
                lifecycle::each(&place, Verb::Kill(args.signal), &args.vms, quiet(args.quiet)).await
            }
            VmCommand::Set(args) => {
                let verb = Verb::Set(lifecycle::change(&args.shape)?);
                lifecycle::each(&place, verb, &args.vms, quiet(args.quiet)).await
            }
            VmCommand::Delete(args) => delete::delete(&place, &args).await,
            VmCommand::Stats(args) => stats::stats(&place, &args).await,
            VmCommand::Prune(args) => prune::prune(&place, &args).await,
            VmCommand::Ping(args) => ping::ping(&place, &args).await,
            VmCommand::List(args) => list::list(&place, &args).await,
            VmCommand::Show(args) => show::show(&place, &args).await,
            VmCommand::Logs(args) => logs::logs(&place, &args).await,
            VmCommand::Cp(args) => {
                started::ends(&place, &args).await?;
                let boot = args.boot;
                cp::cp(&place, args)
                    .await
                    .map_err(|failure| or_start(failure, boot))
            }
            VmCommand::Workspace(group) => workspace::run(&place, group).await,
            VmCommand::Exec(args) => {
                let boot = args.boot;
                exec::exec(&place, args)
                    .await
                    .map_err(|failure| or_start(failure, boot))
            }
            VmCommand::Shell(args) => {
                let boot = args.boot;
                exec::shell(&place, args)
                    .await
                    .map_err(|failure| or_start(failure, boot))
            }
            VmCommand::Ports(args) => ports::ports(&place, &args).await,
            VmCommand::Forward(args) => forward::forward(&place, &args).await,
            VmCommand::Ssh(args) => {
                let boot = args.boot;
                ssh::ssh(&place, args)
                    .await
                    .map_err(|failure| or_start(failure, boot))
            }
        },
    }
}

/// The progress of a verb that has no timings.
fn quiet(quiet: bool) -> ProgressArgs {
    ProgressArgs {
        quiet,
        timings: false,
    }
}
