//! Firecracker with guests that execute, and QEMU on KVM beside it.
//!
//! Where it is measured, KVM itself is mostly an emulated processor's: times say nothing there, ratios of two ways do.

mod cold;
mod idle;
mod stages;
mod stop;

use std::path::Path;
use std::time::Duration;

use crate::bare_firecracker::Bare;
use crate::error::BenchError;
use crate::openssh::{OpenSsh, free_port};
use crate::sandbox::Sandbox;
use crate::section::Section;
use crate::{Arguments, REFERENCE, snapshots, ways};

/// Small, so that two fit beside what else is in a small machine.
const MEMORY_MIB: u64 = 512;
/// How long a guest runs before it is saved: most of a boot.
const RUNS_FOR: Duration = Duration::from_secs(5);

/// Measures all of it. `kept` is a state folder whose kernel and image are taken.
pub fn measure(arguments: &Arguments, kept: &Path) -> Result<Vec<Section>, BenchError> {
    let settings = "default_image_name = \"debian-minimal\"\n";
    let firecracker = Sandbox::with(
        &arguments.bin,
        &format!("{settings}{}", arguments.firecracker.settings()?),
    )?;
    let qemu = Sandbox::with(&arguments.bin, &format!("{settings}vmm = \"qemu\"\n"))?;
    let done = with_both(&firecracker, &qemu, arguments, kept);
    // Also after a failure; what failed first is what is told.
    let closed = [firecracker.close(), qemu.close()];
    let sections = done?;
    closed.into_iter().collect::<Result<(), _>>()?;
    Ok(sections)
}

fn with_both(
    firecracker: &Sandbox,
    qemu: &Sandbox,
    arguments: &Arguments,
    kept: &Path,
) -> Result<Vec<Section>, BenchError> {
    let runs = arguments.runs;
    let port = free_port()?;
    for sandbox in [firecracker, qemu] {
        sandbox.take_kept(kept)?;
    }
    let published = format!("127.0.0.1:{port}:22");
    create(firecracker, &["--publish", &published])?;
    create(qemu, &[])?;

    eprintln!("a start's stages");
    let start = stages::measure(firecracker, runs)?;
    firecracker.run(&["vm", "start", "-q", REFERENCE])?;
    settle(firecracker)?;
    eprintln!("commands");
    let ssh = OpenSsh::into(firecracker, REFERENCE, port)?;
    let commands = ways::measure(firecracker, REFERENCE, &ssh, runs)?;

    let vm = firecracker.show(REFERENCE)?;
    let command_line = kernel_command_line(firecracker)?;
    let bare = |folder: &str| -> Result<Bare, BenchError> {
        let bare = Bare::of(
            &arguments.firecracker,
            firecracker.folder().join(folder),
            MEMORY_MIB,
        )?;
        bare.take_parts(&vm.folder)?;
        Ok(bare)
    };
    let (floor, saved, idle) = (bare("floor")?, bare("saved")?, bare("idle")?);
    firecracker.run(&["vm", "stop", "-q", REFERENCE])?;
    eprintln!("cold runs");
    let cold = cold::measure(firecracker, &floor, &arguments.floor, &command_line, runs)?;
    eprintln!("snapshots");
    let program = &arguments.firecracker.firecracker_times;
    let snapshots = snapshots::measure(&saved, program, RUNS_FOR, runs)?;
    eprintln!("idle VMs");
    let idle = idle::measure(firecracker, &idle, &command_line)?;
    eprintln!("stops");
    let stop = stop::measure(firecracker, qemu, runs)?;
    let timed = [cold, start, commands, snapshots, stop];
    Ok(timed.into_iter().map(Section::on_kvm).chain([idle]).collect())
}

/// Waits until the VM's init has come to rest. Its `--wait` fails as long as it has no bus.
fn settle(sandbox: &Sandbox) -> Result<(), BenchError> {
    let settled = "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.2; done; systemctl is-system-running --wait || true";
    sandbox
        .run(&["vm", "exec", REFERENCE, "--", "sh", "-c", settled])
        .map(drop)
}

/// Makes the VM that measurements work in.
fn create(sandbox: &Sandbox, more: &[&str]) -> Result<(), BenchError> {
    let memory = format!("{MEMORY_MIB}M");
    let create = ["vm", "create", "--no-start", "-q", "--name", REFERENCE];
    let size = ["--vcpu", "1", "--memory", &memory];
    sandbox.run(&[&create[..], &size, more].concat()).map(drop)
}

/// What a VM's kernel was started with, but for what Firecracker itself adds for its devices.
fn kernel_command_line(sandbox: &Sandbox) -> Result<String, BenchError> {
    let printed = sandbox
        .run(&["vm", "exec", REFERENCE, "--", "cat", "/proc/cmdline"])?
        .stdout;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let words = printed.split_whitespace();
    let own: Vec<&str> = words
        .filter(|word| !word.starts_with("virtio_mmio.device="))
        .collect();
    Ok(own.join(" "))
}
