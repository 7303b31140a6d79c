//! `banger vm run --rm -- true` against a boot that only powers off.

use std::fs;
use std::path::Path;

use crate::error::BenchError;
use crate::floor::Floor;
use crate::sandbox::{Sandbox, Shown, in_turn};
use crate::stats::Times;

/// What was measured.
#[derive(Debug)]
pub struct Boot {
    /// The VM whose shape was used.
    pub vm: Shown,
    /// The floor.
    pub floor: Times,
    /// The whole command, deletion included, with the daemon running and the artefacts there.
    pub banger: Times,
}

impl Boot {
    /// Longest median that meets the goal: half more than the floor, and 0.3 s.
    pub fn goal_seconds(&self) -> f64 {
        1.5 * self.floor.median().as_secs_f64() + 0.3
    }

    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        self.banger.median().as_secs_f64() <= self.goal_seconds()
    }
}

/// Measures `runs` of each, in turn, after one of each that does not count. `reference` is a VM that runs: it is
/// the floor's model, and is stopped first.
pub fn measure(
    sandbox: &Sandbox,
    reference: &str,
    floor_init: &Path,
    runs: usize,
) -> Result<Boot, BenchError> {
    let vm = sandbox.show(reference)?;
    let folder = sandbox.folder().join("floor");
    fs::create_dir(&folder).map_err(BenchError::file("create", &folder))?;
    let floor = Floor::of(&vm, floor_init, &folder)?;
    sandbox.run(&["vm", "stop", reference])?;

    let run_floor = || floor.run();
    let run_banger = || {
        sandbox
            .run(&["vm", "run", "--rm", "--", "true"])
            .map(|ended| ended.took)
    };
    run_floor()?;
    run_banger()?;
    let (floor_times, banger_times) = in_turn(runs, run_floor, run_banger)?;
    let none = || BenchError::Unexpected("no run was asked for".to_owned());
    Ok(Boot {
        vm,
        floor: Times::new(floor_times).ok_or_else(none)?,
        banger: Times::new(banger_times).ok_or_else(none)?,
    })
}
