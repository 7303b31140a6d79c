//! The VM once more, in a QEMU of its own without banger, which forwards a port itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bare_qemu::{BareQemu, Files, only_entry};
use crate::command::{run, run_with_stdin};
use crate::error::BenchError;
use crate::forward::{Forwarder, SERVER, send};
use crate::sandbox::{Sandbox, Shown};

/// Nobody configures that machine: it has its address from this, and its server.
const UNIT: &str = "\
[Unit]
Description=iperf3 behind QEMU's own network

[Service]
ExecStartPre=ip link set eth0 up
ExecStartPre=ip address replace 10.0.2.15/24 dev eth0
ExecStart=iperf3 -s

[Install]
WantedBy=multi-user.target
";

/// How long it may take to boot.
const BOOT: Duration = Duration::from_secs(180);

/// So often it must have answered without a failure between.
const CALM: u32 = 3;

/// Starts it from what the running VM has on its disks by now; comes back once its server answers at `port`.
pub fn start(sandbox: &Sandbox, vm: &str, shown: &Shown, port: u16) -> Result<Forwarder, BenchError> {
    let script = "cat > /etc/systemd/system/forwarded.service && systemctl enable -q forwarded && sync";
    run_with_stdin(
        &mut sandbox.banger(&["vm", "exec", "-i", vm, "--", "sh", "-c", script]),
        UNIT.as_bytes(),
    )?;
    let layer = copy_layer(sandbox, shown)?;
    let initramfs = only_entry(&sandbox.folder().join("cache/banger/initramfs"))?;
    let files = Files::of(shown, initramfs, layer)?;
    let rule = format!("tcp:127.0.0.1:{port}-:{SERVER}");
    let network = json!({"hostfwd": [{"str": rule}]});
    let mut command = BareQemu::of(shown, &files, &network)?.command();
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let forwarder = child
        .map(Forwarder)
        .map_err(|source| BenchError::Run { program, source })?;
    let deadline = Instant::now() + BOOT;
    // QEMU takes connections long before there is a server behind it, which then finds those that were given up.
    let mut in_a_row = 0;
    while in_a_row < CALM {
        let answers = send(port, "1M", &[]).is_ok();
        in_a_row = if answers { in_a_row + 1 } else { 0 };
        if Instant::now() > deadline {
            return Err(BenchError::Unexpected(
                "no server behind QEMU's own forwarding".to_owned(),
            ));
        }
        sleep(Duration::from_millis(500));
    }
    Ok(forwarder)
}

/// The layer as it is: that VM goes on, and this one finds what a machine that lost its power would find.
fn copy_layer(sandbox: &Sandbox, shown: &Shown) -> Result<PathBuf, BenchError> {
    let folder = sandbox.folder().join("forwarded");
    fs::create_dir(&folder).map_err(BenchError::file("create", &folder))?;
    let copy = folder.join("layer");
    let layer = shown.folder.join("layer.ext4");
    run(Command::new("cp").arg("--sparse=always").arg(layer).arg(&copy))?;
    Ok(copy)
}
