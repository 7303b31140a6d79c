//! What a guest's kernel said last on its console. These lines are of the highest level, which no setting of the guest's
//! keeps off the console (`printk` of Linux, `kernel/reboot.c` and `kernel/panic.c`); so are the agent's, `banger: power off`
//! and `banger: halt`, before a reset that is no reboot.

use std::path::Path;

use crate::error::plain;

/// So much of the console's end is looked at. A panic comes with a page of what led to it.
const END: u64 = 16 << 10;

/// Longest reason that is taken from there, in characters.
const LONGEST: usize = 200;

/// What a kernel prints last that failed: it stays so, unless it is to reset the machine after a while.
const PANIC_TOLD: &str = "---[ end Kernel panic";
const PANIC_WAITS: &str = "Rebooting in ";

/// Longest time stamp of a line, in bytes.
const STAMP: usize = 20;

/// What the kernel was about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// Nothing that ends a machine.
    None,
    /// To boot again.
    Restarting,
    /// To stop its processors.
    Halted,
    /// To be off.
    PoweredDown,
    /// To end since it failed, in this way.
    Panicked(String),
}

/// The last thing said, whatever was printed after it.
pub(crate) fn last_word(folder: &Path) -> LastWord {
    of_text(&end(folder))
}

/// Whether nothing of the guest's can have run since what was said last: the very last line says that the machine is off
/// or stands still, or a kernel that failed has told all that it had to.
pub(super) fn standing_still(folder: &Path) -> Option<LastWord> {
    let end = end(folder);
    let text = String::from_utf8_lossy(&end);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    match of_line(last) {
        Some(word @ (LastWord::Halted | LastWord::PoweredDown)) => Some(word),
        Some(_) => None,
        None => {
            let told = [PANIC_TOLD, PANIC_WAITS].iter().any(|mark| last.contains(mark));
            let panicked = |word: &LastWord| matches!(word, LastWord::Panicked(_));
            Some(of_text(&end)).filter(panicked).filter(|_| told)
        }
    }
}

fn end(folder: &Path) -> Vec<u8> {
    vmm::console_end(folder, END).unwrap_or_default()
}

fn of_text(end: &[u8]) -> LastWord {
    let text = String::from_utf8_lossy(end);
    let mut words = text.lines().rev().filter_map(of_line);
    match words.next() {
        // A machine without a power button is reset by the agent, which says before what that stands for; or its kernel
        // returns from `kernel_power_off`.
        Some(LastWord::Restarting) => match words.next() {
            Some(meant @ (LastWord::PoweredDown | LastWord::Halted)) => meant,
            _ => LastWord::Restarting,
        },
        last => last.unwrap_or(LastWord::None),
    }
}

/// Reads `[   12.345678] reboot: System halted`, also behind a prompt or what else stood in that line.
fn of_line(line: &str) -> Option<LastWord> {
    let line = line.trim();
    let behind_stamps = line
        .match_indices('[')
        .filter_map(|(at, _)| behind_stamp(&line[at..]));
    std::iter::once(line).chain(behind_stamps).find_map(of_message)
}

/// What follows `[   12.345678] `, if that is how it begins.
fn behind_stamp(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().take(STAMP).position(|&byte| byte == b']')?;
    let time = text.get(1..end)?.trim_start();
    let is_time = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_time.then(|| text[end + 1..].trim_start())
}

