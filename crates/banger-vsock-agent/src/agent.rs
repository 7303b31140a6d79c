//! The agent as a process: one thread, one runtime, the channel that the machine has.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::init::{powers_off_by_reset, survive_memory_shortage};
use crate::server::MAX_COPIES;
use crate::system::{Guest, System as _};
use crate::{channel, farewell, kernel_log, power};

/// Rest between two looks for a channel.
const LOOK: Duration = Duration::from_millis(5);

/// How long a channel may take to appear: its driver is loaded by now, its device is found a moment later.
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine with vsock and no port.
const VSOCK: &str = "/dev/vsock";

/// Serves this guest until the channel fails.
///
/// `handover` gets one byte after the first `configure` that was carried out: PID 1 waits for it before it executes
/// the image's init, so that the init finds the machine's identity in place.
///
/// # Errors
/// No channel came up, or the one there was has failed.
pub fn run_agent(handover: Option<OwnedFd>) -> io::Result<()> {
    survive_memory_shortage();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Configuring and shutting down block; no more than one of each has work at a time. So do copies.
        .max_blocking_threads(2 + MAX_COPIES)
        .thread_stack_size(256 << 10)
        .build()?;
    runtime.block_on(serve(Arc::new(Guest::new(handover))))
}

async fn serve(system: Arc<Guest>) -> io::Result<()> {
    let told = Arc::clone(&system);
    tokio::spawn(async move {
        if let Err(error) = farewell::listen(told.farewell()).await {
            say(&format!("cannot be told how the machine ends: {error}"));
        }
    });
    if powers_off_by_reset() {
        let left = Arc::clone(&system);
        tokio::spawn(async move {
            match kernel_log::powered_down().await {
                Ok(()) => drop(tokio::task::spawn_blocking(move || power::power_off(left.farewell())).await),
                Err(error) => say(&format!("cannot follow the kernel's log: {error}")),
            }
        });
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(path) = channel::find_port()? {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(port) => return channel::serve_port(port.into(), system).await,
                // The name is there a moment before the node in `/dev`.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        } else if Path::new(VSOCK).exists() {
            return channel::serve_vsock(system).await;
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("neither a port `{}` nor {VSOCK}", channel::PORT_NAME),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A line in the kernel's log, which is what stderr is; in one write, since each is an entry of its own.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("banger-vsock-agent: {line}\n").as_bytes());
}
