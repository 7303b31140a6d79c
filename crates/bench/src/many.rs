//! Many VMs: twenty at once, a listing of five hundred, and the memory that this takes.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// VMs at once.
const AT_ONCE: usize = 20;
/// VMs to list.
const LISTED: usize = 500;
/// VMs that are made by one command line each, at the same time.
const MAKERS: usize = 4;

/// Twenty VMs from their making to their end, at once against one after another.
pub fn at_once(sandbox: &Sandbox, runs: usize) -> Result<Section, BenchError> {
    let one = || sandbox.run(&["vm", "run", "--rm", "--memory", "512M", "--", "true"]);
    let in_sequence = || -> Result<Duration, BenchError> {
        let began = Instant::now();
        for _ in 0..AT_ONCE {
            one()?;
        }
        Ok(began.elapsed())
    };
    let together = || -> Result<Duration, BenchError> {
        let began = Instant::now();
        thread::scope(|scope| {
            let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
            running.into_iter().try_for_each(|thread| {
                let ended = thread
                    .join()
                    .map_err(|_| BenchError::Unexpected("a thread panicked".to_owned()))?;
                ended.map(drop)
            })
        })?;
        Ok(began.elapsed())
    };
    let (in_sequence, together) = in_turn(runs, in_sequence, together)?;
    let (in_sequence, together) = (times(in_sequence)?, times(together)?);
    Ok(Section {
        only_ratios: false,
        title: "Twenty VMs".to_owned(),
        says: format!(
            "{AT_ONCE} times `banger vm run --rm --memory 512M -- true`: one after another, and all at once."
        ),
        rows: vec![
            Row::floor("one after another", &in_sequence),
            Row::beside("at once", &together, &in_sequence),
        ],
        goals: Vec::new(),
    })
}

/// `banger vm list` with many VMs that are off.
pub fn listing(sandbox: &Sandbox, runs: usize) -> Result<Section, BenchError> {
    let version = || sandbox.run(&["--version"]).map(|ended| ended.took);
    let list = || sandbox.run(&["vm", "list"]).map(|ended| ended.took);
    let make = |maker: usize| -> Result<(), BenchError> {
        for index in (maker..LISTED).step_by(MAKERS) {
            let name = format!("listed{index}");
            sandbox.run(&[
                "vm",
                "create",
                "--no-start",
                "-q",
                "--network",
                "none",
                "--name",
                &name,
            ])?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|maker| scope.spawn(move || make(maker)))
            .collect();
        makers.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| BenchError::Unexpected("a thread panicked".to_owned()))?
        })
    })?;
    version()?;
    list()?;
    let (version, list) = in_turn(runs, version, list)?;
    sandbox.run(&["vm", "prune", "-f", "-q"])?;
    let (version, list) = (times(version)?, times(list)?);
    Ok(Section {
        only_ratios: false,
        title: "A listing".to_owned(),
        says: format!(
            "`banger vm list` with {LISTED} VMs. The floor is `banger --version`, which asks nobody."
        ),
        rows: vec![
            Row::floor("`banger --version`", &version),
            Row::beside("`banger vm list`", &list, &version),
        ],
        goals: vec![Goal {
            text: "under 20 ms".to_owned(),
            met: list.median() < Duration::from_millis(20),
        }],
    })
}

/// What the daemon and the agent have resident.
pub fn memory(sandbox: &Sandbox) -> Result<Section, BenchError> {
    // One that has done nothing yet.
    sandbox.run(&["daemon", "stop"])?;
    sandbox.run(&["daemon", "start"])?;
    let idle = sandbox.daemon_resident()?;
    let names: Vec<String> = (0..AT_ONCE).map(|index| format!("resident{index}")).collect();
    for name in &names {
        sandbox.run(&[
            "vm",
            "run",
            "-d",
            "-q",
            "--network",
            "none",
            "--memory",
            "512M",
            "--name",
            name,
        ])?;
    }
    let busy = sandbox.daemon_resident()?;
    let agent = agent_resident(sandbox, &names[0])?;
    let mut delete = vec!["vm", "delete", "-q"];
    delete.extend(names.iter().map(String::as_str));
    sandbox.run(&delete)?;
    let limit = |text: &str, bytes: u64, mebibytes: u64| Goal {
        text: format!("{text} under {mebibytes} MiB"),
        met: bytes < mebibytes << 20,
    };
    Ok(Section {
        only_ratios: false,
        title: "Memory".to_owned(),
        says: "What is resident of the processes, looked at once.".to_owned(),
        rows: vec![
            Row::memory("the daemon, idle", idle),
            Row::memory(format!("the daemon, with {AT_ONCE} VMs that run"), busy),
            Row::memory("the agent in its guest", agent),
        ],
        goals: vec![limit("an idle daemon", idle, 20), limit("an agent", agent, 6)],
    })
}

/// The agent's processes, together.
fn agent_resident(sandbox: &Sandbox, vm: &str) -> Result<u64, BenchError> {
    let script = "for p in /proc/[0-9]*; do case \"$(readlink $p/exe)\" in *banger*) grep VmRSS $p/status;; esac; done";
    let lines = sandbox.run(&["vm", "exec", vm, "--", "sh", "-c", script])?.stdout;
    let lines = String::from_utf8_lossy(&lines);
    let kibibytes: Vec<u64> = lines
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect();
    if kibibytes.is_empty() {
        return Err(BenchError::Unexpected("the guest shows no agent".to_owned()));
    }
    Ok(kibibytes.iter().sum::<u64>() << 10)
}
