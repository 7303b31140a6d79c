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
//!  poweroff, unheard     –                   banger: power off, then Restarting      off
//!  halt, unheard         –                   banger: halt, then Restarting           off
//!  reboot, unheard       –                   reboot: Restarting system               the next boot
//!  poweroff -f, halt -f  –                   reboot: System halted, … Power down     off; the VMM is ended if it stays
//!  sysrq-o               –                   reboot: Power down, then Restarting     off
//!  reboot -f             –                   reboot: Restarting system               the next boot
//!  a kernel's panic      –                   Kernel panic - not syncing: …           off, with what the kernel said; the
//!                                                                                    VMM is ended if it stays
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
pub(crate) use gone::{Gone, Over, Still, gone, over};
pub(crate) use reboots::{Reboots, TOO_MANY};

/// What the daemon makes of a machine's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The VM is off, for this reason.
    Off(String),
    /// Likewise, and nobody meant it to be.
    Crashed(String),
    /// It is to boot again; why, in a few words.
    Reboot(&'static str),
}

/// Reboots that the guest's init carries out, those that go past it, and those into another kernel in the same machine.
const IN_ORDER: &str = "in order";
const FORCED: &str = "forced";
const KEXEC: &str = "kexec";

const POWERED_OFF: &str = "the guest powered off";
const HALTED: &str = "the guest halted";
const EITHER: &str = "the guest powered off or halted";
const NO_SHUTDOWN: &str =
    "the guest reset its machine without a shutdown: a crash of its kernel, or a forced reset";

/// Of a machine that has ended.
pub(crate) fn of(end: End, word: Option<Shutdown>, last: LastWord) -> Outcome {
    let off = |reason: &str| Outcome::Off(reason.to_owned());
    match (end.how, word, last) {
        (How::Other, ..) => Outcome::Crashed(end.reason),
        (_, Some(Shutdown::PowerOff), _) => off(POWERED_OFF),
        (_, Some(Shutdown::Halt), _) => off(HALTED),
        (How::PoweredOff, ..) => Outcome::Off(end.reason),
        (How::Reset | How::Unknown, word, last) => match (word, last) {
            (_, LastWord::Panicked(what)) => Outcome::Crashed(panicked(&what)),
            (Some(Shutdown::Reboot), _) => Outcome::Reboot(IN_ORDER),
            (None, LastWord::Restarting) => Outcome::Reboot(FORCED),
            (_, LastWord::PoweredDown) => off(POWERED_OFF),
            (_, LastWord::Halted) => off(EITHER),
            // The host may have ended it, with all else.
            _ if end.how == How::Unknown => Outcome::Off(end.reason),
            _ => Outcome::Crashed(NO_SHUTDOWN.to_owned()),
        },
    }
}

/// Why what the guest had not synced is lost with a machine that has ended; none where it had said or shown that all of it
/// was written.
pub(crate) fn unclean(end: &End, word: Option<Shutdown>, last: &LastWord) -> Option<String> {
    match (end.how, word, last) {
        (_, Some(_), _) | (How::PoweredOff, ..) => None,
        (How::Other, ..) => Some(end.reason.clone()),
        (How::Reset | How::Unknown, None, LastWord::Panicked(what)) => Some(panicked(what)),
        (How::Reset, None, LastWord::None) => Some(NO_SHUTDOWN.to_owned()),
        (How::Unknown, None, LastWord::None) => Some(end.reason.clone()),
        (_, None, LastWord::Restarting | LastWord::Halted | LastWord::PoweredDown) => None,
    }
}

fn panicked(what: &str) -> String {
    format!("the guest's kernel panicked: {what}")
}

/// Of one that has not, and has nothing more to do.
pub(crate) fn of_gone(gone: &Gone) -> Outcome {
    let off = |reason: &str| Outcome::Off(reason.to_owned());
    match gone {
        Gone::Said(Shutdown::PowerOff) | Gone::Halted(LastWord::PoweredDown) => off(POWERED_OFF),
        Gone::Said(Shutdown::Halt) => off(HALTED),
        Gone::Said(Shutdown::Reboot) => Outcome::Reboot(IN_ORDER),
        Gone::Halted(LastWord::Panicked(what)) => Outcome::Crashed(panicked(what)),
        Gone::Halted(_) => off(EITHER),
    }
}

