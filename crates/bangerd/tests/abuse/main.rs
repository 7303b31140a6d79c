//! Hostile guests: each verb that talks to a guest, against an agent that lies or floods. Hostile registries:
//! [`registries`]; hostile repositories: [`repositories`].
//!
//! ```text
//!  banger (each verb, at once) ──► simulated-bangerd ──► simulated-vmm: `testkit::hostile` answers
//! ```
//!
//! After each lie the daemon answers and has given its memory back, the guest that tells the truth again is reached,
//! each command has ended with a code and one line for each thing that it says, nothing steers the terminal, and what
//! lies beside a copy's target is as it was. In the end nothing is left.
//!
//! The suite tells each lie once, or the one of `BANGER_ABUSE_LIE`. `BANGER_ABUSE_SECONDS` is for how long they are told at random, `BANGER_SEED` what
//! chance goes by.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod host;
mod registries;
mod repositories;
mod snapshot;

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use host::Host;
use testkit::abuse::Verb;
use testkit::{Dice, Lie};

/// Hosts that are lied to at the same time, each with a daemon of its own.
const HOSTS: usize = 3;

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: `{text}` is no number")),
    )
}

/// What chance goes by, for how long lies are told at random (each once where that is not said), and which of them.
fn wished<L: Copy + Debug>(all: &[L]) -> (u64, Option<Duration>, Vec<L>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_in("BANGER_SEED").unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()));
    println!("BANGER_SEED={seed}");
    let length = number_in("BANGER_ABUSE_SECONDS").map(Duration::from_secs);
    let only = std::env::var("BANGER_ABUSE_LIE").ok();
    let meant = |lie: &&L| only.as_ref().is_none_or(|only| format!("{lie:?}") == *only);
    (seed, length, all.iter().filter(meant).copied().collect())
}

#[test]
fn no_lie_of_a_guest_harms_the_host_the_daemon_or_the_terminal() {
    let (seed, length, lies) = wished(Lie::ALL);
    // What takes time is waiting: for guests that say nothing, and until a user has had enough.
    std::thread::scope(|scope| {
        for host in 0..HOSTS.min(lies.len()) {
            let lies = &lies;
            scope.spawn(move || one_host(lies, host, Dice::of(seed, host as u64), length));
        }
    });
}

/// One host's share of the lies, or lies at random for some time.
fn one_host(lies: &[Lie], number: usize, mut dice: Dice, length: Option<Duration>) {
    let mut host = Host::start();
    let before = host.daemon_memory().now();
    let since = Instant::now();
    let mut told = 0;
    match length {
        None => {
            for lie in lies.iter().skip(number).step_by(HOSTS) {
                abuse(&mut host, *lie, &mut dice, true);
                told += 1;
            }
        }
        Some(length) => {
            while since.elapsed() < length {
                abuse(&mut host, *dice.one_of(lies), &mut dice, false);
                told += 1;
            }
        }
    }
    host.end_within(before, &format!("{told} lies in {:.1?}", since.elapsed()));
}

/// One lie over all verbs at once, or over some of them.
fn abuse(host: &mut Host, lie: Lie, dice: &mut Dice, all: bool) {
    let since = Instant::now();
    let before = host.daemon_memory().now();
    if lie.is_of_the_wire() {
        host.make_wired();
        host.tell_wired(Some(lie));
    } else {
        host.tell(Some(lie));
    }
    let verbs: Vec<Verb> = Verb::ALL
        .into_iter()
        .filter(|verb| verb.is_for(lie) && (all || dice.once_in(3)))
        .collect();
    let stage: &Host = host;
    std::thread::scope(|scope| {
        for verb in &verbs {
            scope.spawn(|| verb.run(stage, lie));
        }
    });
    if lie.is_of_the_wire() {
        host.end_wired(lie, before);
    }
    host.tell(None);
    host.assert_untouched(lie);
    host.assert_reached(lie);
    println!("{lie}: {} verbs in {:.1?}", verbs.len(), since.elapsed());
}
