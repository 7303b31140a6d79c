//! Memory that nobody in the guest uses goes back to the host.
//!
//! The balloon's driver does it: the kernel tells it of free pages, and it tells the VMM. It is loaded here, after the
//! guest is ready, since no boot has to wait for it.

use std::fs::File;
use std::io::{self, Write};
use std::thread;

use rustix::io::Errno;

/// The driver, below `/lib/modules/<release>`. What it needs (`virtio`, `virtio_ring`) every guest has booted with.
const DRIVER: &str = "kernel/drivers/virtio/virtio_balloon.ko";

/// Begins to give memory back. Fine if that has begun already.
pub(crate) fn give_back() {
    // Apart, since whoever configures the guest waits for an answer. Failing that, memory is kept, as ever.
    let _ = thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(|| match load_driver() {
            Ok(()) => {}
            // In one write: stderr is the kernel's log, where each is an entry of its own.
            Err(error) => {
                let line = format!("banger-vsock-agent: free memory stays with the guest: {error}\n");
                let _ = io::stderr().write_all(line.as_bytes());
            }
        });
}

fn load_driver() -> io::Result<()> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let file = match File::open(format!("/lib/modules/{release}/{DRIVER}")) {
        Ok(file) => file,
        // Built in, or a kernel that has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match rustix::system::finit_module(&file, c"", 0) {
        // The image's own device manager was faster.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
