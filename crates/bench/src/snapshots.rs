//! Pause, snapshot and load by the crate that drives Firecracker, against a script.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::bare_firecracker::{Bare, durations};
use crate::command::run;
use crate::error::BenchError;
use crate::section::{Goal, Row, Section, times};

/// Most that each may take of the script's time.
const MOST: f64 = 1.3;

/// Measures `runs` of each, of machines that run for a while before.
pub fn measure(bare: &Bare, program: &Path, runs_for: Duration, runs: usize) -> Result<Section, BenchError> {
    let of_crate = || -> Result<[Duration; 3], BenchError> {
        let said = run(Command::new(program)
            .arg("snapshot")
            .args([&bare.firecracker, &bare.folder])
            .args([bare.memory_mib.to_string(), runs_for.as_millis().to_string()]))?;
        durations(&said.stdout)
    };
    of_crate()?;
    bare.snapshot(runs_for)?;
    let (mut script, mut own) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for _ in 0..runs {
        for (all, one) in [(&mut script, bare.snapshot(runs_for)?), (&mut own, of_crate()?)] {
            for (times, time) in all.iter_mut().zip(one) {
                times.push(time);
            }
        }
    }
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for ((what, script), own) in ["pause", "snapshot", "load"].into_iter().zip(script).zip(own) {
        let (script, own) = (times(script)?, times(own)?);
        rows.extend([
            Row::floor(format!("{what}, script"), &script),
            Row::beside(format!("{what}, banger"), &own, &script),
        ]);
        goals.push(Goal {
            text: format!("{what} at most {MOST} × the script"),
            met: own.ratio_to(&script) <= MOST,
        });
    }
    Ok(Section {
        only_ratios: false,
        title: "A Firecracker's snapshot".to_owned(),
        says: format!(
            "Of a machine with {} MiB: pause, write both files, and go on from them in a new Firecracker, its start \
             included. By the crate that drives Firecracker, confinement and logs included, against a script that does \
             it by `curl`.",
            bare.memory_mib
        ),
        rows,
        goals,
    })
}
