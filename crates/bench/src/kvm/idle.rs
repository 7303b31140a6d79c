//! What a VM on Firecracker takes of the host while nothing happens in it, beside a bare Firecracker.

use std::thread;
use std::time::{Duration, Instant};

use super::settle;
use crate::REFERENCE;
use crate::bare_firecracker::Bare;
use crate::error::BenchError;
use crate::processes::{Taken, below, one};
use crate::sandbox::Sandbox;
use crate::section::{Goal, Row, Section};

/// After its init has come to rest.
const RESTS: Duration = Duration::from_secs(15);
/// How long the processor's time is counted.
const COUNTED: Duration = Duration::from_secs(60);
/// Memory that a VM may take beyond the bare one.
const BEYOND: u64 = 15 << 20;
/// Most of the bare one's processor time.
const MOST: f64 = 1.2;

/// Looks once at each, at the same time after its start. The VM is stopped before and after, and no other runs.
pub fn measure(sandbox: &Sandbox, bare: &Bare, command_line: &str) -> Result<Section, BenchError> {
    let began = Instant::now();
    sandbox.run(&["vm", "start", "-q", REFERENCE])?;
    settle(sandbox)?;
    thread::sleep(RESTS);
    let after = began.elapsed();
    let daemon = sandbox.daemon_pid()?;
    let parts = counted(|| below(daemon))?;
    sandbox.run(&["vm", "stop", "-q", REFERENCE])?;

    let (_, process) = bare.start_with(command_line)?;
    thread::sleep(after);
    let floor = counted(|| one(process.pid()).map(|taken| vec![taken]));
    process.end()?;
    let floor = floor?;

    let pss = |taken: &[Taken]| taken.iter().map(|part| part.pss).sum::<u64>();
    let spent = |taken: &[Taken]| taken.iter().map(|part| part.processor).sum::<Duration>();
    let mut rows = vec![Row::memory("a bare Firecracker", pss(&floor))];
    rows.extend(
        parts
            .iter()
            .map(|part| Row::memory(format!("of the VM: `{}`", part.name), part.pss)),
    );
    rows.push(Row::beside_memory("the VM, in all", pss(&parts), pss(&floor)));
    let share = spent(&parts).as_secs_f64() / spent(&floor).as_secs_f64().max(f64::EPSILON);
    rows.push(Row::ratio("processor time of the VM to the bare one's", share));
    Ok(Section {
        only_ratios: false,
        title: "On KVM: an idle VM on Firecracker".to_owned(),
        says: format!(
            "Each process's proportional share of memory (Pss), of a VM with {} MiB and a network, {} s after its \
             systemd has come to rest, and of a Firecracker that a script has started with the same kernel, drives, \
             command line and init, as long after its start; then the processor time of {} s. Looked at once. The \
             daemon is not counted.",
            bare.memory_mib,
            RESTS.as_secs(),
            COUNTED.as_secs()
        ),
        rows,
        goals: vec![
            Goal {
                text: format!("at most {} MiB beyond the bare one", BEYOND >> 20),
                met: pss(&parts) <= pss(&floor) + BEYOND,
            },
            Goal {
                text: format!("at most {MOST} × its processor time"),
                met: share <= MOST,
            },
        ],
    })
}

/// Memory at the beginning of a while, and the processor's time of that while.
fn counted(look: impl Fn() -> Result<Vec<Taken>, BenchError>) -> Result<Vec<Taken>, BenchError> {
    let before = look()?;
    thread::sleep(COUNTED);
    let after = look()?;
    if before.len() != after.len() {
        return Err(BenchError::Unexpected(
            "the processes of an idle VM are not the same for a minute".to_owned(),
        ));
    }
    let both = before.into_iter().zip(after);
    let counted = both.map(|(before, after)| Taken {
        processor: after.processor.saturating_sub(before.processor),
        ..before
    });
    Ok(counted.collect())
}
