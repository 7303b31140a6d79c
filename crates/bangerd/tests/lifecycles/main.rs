//! Random lifecycles: many clients at once make, use and delete VMs while daemons, machines and clients are killed.
//! Afterwards the host is as before: processes, files, ports, rows.
//!
//! ```text
//!  workers ── api::client ─────┐                       ┌─ simulated-vmm
//!          ── banger (killed) ─┴── simulated-bangerd ──┼─ simulated-vmm (killed)
//!                                  (killed, anew)      └─ …
//! ```
//!
//! `BANGER_LIVES` is how many, `BANGER_SEED` what chance goes by. A seed gives each life the same script; who comes
//! first is the scheduler's matter, so that a failure may need a few runs to come again.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod alone;
mod command_line;
mod host;
mod shared;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use host::Host;
use process::Signal;
use testkit::Dice;
use tokio::task::JoinSet;

/// How many lives each of the two tests has.
const LIVES: u64 = 1000;
/// How many go on at a time.
const WORKERS: usize = 12;

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: `{text}` is no number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lifecycles_whose_daemons_are_killed_leave_the_host_as_it_was() {
    run(true).await;
}

/// With one daemon all along, nothing hides an operation that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lifecycles_leave_the_host_and_the_daemon_as_they_were() {
    run(false).await;
}

async fn run(mortal: bool) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_in("BANGER_SEED").unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()));
    let lives = number_in("BANGER_LIVES").unwrap_or(LIVES);
    let again = format!("BANGER_SEED={seed} BANGER_LIVES={lives}");
    println!("{again}");
    let host = Arc::new(Host::new(seed, mortal));
    let since = Instant::now();
    let outcome = tokio::spawn(all_lives(Arc::clone(&host), lives)).await;
    println!(
        "{lives} lives in {:.1?}:\n{}",
        since.elapsed(),
        host.tally.report()
    );
    if let Err(failure) = outcome {
        // What was going on at the time of the failure is just being dropped.
        while Arc::strong_count(&host) > 1 {
            tokio::task::yield_now().await;
        }
        let mut host = Arc::into_inner(host).expect("nobody else has it");
        println!("once more: {again}; what it left: {}", host.keep().display());
        drop(host);
        std::panic::resume_unwind(failure.into_panic());
    }
}

async fn all_lives(host: Arc<Host>, lives: u64) {
    // The first VM brings what all others use. It may fail as any other.
    let artefacts = |host: Arc<Host>| async move {
        for number in 0..3 {
            alone::live(&host, Dice::new(number)).await;
        }
    };
    artefacts(Arc::clone(&host)).await;
    let leaks = host.leaks().await;

    let mut trouble = JoinSet::new();
    if host.mortal {
        trouble.spawn(kill_daemons(Arc::clone(&host)));
    }
    trouble.spawn(kill_machines(Arc::clone(&host)));
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(Arc::clone(&host), Arc::clone(&next), lives));
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(failure) = ended {
            std::panic::resume_unwind(failure.into_panic());
        }
    }
    trouble.shutdown().await;
    host.delete_all().await;
    host.assert_as_before(&leaks).await;
}

async fn work(host: Arc<Host>, next: Arc<AtomicU64>, lives: u64) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= lives {
            return;
        }
        let mut dice = Dice::of(host.seed, number);
        match dice.below(10) {
            0 => command_line::live(&host, dice).await,
            1..=3 => shared::live(&host, dice).await,
            _ => alone::live(&host, dice).await,
        }
    }
}

/// Kills whichever daemon there is, at random moments.
async fn kill_daemons(host: Arc<Host>) {
    let mut dice = Dice::of(host.seed, u64::MAX);
    loop {
        tokio::time::sleep(dice.millis(50..1500)).await;
        if let Some(daemon) = host.daemon().await
            && daemon.kill(Signal::KILL).is_ok()
        {
            host.tally.count("daemons killed");
        }
    }
}

/// Kills a machine at random moments.
async fn kill_machines(host: Arc<Host>) {
    let mut dice = Dice::of(host.seed, u64::MAX - 1);
    loop {
        tokio::time::sleep(dice.millis(10..200)).await;
        let machines = host.machines();
        if !machines.is_empty() && dice.one_of(&machines).kill(Signal::KILL).is_ok() {
            host.tally.count("machines killed");
        }
    }
}
