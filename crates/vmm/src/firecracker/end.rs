//! How a machine ended, and the one line that says why.

use std::path::Path;

use process::Ending;

use crate::End;
use crate::groups;
use crate::logs::vmm_log;
use crate::text::last_lines;

/// How Firecracker marks a line that tells of a failure.
const FAILURE: &str = "ERROR]";

/// Says how. A guest has one way to end its machine, and Firecracker does not tell what for: it pulls the reset line.
pub(super) fn how(ending: Ending, folder: &Path) -> End {
    match ending {
        Ending::Exited(0) => return End::reset(),
        Ending::Headless => return format!("Firecracker was ended after {ending}").into(),
        Ending::Signalled(_) if groups::ran_out_of_memory(folder) => {
            return format!("Firecracker was ended by {ending}: its control group was out of memory").into();
        }
        Ending::Signalled(_) => return format!("Firecracker was ended by {ending}").into(),
        Ending::Exited(_) | Ending::Unknown => {}
    }
    let log = vmm_log(folder).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let failure = log.lines().rev().find(|line| line.contains(FAILURE));
    match (failure, ending) {
        (Some(line), _) => last_lines(line.as_bytes(), 1).into(),
        (None, Ending::Unknown) => End::unknown("Firecracker ended"),
        (None, known) => format!("Firecracker ended with {known}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::How;
    use std::fs;

    #[test]
    fn the_best_reason_known_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let how = |ending| how(ending, folder.path());
        let why = |ending| how(ending).reason;
        assert_eq!(how(Ending::Unknown), End::unknown("Firecracker ended"));
        assert_eq!(why(Ending::Exited(1)), "Firecracker ended with exit code 1");
        assert_eq!(how(Ending::Exited(0)), End::reset());
        assert_eq!(how(Ending::Exited(1)).how, How::Other);
        let log = "1 [x:main:ERROR] no memory\n2 [x:main:WARN] slow\n";
        fs::write(folder.path().join("vmm.log"), log).unwrap();
        assert_eq!(why(Ending::Unknown), "1 [x:main:ERROR] no memory");
        assert_eq!(why(Ending::Exited(148)), "1 [x:main:ERROR] no memory");
        assert_eq!(
            why(Ending::Headless),
            "Firecracker was ended after the end of its main thread"
        );
        assert_eq!(why(Ending::Signalled(9)), "Firecracker was ended by SIGKILL");
    }
}
