//! For `make bench`: a kernel that does nothing, and how long this crate takes to pause, save and load a machine.
//!
//! `kernel FILE` writes the kernel. `snapshot FIRECRACKER FOLDER MEMORY-MIB MILLISECONDS`, with a folder that holds
//! `kernel`, `initramfs` and `drive0` to `drive2`, lets a machine run so long and prints the microseconds of each.
#![expect(clippy::print_stdout, reason = "what it has measured is what it prints")]

#[path = "../tests/elf/mod.rs"]
mod elf;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vmm::{Backend, Drive, Firecracker, MachineSpec, RateLimit};

/// What makes it a kernel in the eyes of whoever looks for a release.
const BANNER: &[u8] = b"Linux version 6.1.0-idle (nobody";

fn main() -> ExitCode {
    if let Some(code) = vmm::keep_logs_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["kernel", file] => write_kernel(file.as_ref()),
        ["snapshot", firecracker, folder, memory, runs_for] => {
            snapshot(firecracker.as_ref(), folder.as_ref(), memory, runs_for)
        }
        _ => Err("`kernel FILE` or `snapshot FIRECRACKER FOLDER MEMORY-MIB MILLISECONDS`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("firecracker_times: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_kernel(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut kernel = elf::waiting_kernel();
    kernel.extend(BANNER);
    Ok(fs::write(file, kernel)?)
}

fn snapshot(firecracker: &Path, folder: &Path, memory: &str, runs_for: &str) -> Result<(), Box<dyn Error>> {
    let backend = Firecracker::new(firecracker, vmm::firecracker::version(firecracker)?);
    let drive = |number: usize| Drive {
        path: folder.join(format!("drive{number}")),
        read_only: number != 1,
        limit: RateLimit::default(),
    };
    let memory_mib = memory.parse()?;
    let runs_for = Duration::from_millis(runs_for.parse()?);
    let spec = |name: &str| MachineSpec {
        id: name.to_owned(),
        folder: folder.join(name),
        vcpu: 1,
        memory_mib,
        kernel: folder.join("kernel"),
        initramfs: folder.join("initramfs"),
        command_line: String::new(),
        drives: (0..3).map(drive).collect(),
        network: None,
    };
    let (one, other) = (spec("one"), spec("other"));
    let snapshot = folder.join("snapshot");
    for path in [&one.folder, &other.folder, &snapshot] {
        fs::create_dir(path)?;
    }
    let times = tokio::runtime::Runtime::new()?.block_on(async {
        let machine = backend.start(&one).await?;
        tokio::time::sleep(runs_for).await;
        let began = Instant::now();
        machine.pause().await?;
        let paused = began.elapsed();
        let began = Instant::now();
        machine.snapshot(&snapshot).await?;
        let written = began.elapsed();
        machine.kill().await?;
        let began = Instant::now();
        let machine = backend.restore(&other, &snapshot).await?;
        let loaded = began.elapsed();
        machine.kill().await?;
        Ok::<_, vmm::VmmError>([paused, written, loaded])
    })?;
    for path in [&one.folder, &other.folder, &snapshot] {
        fs::remove_dir_all(path)?;
    }
    println!("{}", times.map(|time| time.as_micros().to_string()).join(" "));
    Ok(())
}