/// Why a guest runs another kernel in the same machine than a moment ago, by what the last one said: one that fails may
/// have one ready that sees to its remains (kdump).
pub(crate) fn of_next_kernel(last: LastWord) -> String {
    match last {
        LastWord::Panicked(what) => format!("panic: {what}"),
        _ => KEXEC.to_owned(),
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
    fn writes_are_lost_with_a_machine_that_ended_without_a_sign_of_a_shutdown() {
        use LastWord::{Halted, None as Nothing, Panicked, PoweredDown, Restarting};
        let panic = || Panicked("oops".into());
        let some = |reason: &str| Some(reason.to_owned());
        for (how, word, last, expected) in [
            (How::PoweredOff, None, Nothing, None),
            (How::Reset, Some(Shutdown::PowerOff), Nothing, None),
            // After the word all is written, whatever comes.
            (How::Other, Some(Shutdown::Halt), Nothing, None),
            (How::Reset, Some(Shutdown::Reboot), panic(), None),
            (How::Reset, None, PoweredDown, None),
            (How::Reset, None, Halted, None),
            (How::Unknown, None, Restarting, None),
            (How::Reset, None, Nothing, some(NO_SHUTDOWN)),
            (
                How::Reset,
                None,
                panic(),
                some("the guest's kernel panicked: oops"),
            ),
            (
                How::Unknown,
                None,
                panic(),
                some("the guest's kernel panicked: oops"),
            ),
            (How::Unknown, None, Nothing, some("in the VMM's words")),
            (How::Other, None, PoweredDown, some("in the VMM's words")),
        ] {
            let told = format!("{how:?} {word:?} {last:?}");
            assert_eq!(unclean(&end(how), word, &last), expected, "{told}");
        }
    }

    #[test]
    fn what_a_guest_meant_is_taken_from_its_word_and_else_from_its_kernels() {
        use LastWord::{Halted, None as Nothing, Panicked, PoweredDown, Restarting};
        use Shutdown::{Halt, PowerOff};
        let off = |reason: &str| Outcome::Off(reason.to_owned());
        let crashed = |reason: &str| Outcome::Crashed(reason.to_owned());
        let (in_order, forced) = (Outcome::Reboot("in order"), Outcome::Reboot("forced"));
        let panic = || Panicked("oops".into());
        for (how, word, last, expected) in [
            (How::Reset, Some(PowerOff), Restarting, off(POWERED_OFF)),
            (How::Reset, Some(Halt), Restarting, off(HALTED)),
            (How::Reset, Some(Shutdown::Reboot), Restarting, in_order.clone()),
            (How::Reset, Some(Shutdown::Reboot), Nothing, in_order.clone()),
            (How::Reset, None, Restarting, forced.clone()),
            (How::Reset, None, PoweredDown, off(POWERED_OFF)),
            (How::Reset, None, Halted, off(EITHER)),
            (How::Reset, None, Nothing, crashed(NO_SHUTDOWN)),
            // A kernel that fails while it reboots would, again and again.
            (
                How::Reset,
                Some(Shutdown::Reboot),
                panic(),
                crashed("the guest's kernel panicked: oops"),
            ),
            (
                How::Reset,
                None,
                panic(),
                crashed("the guest's kernel panicked: oops"),
            ),
            (How::Reset, Some(PowerOff), panic(), off(POWERED_OFF)),
            (How::PoweredOff, None, PoweredDown, off("in the VMM's words")),
            (How::PoweredOff, Some(Halt), PoweredDown, off(HALTED)),
            // A VMM whose parent was another daemon tells nothing.
            (How::Unknown, Some(Shutdown::Reboot), Nothing, in_order.clone()),
            (How::Unknown, None, Restarting, forced.clone()),
            (
                How::Unknown,
                None,
                panic(),
                crashed("the guest's kernel panicked: oops"),
            ),
            (How::Unknown, None, Nothing, off("in the VMM's words")),
            // A VMM that dies is no guest's doing, whatever was said before.
            (
                How::Other,
                Some(Shutdown::Reboot),
                Restarting,
                crashed("in the VMM's words"),
            ),
        ] {
            let told = format!("{how:?} {word:?} {last:?}");
            assert_eq!(of(end(how), word, last), expected, "{told}");
        }
    }

    #[test]
    fn another_kernel_in_the_same_machine_comes_by_kexec_or_after_a_panic() {
        for (last, why) in [
            (LastWord::None, "kexec"),
            (LastWord::Restarting, "kexec"),
            (LastWord::Panicked("oops".into()), "panic: oops"),
        ] {
            assert_eq!(of_next_kernel(last), why);
        }
    }
}
