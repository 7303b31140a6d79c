//! Measures banger from outside, each figure beside a floor of the same run, and writes `docs/benchmarks.md`.
//!
//! `make bench` builds what it needs and calls it.

mod bare_firecracker;
mod bare_qemu;
mod boot;
mod command;
mod copies;
mod creating;
mod datagrams;
mod erofs;
mod error;
mod firecracker;
mod floor;
mod forward;
mod import;
mod kvm;
mod machine;
mod many;
mod noise;
mod openssh;
mod plan;
mod processes;
mod qemu_forward;
mod report;
mod sandbox;
mod section;
mod snapshots;
mod stats;
mod ways;
mod workspace;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::BenchError;
use crate::plan::{Measured, REFERENCE, What};

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
    #[command(flatten)]
    firecracker: bare_firecracker::Programs,
    #[command(flatten)]
    datagrams: datagrams::DatagramPrograms,
    /// Measure only this, and leave the rest of the page as it is; may be given several times.
    #[arg(long, value_name = "WHAT")]
    only: Vec<What>,
    /// Measure only Firecracker and QEMU with guests that execute on KVM, of the kernel and the image in this state folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "only")]
    on_kvm: Option<PathBuf>,
    /// How often each thing is measured.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// The page to write.
    #[arg(long)]
    out: PathBuf,
    /// Files of the repository that is put into a VM; the aim's has 50,000, which takes half an hour.
    #[arg(long, default_value_t = 5000)]
    repository_files: usize,
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
    let measured = match &arguments.on_kvm {
        Some(kept) => Measured {
            vm: None,
            sections: kvm::measure(arguments, kept)?,
        },
        None => plan::measure(arguments)?,
    };
    let before = fs::read_to_string(&arguments.out).unwrap_or_default();
    let date = jiff::Zoned::now().date().to_string();
    let page = match &measured.vm {
        Some(vm) if arguments.only.is_empty() => report::render(
            &date,
            &machine::Machine::of_host(),
            vm,
            &measured.sections,
            report::notes_of(&before),
        ),
        _ => report::replace(&before, &date, &measured.sections),
    };
    fs::write(&arguments.out, page).map_err(BenchError::file("write", &arguments.out))
}