fn of_message(said: &str) -> Option<LastWord> {
    Some(match said {
        "reboot: Restarting system" => LastWord::Restarting,
        "reboot: System halted" | "banger: halt" => LastWord::Halted,
        // The second where a kernel knows that it was asked for more than it can do, from Linux 6.9 on.
        "reboot: Power down"
        | "reboot: Power off not available: System halted instead"
        | "banger: power off" => LastWord::PoweredDown,
        said if said.starts_with("reboot: Restarting system with command ") => LastWord::Restarting,
        said => {
            let what = said.strip_prefix("Kernel panic - not syncing: ")?;
            LastWord::Panicked(plain(&what.chars().take(LONGEST).collect::<String>()))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_kernels_last_word_is_found_behind_what_came_with_it() {
        for (console, expected) in [
            ("", LastWord::None),
            ("Welcome to Debian\r\n", LastWord::None),
            ("[    9.1] reboot: Restarting system\r\n", LastWord::Restarting),
            (
                "reboot: Restarting system with command 'x'\n",
                LastWord::Restarting,
            ),
            ("[ 9.123456] reboot: System halted\n", LastWord::Halted),
            (
                "[9.1] reboot: Power off not available: System halted instead\n",
                LastWord::PoweredDown,
            ),
            ("[9.1] reboot: Power down\n\n", LastWord::PoweredDown),
            (
                "[ 7.0] Kernel panic - not syncing: sysrq triggered crash\r\n[ 7.1] CPU: 0 PID: 1\r\n\
                 [ 7.2] Rebooting in 1 seconds..\r\n",
                LastWord::Panicked("sysrq triggered crash".into()),
            ),
            (
                "Kernel panic - not syncing: a\u{1b}[31mb\n",
                LastWord::Panicked("a\\u{1b}[31mb".into()),
            ),
            (
                "[1.0] reboot: Restarting system\n[2.0] reboot: Restarting system\n",
                LastWord::Restarting,
            ),
            (
                "[9.1] banger: power off\r\n[9.2] reboot: Restarting system\r\n",
                LastWord::PoweredDown,
            ),
            (
                "[9.1] banger: halt\n[9.2] reboot: Restarting system\n",
                LastWord::Halted,
            ),
            ("[9.1] banger: halt\n", LastWord::Halted),
            ("box login: [ 7.55] reboot: System halted\r\n", LastWord::Halted),
            (
                "\u{1b}[0m> [a] [    7.551234] reboot: Restarting system\n",
                LastWord::Restarting,
            ),
            (
                "# [ 7.0] Kernel panic - not syncing: why [x]\n",
                LastWord::Panicked("why [x]".into()),
            ),
            (
                "[1.0] reboot: Power down\n[1.5] I/O error, dev vda\n[2.0] reboot: Restarting system\n",
                LastWord::PoweredDown,
            ),
            ("a user says: reboot: System halted\n", LastWord::None),
            ("[x] reboot: System halted\n", LastWord::None),
            ("[7.5] a user says: reboot: System halted\n", LastWord::None),
            ("[ 123456789012345678.9] reboot: System halted\n", LastWord::None),
        ] {
            assert_eq!(of_text(console.as_bytes()), expected, "{console:?}");
        }
    }

    #[test]
    fn a_machine_stands_still_only_where_nothing_was_printed_after_it_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let still = |text: &str| {
            fs::write(folder.path().join("console.log"), text).unwrap();
            standing_still(folder.path())
        };
        assert_eq!(
            still("[ 1.0] reboot: System halted\r\n\r\n"),
            Some(LastWord::Halted)
        );
        assert_eq!(still("[ 1.0] reboot: Power down"), Some(LastWord::PoweredDown));
        assert_eq!(still("[ 1.0] reboot: System halted\nlogin:"), None);
        assert_eq!(
            still("login: [ 1.0] reboot: System halted"),
            Some(LastWord::Halted)
        );
        let panic = "[ 1.0] Kernel panic - not syncing: oops\n[ 1.1] CPU: 0\n";
        let panicked = Some(LastWord::Panicked("oops".into()));
        assert_eq!(still(panic), None);
        for end in [
            "[ 1.2] ---[ end Kernel panic - not syncing: oops ]---\r\n",
            "[ 1.2] Rebooting in 600 seconds..",
        ] {
            assert_eq!(still(&format!("{panic}{end}")), panicked, "{end}");
            assert_eq!(still(end), None, "{end}");
        }
        assert_eq!(
            still(&format!("{panic}Rebooting in 3 seconds..\n[ 0.0] Linux version")),
            None
        );
        assert_eq!(still("[ 1.0] reboot: Restarting system\n"), None);
        assert_eq!(still(""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_console_makes_it_panic(text: Vec<u8>, what in "\\[?[0-9. ]{0,8}\\]? ?(reboot|Kernel panic).{0,60}") {
            let _ = of_text(&text);
            let _ = of_text(what.as_bytes());
        }
    }
}
