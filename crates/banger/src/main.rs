//! Command-line client: development sandboxes on microVMs in one command.

mod cli;
mod configuration;
mod daemon;
mod failure;
mod realms;
mod render;
mod resolve;
mod ssh;
mod terminal;
#[cfg(test)]
mod testing;
mod verbs;
mod workspace;

use std::process::ExitCode;
use std::time::Duration;

use failure::Failure;

/// How long threads that read or write may go on once all is done.
const LINGER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    if verbs::completion::answer() {
        return ExitCode::SUCCESS;
    }
    let outcome = cli::parse(std::env::args_os()).and_then(run);
    ExitCode::from(outcome.unwrap_or_else(|failure| failure.report()))
}

fn run(cli: cli::Cli) -> Result<u8, Failure> {
    // One thread: what the program does is wait. Stdin and stdout have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(verbs::run(cli));
    // What still waits for a pipe or a terminal would be waited for.
    runtime.shutdown_timeout(LINGER);
    outcome
}
