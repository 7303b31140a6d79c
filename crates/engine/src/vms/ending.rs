//! What became of a machine: off, and why, or on its way to the next boot.
//!
//! A guest that ends its machine by itself tells the daemon first what for, through its agent: where its init lets it, and
//! with everything written out. What comes past the init is known by what the kernel prints last on the console. A reset
//! ends each machine, since on some VMMs it is all that a guest can do; whether it boots again is decided here.
//!
//! ```text
//!                        the agent's word    what the kernel printed last            what the daemon makes of it
//!  poweroff              power off           (not asked)                             off
//!  halt                  halt                (not asked)                             off
//!  reboot                reboot              (not asked)                             the next boot
//!  poweroff -f, halt -f  –                   reboot: System halted, … Power down     off; the VMM is ended if it stays
//!  sysrq-o               –                   reboot: Power down, then Restarting     off
//!  reboot -f             –                   reboot: Restarting system               the next boot
//!  a kernel's panic      –                   Kernel panic - not syncing: …           off, with what the kernel said
//!  sysrq-b, a crash      –                   nothing                                 off
//! ```
//!
//! All of it is the guest's to say, and whatever it says costs itself: its machine ends, or boots again, ever later
//! ([`reboots`]).

mod console;
mod gone;
mod reboots;

use guest::Shutdown;
use vmm::{End, How};

pub(crate) use console::{LastWord, last_word};
pub(crate) use gone::{Gone, Still, gone, over};
pub(crate) use reboots::{Reboots, TOO_MANY};

/// What the daemon makes of a machine's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The VM is off, for this reason.
    Off(String),
    /// It is to boot again.
    Reboot,
}

const POWERED_OFF: &str = "the guest powered off";
const HALTED: &str = "the guest halted";
const EITHER: &str = "the guest powered off or halted";
const NO_SHUTDOWN: &str =
    "the guest reset its machine without a shutdown: a crash of its kernel, or a forced reset";

/// Of a machine that has ended.
pub(crate) fn of(end: End, word: Option<Shutdown>, last: LastWord) -> Outcome {
    let off = |reason: &str| Outcome::Off(reason.to_owned());
    match (end.how, word, last) {
        (How::Other, ..) => Outcome::Off(end.reason),
        (_, Some(Shutdown::PowerOff), _) => off(POWERED_OFF),
        (_, Some(Shutdown::Halt), _) => off(HALTED),
        (How::PoweredOff, ..) => Outcome::Off(end.reason),
        (How::Reset | How::Unknown, word, last) => match (word, last) {
            (_, LastWord::Panicked(what)) => Outcome::Off(format!("the guest's kernel panicked: {what}")),
            (Some(Shutdown::Reboot), _) | (None, LastWord::Restarting) => Outcome::Reboot,
            (_, LastWord::PoweredDown) => off(POWERED_OFF),
            (_, LastWord::Halted) => off(EITHER),
            _ if end.how == How::Unknown => Outcome::Off(end.reason),
            _ => off(NO_SHUTDOWN),
        },
    }
}

/// Of one that has not, and has nothing more to do.
pub(crate) fn of_gone(gone: &Gone) -> Outcome {
    let off = |reason: &str| Outcome::Off(reason.to_owned());
    match gone {
        Gone::Said(Shutdown::PowerOff) | Gone::Halted(LastWord::PoweredDown) => off(POWERED_OFF),
        Gone::Said(Shutdown::Halt) => off(HALTED),
        Gone::Said(Shutdown::Reboot) => Outcome::Reboot,
        Gone::Halted(_) => off(EITHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(how: How) -> End {
        End {
            how,
            reason: "in the VMM's words".into(),
        }
    }

    #[test]
    fn what_a_guest_meant_is_taken_from_its_word_and_else_from_its_kernels() {
        use LastWord::{Halted, None as Nothing, Panicked, PoweredDown, Restarting};
        use Outcome::Reboot;
        use Shutdown::{Halt, PowerOff};
        let off = |reason: &str| Outcome::Off(reason.to_owned());
        let panic = || Panicked("oops".into());
        for (how, word, last, expected) in [
            (How::Reset, Some(PowerOff), Restarting, off(POWERED_OFF)),
            (How::Reset, Some(Halt), Restarting, off(HALTED)),
            (How::Reset, Some(Shutdown::Reboot), Restarting, Reboot),
            (How::Reset, Some(Shutdown::Reboot), Nothing, Reboot),
            (How::Reset, None, Restarting, Reboot),
            (How::Reset, None, PoweredDown, off(POWERED_OFF)),
            (How::Reset, None, Halted, off(EITHER)),
            (How::Reset, None, Nothing, off(NO_SHUTDOWN)),
            // A kernel that fails while it reboots would, again and again.
            (
                How::Reset,
                Some(Shutdown::Reboot),
                panic(),
                off("the guest's kernel panicked: oops"),
            ),
            (
                How::Reset,
                None,
                panic(),
                off("the guest's kernel panicked: oops"),
            ),
            (How::Reset, Some(PowerOff), panic(), off(POWERED_OFF)),
            (How::PoweredOff, None, PoweredDown, off("in the VMM's words")),
            (How::PoweredOff, Some(Halt), PoweredDown, off(HALTED)),
            // A VMM whose parent was another daemon tells nothing.
            (How::Unknown, Some(Shutdown::Reboot), Nothing, Reboot),
            (How::Unknown, None, Restarting, Reboot),
            (
                How::Unknown,
                None,
                panic(),
                off("the guest's kernel panicked: oops"),
            ),
            (How::Unknown, None, Nothing, off("in the VMM's words")),
            // A VMM that dies is no guest's doing, whatever was said before.
            (
                How::Other,
                Some(Shutdown::Reboot),
                Restarting,
                off("in the VMM's words"),
            ),
        ] {
            let told = format!("{how:?} {word:?} {last:?}");
            assert_eq!(of(end(how), word, last), expected, "{told}");
        }
    }
}
