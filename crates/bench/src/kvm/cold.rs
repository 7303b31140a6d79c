//! `banger vm run --rm -- true` on Firecracker against a bare one whose guest only ends.

use std::fs;
use std::path::Path;

use crate::bare_firecracker::Bare;
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// Measures `runs` of each, in turn, after one of each that does not count. `floor` gets `init` as its whole initramfs.
pub fn measure(
    sandbox: &Sandbox,
    floor: &Bare,
    init: &Path,
    command_line: &str,
    runs: usize,
) -> Result<Section, BenchError> {
    let initramfs = floor.folder.join("initramfs");
    fs::remove_file(&initramfs).map_err(BenchError::file("remove", &initramfs))?;
    rootfs::initramfs::write(&initramfs, init, &floor.folder.join("no-modules"))
        .map_err(|error| BenchError::Initramfs(error.to_string()))?;
    // A Firecracker ends when its guest resets; there is no power button.
    let command_line = format!("{command_line} -- reset");
    let memory = format!("{}M", floor.memory_mib);
    let run_floor = || floor.boot_and_end(&command_line);
    let run_banger = || {
        let run = [
            "vm", "run", "--rm", "--vcpu", "1", "--memory", &memory, "--", "true",
        ];
        sandbox.run(&run).map(|ended| ended.took)
    };
    run_floor()?;
    run_banger()?;
    let (floor, banger) = in_turn(runs, run_floor, run_banger)?;
    let (floor, banger) = (times(floor)?, times(banger)?);
    // Half more than the floor, and 0.3 s.
    let goal = 1.5 * floor.median().as_secs_f64() + 0.3;
    Ok(Section {
        only_ratios: false,
        title: "a cold `banger vm run --rm -- true` on Firecracker".to_owned(),
        says: "The whole command: create, boot, run `true` in a Debian with systemd, delete. The floor is a script that \
               starts the same Firecracker with the same kernel, drives and command line, and an init that only resets, \
               until that Firecracker has ended."
            .to_owned(),
        rows: vec![
            Row::floor("floor", &floor),
            Row::beside("banger", &banger, &floor),
        ],
        goals: vec![Goal {
            text: "at most 1.5 × the floor and 0.3 s".to_owned(),
            met: banger.median().as_secs_f64() <= goal,
        }],
    })
}
