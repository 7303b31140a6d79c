//! Takes the place of the real agent inside a guest, and lies as it is asked to: see `testkit::hostile`.
//!
//! ```text
//!  banger vm exec VM -- hostile-agent take             the real agent is killed, this one answers
//!  banger vm exec VM -- hostile-agent tell LIE [S]     every request is lied to from now on, for S seconds
//!  banger vm exec VM -- hostile-agent tell truth
//! ```
//! A command of this program's own is always run in truth: so a host comes through to it. A lie of the channel itself
//! lets nothing through, and needs its seconds.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_vsock_agent::channel::{HostPort, each_on_vsock, find_port};
use banger_vsock_agent::init::{AGENT_NAME, KEEPER_NAME};
use banger_vsock_agent::{Guest, System, serve_connection};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, setsid};
use testkit::Lie;
use testkit::hostile::{follow, lie_on_connection, serve_channel};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::FuturesAsyncReadCompatExt;

/// What this program is called, in requests that are answered in truth.
const NAME: &[u8] = b"hostile-agent";
/// Where the lie is written down: its name, and the second of this boot that it ends at.
const LIE: &str = "/run/hostile-agent.lie";
/// The group of processes that no command's end takes along.
const OUTSIDE: &str = "/sys/fs/cgroup/cgroup.procs";
/// How long the real agent may take to let go of its port.
const LETTING_GO: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["take"] => take(),
        ["serve"] => serve(),
        ["tell", lie] => tell(lie, None),
        ["tell", lie, seconds] => tell(lie, seconds.parse().ok()),
        _ => Err(io::Error::other("usage: hostile-agent take | tell LIE [SECONDS]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hostile-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Seconds since this machine booted.
fn now() -> io::Result<i64> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.tv_sec())
}

fn tell(lie: &str, seconds: Option<i64>) -> io::Result<()> {
    if lie != "truth" && Lie::named(lie).is_none() {
        return Err(io::Error::other(format!("no lie is called {lie}")));
    }
    let until = seconds.map_or(Ok(i64::MAX), |seconds| Ok::<_, io::Error>(now()? + seconds))?;
    fs::write(format!("{LIE}.new"), format!("{lie} {until}"))?;
    fs::rename(format!("{LIE}.new"), LIE)
}

/// The lie of this moment.
fn lie() -> Option<Lie> {
    let written = fs::read_to_string(LIE).ok()?;
    let (lie, until) = written.split_once(' ')?;
    let until: i64 = until.parse().ok()?;
    Lie::named(lie).filter(|_| now().is_ok_and(|now| now < until))
}

/// Starts what takes the agent's place, apart from this command, and returns once it is apart.
fn take() -> io::Result<()> {
    // As this one was started: by a loader that was brought along, where the guest has other libraries.
    let line = fs::read("/proc/self/cmdline")?;
    let words: Vec<&OsStr> = line.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
    // The last word is `take`, with an end of its own.
    let before = words.get(1..words.len().saturating_sub(2)).unwrap_or_default();
    let mut child = Command::new("/proc/self/exe")
        .args(before)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    output.read_exact(&mut [0])
}

/// Ends the real agent and answers in its place, until the machine ends.
fn serve() -> io::Result<()> {
    let _ = setsid();
    // Machines without groups have nothing to leave.
    let _ = fs::write(OUTSIDE, std::process::id().to_string());
    // The command that started this one is to end before what carries its answer does.
    let command = parent_id();
    println!();
    wait(|| parent_id() != command)?;
    end_agent()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(answer())
}

/// Stops what would start an agent again, and kills the one there is.
fn end_agent() -> io::Result<()> {
    for (name, signal) in [(KEEPER_NAME, Signal::SIGSTOP), (AGENT_NAME, Signal::SIGKILL)] {
        for entry in fs::read_dir("/proc")?.flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            if let Some(pid) = pid.filter(|_| line.split(|byte| *byte == 0).next() == Some(name.as_bytes())) {
                kill(Pid::from_raw(pid), signal)?;
            }
        }
    }
    Ok(())
}

fn wait(mut happened: impl FnMut() -> bool) -> io::Result<()> {
    let since = Instant::now();
    while !happened() {
        if since.elapsed() > LETTING_GO {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

async fn answer() -> io::Result<()> {
    let system: Arc<dyn System> = Arc::new(Guest::new(None));
    match find_port()? {
        Some(path) => on_port(&path, system).await,
        None => {
            each_on_vsock(move |stream| {
                let system = Arc::clone(&system);
                async move {
                    match lie() {
                        Some(first) if first.is_of_the_wire() => lie_on_connection(stream, first, lie).await,
                        lie => by_request(stream, lie, system).await,
                    }
                }
            })
            .await
        }
    }
}

async fn on_port(path: &Path, system: Arc<dyn System>) -> io::Result<()> {
    let mut port = None;
    wait(|| {
        // One process at a time has it open.
        port = OpenOptions::new().read(true).write(true).open(path).ok();
        port.is_some()
    })?;
    let port = HostPort::new(port.ok_or(io::ErrorKind::NotFound)?.into())?;
    serve_channel(port, lie, |stream, lie| {
        tokio::spawn(by_request(stream.compat(), lie, Arc::clone(&system)));
    })
    .await;
    Ok(())
}

/// Lies, but to a command of this program's own.
async fn by_request(stream: impl AsyncRead + AsyncWrite + Unpin, lie: Option<Lie>, system: Arc<dyn System>) {
    let steers = |request: &[u8]| request.windows(NAME.len()).any(|window| window == NAME);
    let lie = |request: &[u8]| lie.filter(|_| !steers(request));
    follow(stream, lie, |stream| serve_connection(stream, system)).await;
}
