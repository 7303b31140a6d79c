//! The simulated machine itself: what the program `simulated-vmm` does.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agent::SimulatedAgent;
use super::{AGENT_SOCKET, CONSOLE_LOG, MachineFaults, PORT_SOCKET, port, stream};

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its folder.
    pub folder: PathBuf,
    /// How long the guest boots, beside what its faults say.
    pub boot_delay: Duration,
    /// Number of a descriptor that gets a byte when the machine listens.
    pub ready_descriptor: Option<u32>,
}

/// Runs a machine until its guest powers off, or for ever.
///
/// # Errors
/// What keeps the machine from running, for its standard error.
pub async fn run(options: Options) -> io::Result<()> {
    let faults = MachineFaults::read(&options.folder)?;
    if let Some(message) = faults.dies_at_start {
        return Err(io::Error::other(message));
    }
    // As long as it is kept, the signal comes here and nowhere else.
    let _term = faults
        .ignores_term
        .then(|| signal(SignalKind::terminate()))
        .transpose()?;
    // An earlier machine of this folder may have left one.
    for name in [AGENT_SOCKET, PORT_SOCKET] {
        let _ = std::fs::remove_file(options.folder.join(name));
    }
    let socket = options
        .folder
        .join(if faults.port { PORT_SOCKET } else { AGENT_SOCKET });
    let listener = UnixListener::bind(&socket)?;
    print(&options.folder, "booting")?;
    let booted = Instant::now() + options.boot_delay + Duration::from_millis(faults.boot_delay_ms);
    if let Some(number) = options.ready_descriptor {
        OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/fd/{number}"))?
            .write_all(b"+")?;
    }

    let (power_off, mut powered_off) = mpsc::channel(1);
    let agent = SimulatedAgent::new(&options.folder, power_off);
    let death = async {
        match faults.dies_after_ms {
            Some(delay) => tokio::time::sleep(Duration::from_millis(delay)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(death);
    let ended = loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                if faults.port {
                    tokio::spawn(port::serve(stream, options.folder.clone(), booted, agent.clone()));
                } else {
                    tokio::spawn(answer(stream, options.folder.clone(), booted, agent.clone()));
                }
            }
            Some(()) = powered_off.recv() => {
                print(&options.folder, "reboot: Power down")?;
                break Ok(());
            }
            () = &mut death => break Err(io::Error::other("the simulated machine died as it was told to")),
        }
    };
    let _ = std::fs::remove_file(&socket);
    ended
}

/// One line on the console.
fn print(folder: &Path, line: &str) -> io::Result<()> {
    let mut console = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(CONSOLE_LOG))?;
    console.write_all(format!("{line}\n").as_bytes())
}

async fn answer(mut stream: UnixStream, folder: PathBuf, booted: Instant, agent: SimulatedAgent) {
    let faults = match MachineFaults::read(&folder) {
        Ok(faults) => faults,
        Err(error) => {
            eprintln!("faults.json: {error}");
            return;
        }
    };
    let port = stream::read_connect(&mut stream).await;
    // Nothing listens in the guest: the VMM closes.
    if port != Some(guest::PORT) || faults.never_boots || Instant::now() < booted {
        return;
    }
    if stream.write_all(b"OK 1073741824\n").await.is_ok() {
        stream::follow(stream, &faults, |stream| agent.serve(stream)).await;
    }
}
