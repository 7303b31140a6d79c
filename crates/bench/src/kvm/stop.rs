//! `banger vm stop` on Firecracker, which has no power button, against QEMU, which has one.

use std::time::Duration;

use super::settle;
use crate::REFERENCE;
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// Most that a stop may take of QEMU's time.
const MOST: f64 = 1.2;

/// Measures `runs` of each, in turn, after one of each that does not count.
pub fn measure(firecracker: &Sandbox, qemu: &Sandbox, runs: usize) -> Result<Section, BenchError> {
    stop(qemu)?;
    stop(firecracker)?;
    let (floor, own) = in_turn(runs, || stop(qemu), || stop(firecracker))?;
    let (floor, own) = (times(floor)?, times(own)?);
    Ok(Section {
        only_ratios: false,
        title: "`banger vm stop`".to_owned(),
        says: "Of a Debian with systemd, from the command's start to its end: on QEMU with KVM, whose guest presses the \
               power button, and on Firecracker, whose guest resets."
            .to_owned(),
        goals: vec![Goal {
            text: format!("at most {MOST} × QEMU's"),
            met: own.ratio_to(&floor) <= MOST,
        }],
        rows: vec![Row::floor("QEMU", &floor), Row::beside("Firecracker", &own, &floor)],
    })
}

/// Starts the VM, waits until its init has come to rest, and stops it.
fn stop(sandbox: &Sandbox) -> Result<Duration, BenchError> {
    sandbox.run(&["vm", "start", "-q", REFERENCE])?;
    settle(sandbox)?;
    let ended = sandbox.run(&["vm", "stop", REFERENCE])?;
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    if said.contains("warning") {
        return Err(BenchError::Unexpected(format!(
            "a stop that is not clean: {said}"
        )));
    }
    Ok(ended.took)
}
