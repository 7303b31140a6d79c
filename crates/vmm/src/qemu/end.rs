//! The one line that says why a machine ended.

use std::path::Path;

use process::Ending;

use super::qmp::Cause;
use crate::groups;
use crate::logs::vmm_log;
use crate::text::last_lines;

/// Says why. Best is what QEMU told; without that, what its log ends with, and how its process ended.
pub(super) fn why(cause: Option<Cause>, ending: Ending, folder: &Path) -> String {
    match (cause, ending) {
        (Some(Cause::GuestShutdown), _) => return "the guest powered off".into(),
        (Some(Cause::GuestPanic), _) => return "the guest's kernel panicked".into(),
        (Some(Cause::HostQmpQuit), _) => return "QEMU was told to quit".into(),
        (_, Ending::Headless) => return format!("QEMU was ended after {ending}"),
        (_, Ending::Signalled(_)) if groups::ran_out_of_memory(folder) => {
            return format!("QEMU was ended by {ending}: its control group was out of memory");
        }
        (_, Ending::Signalled(_)) => return format!("QEMU was ended by {ending}"),
        (Some(Cause::HostSignal | Cause::Other) | None, _) => {}
    }
    let log = last_lines(&vmm_log(folder).unwrap_or_default(), 1);
    if !log.is_empty() {
        return log;
    }
    match ending {
        Ending::Unknown => "QEMU ended".into(),
        known => format!("QEMU ended with {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_best_reason_known_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let why = |cause, ending| why(cause, ending, folder.path());
        assert_eq!(why(None, Ending::Unknown), "QEMU ended");
        assert_eq!(why(None, Ending::Exited(1)), "QEMU ended with exit code 1");
        fs::write(folder.path().join("vmm.log"), "a\nqemu: out of memory\n").unwrap();
        let table = [
            (None, Ending::Unknown, "qemu: out of memory"),
            (Some(Cause::HostSignal), Ending::Exited(0), "qemu: out of memory"),
            (
                Some(Cause::GuestShutdown),
                Ending::Exited(0),
                "the guest powered off",
            ),
            (
                Some(Cause::GuestPanic),
                Ending::Unknown,
                "the guest's kernel panicked",
            ),
            (Some(Cause::HostQmpQuit), Ending::Unknown, "QEMU was told to quit"),
            (None, Ending::Signalled(9), "QEMU was ended by SIGKILL"),
            (
                Some(Cause::Other),
                Ending::Headless,
                "QEMU was ended after the end of its main thread",
            ),
        ];
        for (cause, ending, told) in table {
            assert_eq!(why(cause, ending), told);
        }
    }
}
