//! How a machine ended, and the one line that says why.

use std::path::Path;

use process::Ending;

use super::qmp::Cause;
use crate::End;
use crate::groups;
use crate::logs::vmm_log;
use crate::text::last_lines;

/// Says how. Best is what QEMU told; without that, what its log ends with, and how its process ended.
pub(super) fn how(cause: Option<Cause>, ending: Ending, folder: &Path) -> End {
    let reason = match (cause, ending) {
        (Some(Cause::GuestShutdown), _) => return End::powered_off(),
        (Some(Cause::GuestReset), _) => return End::reset(),
        (Some(Cause::GuestPanic), _) => "the guest's kernel panicked".into(),
        (Some(Cause::HostQmpQuit), _) => "QEMU was told to quit".into(),
        (_, Ending::Headless) => format!("QEMU was ended after {ending}"),
        (_, Ending::Signalled(_)) if groups::ran_out_of_memory(folder) => {
            format!("QEMU was ended by {ending}: its control group was out of memory")
        }
        (_, Ending::Signalled(_)) => format!("QEMU was ended by {ending}"),
        (Some(Cause::HostSignal | Cause::Other) | None, _) => {
            match (last_lines(&vmm_log(folder).unwrap_or_default(), 1), ending) {
                (log, Ending::Unknown) if log.is_empty() => return End::unknown("QEMU ended"),
                (log, known) if log.is_empty() => format!("QEMU ended with {known}"),
                (log, _) => log,
            }
        }
    };
    reason.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::How;
    use std::fs;

    #[test]
    fn the_best_reason_known_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let how = |cause, ending| how(cause, ending, folder.path());
        let why = |cause, ending| how(cause, ending).reason;
        assert_eq!(how(None, Ending::Unknown), End::unknown("QEMU ended"));
        assert_eq!(why(None, Ending::Exited(1)), "QEMU ended with exit code 1");
        fs::write(folder.path().join("vmm.log"), "a\nqemu: out of memory\n").unwrap();
        let table = [
            (None, Ending::Unknown, "qemu: out of memory"),
            (Some(Cause::HostSignal), Ending::Exited(0), "qemu: out of memory"),
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
            assert_eq!(how(cause, ending).how, How::Other);
        }
        let told = |cause| how(Some(cause), Ending::Exited(0));
        assert_eq!(told(Cause::GuestShutdown), End::powered_off());
        assert_eq!(told(Cause::GuestReset), End::reset());
    }
}
