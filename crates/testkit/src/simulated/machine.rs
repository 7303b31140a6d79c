//! The simulated machine itself: what the program `simulated-vmm` does.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use guest::Shutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agent::SimulatedAgent;
use super::{AGENT_SOCKET, CONSOLE_LOG, MachineFaults, PORT_SOCKET, Then, port, stream};

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

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its guest took the power away.
    PoweredOff,
    /// Its guest reset it.
    Reset,
}

/// Runs a machine until its guest ends it, or for ever.
///
/// # Errors
/// What keeps the machine from running, for its standard error.
pub async fn run(options: Options) -> io::Result<Ended> {
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
    // A log tells of one run.
    let _ = std::fs::remove_file(options.folder.join(CONSOLE_LOG));
    print(&options.folder, "booting")?;
    let booted = Instant::now() + options.boot_delay + Duration::from_millis(faults.boot_delay_ms);
    if let Some(number) = options.ready_descriptor {
        OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/fd/{number}"))?
            .write_all(b"+")?;
    }

    if faults.panics_while_booting {
        print(
            &options.folder,
            "Kernel panic - not syncing: no working init found",
        )?;
        return Ok(Ended::Reset);
    }
    let (power_off, mut powered_off) = mpsc::channel(1);
    let agent = SimulatedAgent::new(&options.folder, power_off);
    let death = async {
        match faults.dies_after_ms {
            Some(delay) => tokio::time::sleep(Duration::from_millis(delay)).await,
            None => std::future::pending().await,
        }
    };
    let own_end = async {
        let Some(ends) = faults.ends else {
            return std::future::pending().await;
        };
        agent.configured().await;
        tokio::time::sleep(Duration::from_millis(ends.after_ms)).await;
        if let Some(how) = ends.word {
            agent.say(how).await;
        }
        if let Some(line) = &ends.prints {
            print(&options.folder, line)?;
        }
        Ok::<_, io::Error>(ends.then)
    };
    tokio::pin!(death, own_end);
    let mut done = false;
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
                if faults.no_power_button {
                    agent.say(Shutdown::PowerOff).await;
                    print(&options.folder, "reboot: Restarting system")?;
                    break Ok(Ended::Reset);
                }
                print(&options.folder, "reboot: Power down")?;
                break Ok(Ended::PoweredOff);
            }
            then = &mut own_end, if !done => {
                done = true;
                match then? {
                    Then::PowerOff => break Ok(Ended::PoweredOff),
                    Then::Reset => break Ok(Ended::Reset),
                    // The one thread stands still: what is connected stays so, and nothing answers.
                    Then::Halt => loop {
                        std::thread::park();
                    },
                    Then::LiveOn => {}
                }
            },
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
    agent.has_stood_still(Duration::from_millis(faults.stood_still_ms));
    if port != Some(guest::PORT) || faults.never_boots || Instant::now() < booted {
        return;
    }
    if stream.write_all(b"OK 1073741824\n").await.is_ok() {
        stream::follow(stream, &faults, |stream| agent.serve(stream)).await;
    }
}
