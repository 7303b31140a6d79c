//! Bytes through a forwarded port: `vm forward` against QEMU's own forwarding and ssh's, to the same server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::command::run;
use crate::error::BenchError;
use crate::openssh::{OpenSsh, free_port};
use crate::qemu_forward;
use crate::sandbox::{Sandbox, Shown};
use crate::section::{Row, Section, times};

/// What is sent each time.
const BYTES: &str = "100M";
/// iperf3's own port.
pub const SERVER: &str = "5201";

/// Between two transfers.
const PAUSE: Duration = Duration::from_millis(500);

/// A program that forwards until this is dropped.
#[derive(Debug)]
pub struct Forwarder(pub Child);

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends to `iperf3 -s` in a VM that runs and has it, and receives from it, `runs` times each way.
pub fn measure(
    sandbox: &Sandbox,
    vm: &str,
    shown: &Shown,
    ssh: &OpenSsh,
    runs: usize,
) -> Result<Section, BenchError> {
    let by_qemu = free_port()?;
    let _qemu = qemu_forward::start(sandbox, vm, shown, by_qemu)?;
    sandbox.run(&["vm", "exec", vm, "--", "iperf3", "-s", "-D"])?;
    let (by_ssh, by_banger) = (free_port()?, free_port()?);
    let _ssh = start(ssh.command("ssh").args([
        "-oExitOnForwardFailure=yes",
        "-L",
        &format!("127.0.0.1:{by_ssh}:127.0.0.1:{SERVER}"),
        "vm",
        "echo ready; sleep infinity",
    ]))?;
    let _banger = start(&mut sandbox.banger(&["vm", "forward", vm, &format!("{by_banger}:{SERVER}")]))?;
    let ways = [
        ("QEMU's own forwarding", by_qemu),
        ("`ssh -L`", by_ssh),
        ("`banger vm forward`", by_banger),
    ];
    let mut rows = Vec::new();
    for (direction, more) in [("in", &[][..]), ("out", &["--reverse"][..])] {
        let mut taken: [Vec<Duration>; 3] = Default::default();
        for _ in 0..runs {
            for ((_, port), taken) in ways.iter().zip(&mut taken) {
                // A server that was asked a moment ago may not be done with that.
                sleep(PAUSE);
                taken.push(send(*port, BYTES, more)?);
            }
        }
        let [qemu, ssh, banger] = taken;
        let floor = times(qemu)?;
        rows.push(Row::floor(format!("{direction}, {}", ways[0].0), &floor));
        for ((label, _), taken) in ways[1..].iter().zip([ssh, banger]) {
            rows.push(Row::beside(
                format!("{direction}, {label}"),
                &times(taken)?,
                &floor,
            ));
        }
    }
    Ok(Section {
        only_ratios: false,
        title: "A forwarded port".to_owned(),
        says: format!(
            "{BYTES} by `iperf3` to a server in the guest, and from it, over one connection. The floor is QEMU's own \
             forwarding (`hostfwd` of its user network) to a copy of the VM without banger; `ssh -L` goes over a published \
             port."
        ),
        rows,
        goals: Vec::new(),
    })
}

/// Starts a forwarder; it says a line when it forwards.
fn start(command: &mut Command) -> Result<Forwarder, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned
        .map(Forwarder)
        .map_err(|source| BenchError::Run { program, source })?;
    let mut line = String::new();
    if let Some(out) = child.0.stdout.take() {
        BufReader::new(out)
            .read_line(&mut line)
            .map_err(BenchError::file("read", "a forwarder's stdout"))?;
    }
    if line.is_empty() {
        return Err(BenchError::Unexpected("a forwarder ended".to_owned()));
    }
    Ok(child)
}

/// Time of the transfer itself, as iperf3 measured it.
pub fn send(port: u16, bytes: &str, more: &[&str]) -> Result<Duration, BenchError> {
    let ended = run(Command::new("iperf3")
        .args(["-c", "127.0.0.1", "-J", "-n", bytes, "-p", &port.to_string()])
        .args(more))?;
    let report: Value = serde_json::from_slice(&ended.stdout)
        .map_err(|error| BenchError::Unexpected(format!("iperf3: {error}")))?;
    let seconds = ["sum_received", "sum_sent"].into_iter().find_map(|end| {
        report["end"][end]["seconds"]
            .as_f64()
            .filter(|seconds| *seconds > 0.0)
    });
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        BenchError::Unexpected(format!(
            "iperf3 does not tell how long it took: {}",
            report["error"]
        ))
    })
}
