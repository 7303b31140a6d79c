//! What a guest's kernel said last on its console. These lines are of the highest level, which no setting of the guest's
//! keeps off the console (`printk` of Linux, `kernel/reboot.c` and `kernel/panic.c`).

use std::path::Path;

use crate::error::plain;

/// So much of the console's end is looked at. A panic comes with a page of what led to it.
const END: u64 = 16 << 10;

/// Longest reason that is taken from there, in characters.
const LONGEST: usize = 200;

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

/// Whether the very last line says that the machine is off or stands still: then nothing has run since.
pub(super) fn standing_still(folder: &Path) -> Option<LastWord> {
    let end = end(folder);
    let text = String::from_utf8_lossy(&end);
    let word = of_line(text.lines().map(str::trim).rfind(|line| !line.is_empty())?)?;
    matches!(word, LastWord::Halted | LastWord::PoweredDown).then_some(word)
}

fn end(folder: &Path) -> Vec<u8> {
    vmm::console_end(folder, END).unwrap_or_default()
}

fn of_text(end: &[u8]) -> LastWord {
    let text = String::from_utf8_lossy(end);
    let mut words = text.lines().rev().filter_map(of_line);
    match words.next() {
        // A kernel without a power button returns from `kernel_power_off`, and the agent resets the machine then.
        Some(LastWord::Restarting) if words.next() == Some(LastWord::PoweredDown) => LastWord::PoweredDown,
        last => last.unwrap_or(LastWord::None),
    }
}

/// Reads `[   12.345678] reboot: System halted`.
fn of_line(line: &str) -> Option<LastWord> {
    let line = line.trim();
    let said = match line.strip_prefix('[').and_then(|line| line.split_once(']')) {
        Some((time, said)) if is_time(time) => said.trim_start(),
        _ => line,
    };
    Some(match said {
        "reboot: Restarting system" => LastWord::Restarting,
        "reboot: System halted" => LastWord::Halted,
        // The second where a kernel knows that it was asked for more than it can do, from Linux 6.9 on.
        "reboot: Power down" | "reboot: Power off not available: System halted instead" => {
            LastWord::PoweredDown
        }
        said if said.starts_with("reboot: Restarting system with command ") => LastWord::Restarting,
        said => {
            let what = said.strip_prefix("Kernel panic - not syncing: ")?;
            LastWord::Panicked(plain(&what.chars().take(LONGEST).collect::<String>()))
        }
    })
}

fn is_time(text: &str) -> bool {
    let text = text.trim_start();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
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
                "[1.0] reboot: System halted\n[2.0] reboot: Restarting system\n",
                LastWord::Restarting,
            ),
            (
                "[1.0] reboot: Power down\n[1.5] I/O error, dev vda\n[2.0] reboot: Restarting system\n",
                LastWord::PoweredDown,
            ),
            ("a user says: reboot: System halted\n", LastWord::None),
            ("[x] reboot: System halted\n", LastWord::None),
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
