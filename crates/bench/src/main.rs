//! Measures banger from outside, each figure beside a floor of the same run, and writes `docs/benchmarks.md`.
//!
//! `make bench` builds what it needs and calls it.

mod boot;
mod command;
mod erofs;
mod error;
mod floor;
mod machine;
mod report;
mod sandbox;
mod stats;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::BenchError;
use crate::sandbox::Sandbox;

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// Folder of banger's three binaries.
    #[arg(long)]
    bin: PathBuf,
    /// The static init that only powers off.
    #[arg(long)]
    floor: PathBuf,
    /// The program that turns a tar archive into an EROFS.
    #[arg(long)]
    writer: PathBuf,
    /// How often each thing is measured.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// The page to write.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), BenchError> {
    let sandbox = Sandbox::new(&arguments.bin)?;
    let measured = figures(&sandbox, arguments);
    // Also after a failure; what failed first is what is told.
    let closed = sandbox.close();
    let page = measured?;
    closed?;
    fs::write(&arguments.out, page).map_err(BenchError::file("write", &arguments.out))
}

fn figures(sandbox: &Sandbox, arguments: &Arguments) -> Result<String, BenchError> {
    const REFERENCE: &str = "reference";
    eprintln!("fetching the kernel, building the image");
    sandbox.run(&["vm", "run", "--name", REFERENCE, "-d"])?;
    eprintln!("tar to EROFS");
    let erofs = erofs::measure(sandbox, REFERENCE, &arguments.writer, arguments.runs)?;
    eprintln!("cold runs");
    let boot = boot::measure(sandbox, REFERENCE, &arguments.floor, arguments.runs)?;

    let before = fs::read_to_string(&arguments.out).unwrap_or_default();
    let date = jiff::Zoned::now().date().to_string();
    Ok(report::render(
        &date,
        &machine::Machine::of_host(),
        &boot,
        &erofs,
        report::notes_of(&before),
    ))
}
