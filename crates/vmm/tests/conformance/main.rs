//! What every backend does alike: the same cases over the simulated VMM, QEMU and Firecracker, side by side.
//!
//! `make conformance` prints the table. A cell says `yes`, or `no` and why this backend cannot do it on this host.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod cases;
#[path = "../common/mod.rs"]
mod common;
#[path = "../elf/mod.rs"]
mod elf;
#[path = "../executes/mod.rs"]
mod executes;
#[path = "../kernel/mod.rs"]
mod kernel;
#[path = "../peer/mod.rs"]
mod peer;
mod subject;

use std::fmt::Write as _;

use cases::CASES;
use subject::Subject;

/// Of the cases, those that need a guest that executes. No others may be left out for that.
const NEED_A_GUEST: [&str; 1] = ["what the guest prints is kept"];

/// What became of a case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Yes,
    /// Why not.
    No(String),
}

async fn outcome(subject: &Subject, name: &str, case: cases::Case) -> Outcome {
    match subject.executes_no_guest() {
        Some(reason) if NEED_A_GUEST.contains(&name) => Outcome::No(reason),
        _ => match case(subject).await {
            Ok(()) => Outcome::Yes,
            // Whatever else fails fails the test.
            Err(vmm::VmmError::Unsupported { what, .. }) => Outcome::No(format!("it has no {what}")),
            Err(error) => panic!("{}: {name}: {error}", subject.name()),
        },
    }
}

#[tokio::test]
async fn the_backends_do_the_same_side_by_side() {
    let mut subjects = vec![Subject::simulated(), Subject::qemu(), Subject::firecracker()];
    subjects.extend(Subject::qemu_kvm());
    let mut table = format!("\n{:<44}", "");
    let mut reasons = String::new();
    for subject in &subjects {
        write!(table, "{:<22}", subject.name()).unwrap();
    }
    for (name, case) in CASES {
        write!(table, "\n{name:<44}").unwrap();
        for subject in &subjects {
            eprintln!("{}: {name}", subject.name());
            match outcome(subject, name, case).await {
                Outcome::Yes => write!(table, "{:<22}", "yes").unwrap(),
                Outcome::No(reason) => {
                    write!(table, "{:<22}", "no").unwrap();
                    writeln!(reasons, "{}: {name}: no: {reason}", subject.name()).unwrap();
                }
            }
        }
    }
    println!("{table}\n\n{reasons}");
    assert!(
        NEED_A_GUEST
            .iter()
            .all(|name| CASES.iter().any(|(case, _)| case == name)),
        "a case that is left out is none"
    );
}
