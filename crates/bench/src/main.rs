//! Measures banger from outside, each figure beside a floor of the same run, and writes `docs/benchmarks.md`.
//!
//! `make bench` builds what it needs and calls it.

mod bare_qemu;
mod boot;
mod command;
mod copies;
mod creating;
mod erofs;
mod error;
mod floor;
mod forward;
mod import;
mod machine;
mod many;
mod noise;
mod openssh;
mod qemu_forward;
mod report;
mod sandbox;
mod section;
mod stats;
mod ways;
mod workspace;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::error::BenchError;
use crate::openssh::OpenSsh;
use crate::sandbox::Sandbox;
use crate::section::Section;

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
    /// Measure this alone, and put it into the page that there is.
    #[arg(long)]
    only: Option<Only>,
    /// Files of the repository that is put into a VM; the aim's has 50,000, which takes half an hour.
    #[arg(long, default_value_t = 5000)]
    repository_files: usize,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    /// A repository in, a patch out.
    Workspace,
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

/// The VM that measurements look at and work in.
const REFERENCE: &str = "reference";

/// How often is measured what takes minutes, for ten runs of the rest.
fn seldom(runs: usize) -> usize {
    runs.div_ceil(4)
}

fn measure(arguments: &Arguments) -> Result<(), BenchError> {
    let sandbox = Sandbox::new(&arguments.bin)?;
    let measured = match arguments.only {
        None => page(&sandbox, arguments),
        Some(only) => part(&sandbox, arguments, only),
    };
    // Also after a failure; what failed first is what is told.
    let closed = sandbox.close();
    let page = measured?;
    closed?;
    fs::write(&arguments.out, page).map_err(BenchError::file("write", &arguments.out))
}

/// The VM that most is measured in; gives the port that leads to its ssh.
fn boot_reference(sandbox: &Sandbox) -> Result<u16, BenchError> {
    eprintln!("fetching the kernel, building the image");
    let port = openssh::free_port()?;
    let published = format!("127.0.0.1:{port}:22");
    sandbox.run(&["vm", "run", "--name", REFERENCE, "-d", "--publish", &published])?;
    Ok(port)
}

fn install(sandbox: &Sandbox) -> Result<(), BenchError> {
    eprintln!("installing what the guest needs to be compared with");
    let install = "apt-get update -q && apt-get install -q -y --no-install-recommends git rsync iperf3";
    sandbox.run(&["vm", "exec", REFERENCE, "--", "sh", "-c", install])?;
    Ok(())
}

/// The page that there is, with one section anew.
fn part(sandbox: &Sandbox, arguments: &Arguments, only: Only) -> Result<String, BenchError> {
    let port = boot_reference(sandbox)?;
    install(sandbox)?;
    let ssh = OpenSsh::into(sandbox, REFERENCE, port)?;
    let section = match only {
        Only::Workspace => a_repository(sandbox, arguments, &ssh)?,
    };
    let before = fs::read_to_string(&arguments.out).map_err(BenchError::file("read", &arguments.out))?;
    Ok(report::replace(&before, &section))
}

fn a_repository(sandbox: &Sandbox, arguments: &Arguments, ssh: &OpenSsh) -> Result<Section, BenchError> {
    eprintln!("a repository");
    let (files, runs) = (arguments.repository_files, seldom(arguments.runs));
    workspace::measure(sandbox, REFERENCE, ssh, files, runs)
}

fn page(sandbox: &Sandbox, arguments: &Arguments) -> Result<String, BenchError> {
    let runs = arguments.runs;
    let port = boot_reference(sandbox)?;
    let vm = sandbox.show(REFERENCE)?;
    eprintln!("tar to EROFS");
    let erofs = erofs::measure(sandbox, REFERENCE, &arguments.writer, runs)?;
    eprintln!("a container image");
    let root = sandbox.folder().join(erofs::ROOT);
    let import = import::measure(sandbox, &root, seldom(runs))?;
    install(sandbox)?;
    let ssh = OpenSsh::into(sandbox, REFERENCE, port)?;
    eprintln!("commands");
    let ways = ways::measure(sandbox, REFERENCE, &ssh, runs)?;
    eprintln!("files");
    let copies = copies::measure(sandbox, REFERENCE, &ssh, seldom(runs))?;
    let workspace = a_repository(sandbox, arguments, &ssh)?;
    eprintln!("a forwarded port");
    let forward = forward::measure(sandbox, REFERENCE, &vm, &ssh, seldom(runs))?;
    eprintln!("cold runs");
    let boot = boot::measure(sandbox, &vm, &arguments.floor, runs)?;
    eprintln!("twenty VMs");
    let at_once = many::at_once(sandbox, seldom(runs))?;
    eprintln!("five hundred VMs");
    let listing = many::listing(sandbox, runs)?;
    eprintln!("VMs of a large image");
    let creating = creating::measure(sandbox, runs)?;
    eprintln!("memory");
    let memory = many::memory(sandbox)?;

    let before = fs::read_to_string(&arguments.out).unwrap_or_default();
    let date = jiff::Zoned::now().date().to_string();
    let sections = [
        boot, ways, copies, workspace, forward, at_once, listing, creating, memory, erofs, import,
    ];
    Ok(report::render(
        &date,
        &machine::Machine::of_host(),
        &vm,
        &sections,
        report::notes_of(&before),
    ))
}
