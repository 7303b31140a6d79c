//! What the user sees: data on stdout, everything else on stderr, and nothing that could steer the terminal.

mod escape;
mod human;
mod image;
mod kernel;
mod machine;
mod progress;
mod report;
mod space;
mod table;
mod timings;
mod transfer;
mod usage;

use std::io::{IsTerminal, Write};

use jiff::Timestamp;

pub use escape::{TerminalFilter, one_line};
pub use human::{age, bytes, disk, memory, milliseconds};
pub use image::{image, images, pruned};
pub use kernel::{catalog_kernels, imported, kernel, kernels};
pub use machine::{keeps_running, show, spec_line};
pub use progress::Progress;
pub use report::report;
pub use space::space;
pub use table::{pairs, ports, vms};
pub use transfer::Transfer;
pub use usage::{Usage, usage};

use crate::failure::Failure;

/// A VM's state; of one that runs, why it stands still, what it has lost, and that its guest has booted again; of one
/// that crashed, when.
fn state(vm: &api::Vm, now: Timestamp) -> String {
    let lacks = vm.reason.as_ref().filter(|_| vm.state == api::VmState::Running);
    let stands = vm.paused.as_ref().or(lacks).map(|reason| one_line(reason));
    let came = match (vm.state, &vm.rebooted, vm.crashed_at) {
        (api::VmState::Running, Some(reboots), _) => Some(rebooted(reboots, now)),
        (api::VmState::Stopped, _, Some(at)) => Some(format!("crashed {} ago", age(at, now))),
        _ => None,
    };
    let said: Vec<String> = stands.into_iter().chain(came).collect();
    match said.as_slice() {
        [] => vm.state.to_string(),
        said => format!("{} ({})", vm.state, said.join("; ")),
    }
}

/// `rebooted 1 min ago: panic: out of memory`, `rebooted 3 times, last 5 s ago: in order`.
fn rebooted(reboots: &api::Reboots, now: Timestamp) -> String {
    let (ago, reason) = (age(reboots.at, now), one_line(&reboots.reason));
    match reboots.times {
        0 | 1 => format!("rebooted {ago} ago: {reason}"),
        times => format!("rebooted {times} times, last {ago} ago: {reason}"),
    }
}

/// That a VM is off which nobody meant to be, for who looks at those that run.
pub fn crashed(vm: &api::Vm, now: Timestamp) -> Option<String> {
    let at = vm.crashed_at.filter(|_| vm.state == api::VmState::Stopped)?;
    let reason = vm.reason.as_deref().unwrap_or("for no known reason");
    let (name, ago) = (one_line(&vm.name), age(at, now));
    Some(format!("`{name}` has been off for {ago}: {}", one_line(reason)))
}

/// Writes data to stdout.
///
/// # Errors
/// A reader that has gone ends the command without a word.
pub fn output(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::output(&error))
}

/// Writes data to stdout as JSON, one final line end.
///
/// # Errors
/// As [`output`].
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
    output(&format!("{}\n", escape::json(&text)))
}

/// A line on stderr, as it is.
pub fn note(line: &str) {
    // There is nobody to tell that stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `banger: …` on stderr.
pub fn error(message: &str) {
    note(&format!("banger: {}", short_line(message)));
}

/// `hint: …` on stderr.
pub fn hint(message: &str) {
    note(&format!("hint: {}", short_line(message)));
}

/// `banger: warning: …` on stderr.
pub fn warning(message: &str) {
    note(&format!("banger: warning: {}", short_line(message)));
}

/// Most bytes of a message before it is escaped: several paths and the words around them.
const MESSAGE: usize = 16 << 10;

/// One line of what may be another's words, and no screen full of them.
fn short_line(message: &str) -> String {
    if message.len() <= MESSAGE {
        return one_line(message);
    }
    format!("{}…", one_line(&message[..message.floor_char_boundary(MESSAGE)]))
}

/// Whether a stream may be coloured: a terminal, and nobody objects (<https://no-color.org>).
pub fn coloured(stream: &impl IsTerminal) -> bool {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !objects && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_stands_still_says_so_and_why() {
        let mut vm = crate::testing::vm("a", "1");
        let now = vm.created_at;
        let state = |vm: &api::Vm| state(vm, now);
        assert_eq!(state(&vm), "running");
        vm.paused = Some("paused: the host's disk is full".into());
        for shown in [vms(&[vm.clone()], |_| None, now), show(&vm, now)] {
            assert!(
                shown.contains("running (paused: the host's disk is full)"),
                "{shown}"
            );
        }
        vm.paused = None;
        vm.reason = Some("without a network".into());
        assert_eq!(state(&vm), "running (without a network)");
        assert_eq!(show(&vm, now).matches("without a network").count(), 1);
        vm.paused = Some("\u{1b}[2J\n".into());
        assert!(!state(&vm).contains(char::is_control));
    }

    #[test]
    fn a_guest_that_booted_again_or_crashed_says_when_and_why() {
        let mut vm = crate::testing::vm("a", "1");
        let at = vm.created_at;
        let later = |seconds: i64| at + jiff::SignedDuration::from_secs(seconds);
        for (times, reason, seconds, expected) in [
            (1, "panic: oops", 60, "running (rebooted 1 min ago: panic: oops)"),
            (
                3,
                "in order",
                7200,
                "running (rebooted 3 times, last 2 h ago: in order)",
            ),
            (1, "a\u{1b}[2J\nb", 5, "running (rebooted 5 s ago: a\\x1b[2J\\nb)"),
        ] {
            vm.rebooted = Some(api::Reboots {
                times,
                at,
                reason: reason.into(),
            });
            assert_eq!(state(&vm, later(seconds)), expected);
            for shown in [
                vms(&[vm.clone()], |_| None, later(seconds)),
                show(&vm, later(seconds)),
            ] {
                assert!(shown.contains(expected), "{shown}");
            }
        }
        assert_eq!(crashed(&vm, later(60)), None);
        vm.state = api::VmState::Stopped;
        vm.reason = Some("the guest's kernel panicked: oops".into());
        vm.crashed_at = Some(at);
        assert_eq!(state(&vm, later(60)), "stopped (crashed 1 min ago)");
        assert_eq!(
            crashed(&vm, later(60)).as_deref(),
            Some("`a` has been off for 1 min: the guest's kernel panicked: oops")
        );
    }
}
