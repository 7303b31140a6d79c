//! What a start on Firecracker consists of.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::REFERENCE;
use crate::error::BenchError;
use crate::sandbox::Sandbox;
use crate::section::{Row, Section, times};

/// Measures `runs` starts of a VM that is stopped before and after.
pub fn measure(sandbox: &Sandbox, runs: usize) -> Result<Section, BenchError> {
    let mut stages: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let mut order = Vec::new();
    for _ in 0..=runs {
        let said = sandbox
            .run(&["vm", "start", "-q", "--timings", REFERENCE])?
            .stderr;
        sandbox.run(&["vm", "stop", "-q", REFERENCE])?;
        order.clear();
        for (stage, took) in timings(&String::from_utf8_lossy(&said)) {
            stages.entry(stage.clone()).or_default().push(took);
            order.push(stage);
        }
    }
    let mut taken = |stage: &str| {
        let mut taken = stages.remove(stage).unwrap_or_default();
        // The first does not count.
        taken.drain(..1.min(taken.len()));
        times(taken)
    };
    let total = taken(TOTAL)?;
    let mut rows = vec![Row::floor("the whole command", &total)];
    for stage in order.iter().filter(|stage| stage.contains('.')) {
        rows.push(Row::beside(format!("`{stage}`"), &taken(stage)?, &total));
    }
    Ok(Section {
        only_ratios: false,
        title: "a start on Firecracker".to_owned(),
        says: "`banger vm start --timings` of a VM that was stopped in order: each step beside the whole command.".to_owned(),
        rows,
        goals: Vec::new(),
    })
}

/// What the whole is called.
const TOTAL: &str = "total";

/// The lines `timing NAME STAGE N ms`.
fn timings(said: &str) -> Vec<(String, Duration)> {
    let stage = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["timing", .., stage, milliseconds, "ms"] = words[..] else {
            return None;
        };
        let took = Duration::from_millis(milliseconds.parse().ok()?);
        Some((stage.to_owned(), took))
    };
    said.lines().filter_map(stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_timings_are_read_and_others_are_not() {
        let said = "warning: word\n  timing  web  start.agent           2700 ms\n  timing  total                 2901 ms\n";
        let taken = |stage: &str, milliseconds| (stage.to_owned(), Duration::from_millis(milliseconds));
        assert_eq!(timings(said), [taken("start.agent", 2700), taken(TOTAL, 2901)]);
    }
}
