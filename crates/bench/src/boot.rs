//! `banger vm run --rm -- true` against a boot that only powers off.

use std::fs;
use std::path::Path;

use crate::REFERENCE;
use crate::error::BenchError;
use crate::floor::Floor;
use crate::sandbox::{Sandbox, Shown, in_turn};
use crate::section::{Goal, Row, Section, times};

/// Measures `runs` of each, in turn, after one of each that does not count. The VM runs: it is the floor's
/// model, and is stopped first.
pub fn measure(sandbox: &Sandbox, vm: &Shown, floor_init: &Path, runs: usize) -> Result<Section, BenchError> {
    let folder = sandbox.folder().join("floor");
    fs::create_dir(&folder).map_err(BenchError::file("create", &folder))?;
    let floor = Floor::of(vm, floor_init, &folder)?;
    sandbox.run(&["vm", "stop", REFERENCE])?;

    let run_floor = || floor.run();
    let run_banger = || {
        sandbox
            .run(&["vm", "run", "--rm", "--", "true"])
            .map(|ended| ended.took)
    };
    run_floor()?;
    run_banger()?;
    let (floor_times, banger_times) = in_turn(runs, run_floor, run_banger)?;
    let (floor, banger) = (times(floor_times)?, times(banger_times)?);
    // Half more than the floor, and 0.3 s.
    let goal = 1.5 * floor.median().as_secs_f64() + 0.3;
    Ok(Section {
        only_ratios: false,
        title: "A cold `banger vm run --rm -- true`".to_owned(),
        says: "The whole command, from its start to its end: create, boot, run `true` in the guest, delete. The daemon \
               runs, kernel and image are there. The floor is the same QEMU command line with the same kernel and an \
               init that only powers off, from QEMU's start to its end."
            .to_owned(),
        rows: vec![
            Row::floor("floor", &floor),
            Row::beside("banger", &banger, &floor),
        ],
        goals: vec![Goal {
            text: format!("at most 1.5 × the floor and 0.3 s, here {goal:.2} s"),
            met: banger.median().as_secs_f64() <= goal,
        }],
    })
}
