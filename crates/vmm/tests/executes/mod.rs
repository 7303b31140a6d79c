//! Whether guests execute here: a host can open `/dev/kvm` and still run none. A bare Firecracker boots a kernel that
//! prints.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::elf::printing_kernel;

const PRINTED: &str = "a guest executes";
/// A guest prints within milliseconds; one that has not by then never does.
const PATIENCE: Duration = Duration::from_secs(20);

/// Boots a guest and waits for what it prints.
///
/// # Errors
/// Why it does not, in a line.
pub fn guests_execute(firecracker: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), printing_kernel(PRINTED)).unwrap();
    let config = serde_json::json!({
        "boot-source": {"kernel_image_path": "kernel", "boot_args": "console=ttyS0"},
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 64},
        "drives": [],
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let started = Command::new(firecracker)
        .args(["--no-api", "--config-file", "config.json"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut vmm = started.map_err(|error| format!("{}: {error}", firecracker.display()))?;
    let printed = printed_by(&mut vmm);
    vmm.kill().unwrap();
    vmm.wait().unwrap();
    match printed {
        Ok(true) => Ok(()),
        Ok(false) => Err("no guest executes on this host's /dev/kvm: its VMM ends".into()),
        Err(_) => Err("no guest executes on this host's /dev/kvm: its first instruction never does".into()),
    }
}

/// Whether the guest prints before its VMM ends; an error if neither comes.
fn printed_by(vmm: &mut Child) -> Result<bool, mpsc::RecvTimeoutError> {
    let mut console = vmm.stdout.take().unwrap();
    let (sender, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut text, mut bytes) = (String::new(), [0; 256]);
        while let Ok(count @ 1..) = console.read(&mut bytes) {
            text += &String::from_utf8_lossy(&bytes[..count]);
            if text.contains(PRINTED) {
                let _ = sender.send(true);
            }
        }
        let _ = sender.send(false);
    });
    printed.recv_timeout(PATIENCE)
}
