//! The end of a machine with systemd: what PID 1 executes when nothing else runs any more.
//!
//! systemd returns to the initramfs at the end, if there is one to return to: it makes [`FOLDER`] its root, with the old
//! one at `/oldroot`, and executes `/shutdown` there with what is to be done (<https://systemd.io/INITRD_INTERFACE/>). By
//! then processes have ended and file systems are unmounted or read-only. Whatever it cannot return to it does by itself.
//!
//! The folder holds no file: `/shutdown` is a link to the binary that the agent's keeper runs, which lives until then.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use guest::Shutdown;
use rustix::system::{RebootCommand, reboot};

use super::super::power;
use crate::{farewell, power as agent_power};

/// Where systemd looks.
pub(super) const FOLDER: &str = "/run/initramfs";

/// `argv[0]` of what it executes.
pub const LAST_PROGRAM: &str = "/shutdown";

/// What systemd mounts into the folder, or moves there.
const PLACES: [&str; 5] = ["dev", "oldroot", "proc", "run", "sys"];

/// Puts the folder there, unless the image's initrd has: then the end is that one's.
pub(in crate::init) fn offer(folder: &Path, keeper: u32) -> io::Result<()> {
    let program = folder.join("shutdown");
    if fs::symlink_metadata(&program).is_ok() {
        return Ok(());
    }
    for place in PLACES {
        fs::create_dir_all(folder.join(place))?;
    }
    symlink(format!("/proc/{keeper}/exe"), program)
}

/// What PID 1 does as that program: it tells the host what it is about to do, and does it.
pub fn end_for_systemd(arguments: &[OsString]) -> ! {
    power::never_panic();
    let verb = arguments.first().and_then(|verb| verb.to_str());
    agent_power::write_out();
    if verb == Some("kexec") {
        // The machine goes on with another kernel. Comes back where none was loaded; systemd reboots then.
        let _ = reboot(RebootCommand::Kexec);
    }
    let how = meant_by(verb.unwrap_or_default());
    farewell::tell(how);
    power::end(how)
}

fn meant_by(verb: &str) -> Shutdown {
    match verb {
        "reboot" | "kexec" => Shutdown::Reboot,
        "halt" => Shutdown::Halt,
        // Whatever else there will be, a machine that is off is asked for less than one that comes again and again.
        _ => Shutdown::PowerOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_finds_a_root_with_a_program_that_is_the_keepers() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("initramfs");
        let own = std::process::id();
        offer(&folder, own).unwrap();
        for place in PLACES {
            assert!(folder.join(place).is_dir(), "{place}");
        }
        assert_eq!(
            fs::read(folder.join("shutdown")).unwrap(),
            fs::read("/proc/self/exe").unwrap()
        );
        // Asked again, it is no other, and what an initrd has put there stays.
        offer(&folder, 1).unwrap();
        assert_eq!(
            fs::read_link(folder.join("shutdown")).unwrap(),
            Path::new(&format!("/proc/{own}/exe"))
        );
    }

    #[test]
    fn each_verb_of_systemds_has_its_word() {
        for (verb, how) in [
            ("poweroff", Shutdown::PowerOff),
            ("halt", Shutdown::Halt),
            ("reboot", Shutdown::Reboot),
            ("kexec", Shutdown::Reboot),
            ("", Shutdown::PowerOff),
        ] {
            assert_eq!(meant_by(verb), how, "{verb}");
        }
    }
}
