//! The image's sshd, started for one connection each and joined to the host's stream.
//!
//! `sshd -i` with a configuration of banger's own: no port is opened, nothing waits for the image's units, none of the
//! image's or the user's files (`/etc/ssh`, `~/.ssh`) is read or written, and an image whose sshd is switched off or
//! set up for the world is reached all the same. What it needs lies in `/run`, new at each boot.

mod files;

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guest::{Problem, ProblemCode, Ssh};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::carry::Carry;
use crate::exec::{Commands, Service};
use crate::problem::{internal, problem};
use files::Files;

/// Where images keep it. It insists on being called by its whole path.
const PLACES: [&str; 4] = [
    "/usr/sbin/sshd",
    "/usr/local/sbin/sshd",
    "/usr/bin/sshd",
    "/sbin/sshd",
];

/// How long it may take to greet.
const GREETING: Duration = Duration::from_secs(30);

/// Longest first piece of what it says.
const PIECE: usize = 4 << 10;

/// Bytes on their way in either direction.
const BUFFER: usize = 64 << 10;

/// Longest complaint of sshd's that is passed on.
const LONGEST_COMPLAINT: usize = 400;

/// The sshd of a machine.
#[derive(Debug)]
pub struct SshService {
    /// None: a stand-in that has no sshd.
    files: Option<Arc<Mutex<Files>>>,
}

/// A server that has said its first word.
#[derive(Debug)]
pub(crate) struct Greeted {
    service: Service,
    socket: UnixStream,
    greeting: Vec<u8>,
}

impl SshService {
    /// The one of the guest that the agent runs in.
    pub(crate) fn in_guest() -> Self {
        Self {
            files: Some(Arc::new(Mutex::new(Files::below("/".into())))),
        }
    }

    /// None at all.
    pub(crate) fn absent() -> Self {
        Self { files: None }
    }

    /// Path of the server.
    pub(crate) fn sshd(&self) -> Option<&'static Path> {
        self.files.as_ref()?;
        PLACES.into_iter().map(Path::new).find(|path| path.is_file())
    }

    /// Starts a server and waits for its greeting, so that what keeps it from serving is the answer.
    pub(crate) async fn connect(&self, commands: &Commands, ssh: Ssh) -> Result<Greeted, Problem> {
        files::check(&ssh)?;
        let (Some(files), Some(sshd)) = (&self.files, self.sshd()) else {
            return Err(problem(ProblemCode::CommandNotFound, "the guest has no sshd"));
        };
        let (files, variables) = (Arc::clone(files), commands.environment());
        let config = tokio::task::spawn_blocking(move || {
            // One at a time: all connections share the files.
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.write(&ssh, &variables)
        })
        .await
        .map_err(|error| internal("cannot set up sshd", error))?
        .map_err(|error| internal("cannot set up sshd", error))?;
        let (ours, theirs) =
            StdUnixStream::pair().map_err(|error| internal("cannot make a socket for sshd", error))?;
        let mut command = Command::new(sshd);
        command.arg("-i").arg("-f").arg(&config);
        let service = commands.serve(command, theirs.into()).await?;
        let greeted = Greeted::hear(service, ours);
        match timeout(GREETING, greeted).await {
            Ok(Ok(Some(greeted))) => Ok(greeted),
            Ok(Ok(None)) => Err(internal("sshd ended at once", complaint(sshd, &config).await)),
            Ok(Err(error)) => Err(internal("sshd is not to be heard", error)),
            Err(_) => Err(internal("sshd is not to be heard", "it says nothing")),
        }
    }
}

impl Greeted {
    /// None: it ended without a word.
    async fn hear(service: Service, socket: StdUnixStream) -> io::Result<Option<Self>> {
        socket.set_nonblocking(true)?;
        let mut socket = UnixStream::from_std(socket)?;
        let mut greeting = Vec::with_capacity(PIECE);
        if socket.read_buf(&mut greeting).await? == 0 {
            service.ended().await;
            return Ok(None);
        }
        Ok(Some(Self {
            service,
            socket,
            greeting,
        }))
    }
}

impl Carry for Greeted {
    /// A host that goes away is an end of file to the server, which then does with its sessions what every sshd does whose
    /// client is gone.
    async fn carry<S: AsyncRead + AsyncWrite + Send + Unpin>(self, mut stream: S) -> bool {
        let Self {
            service,
            mut socket,
            greeting,
        } = self;
        let carried = async {
            stream.write_all(&greeting).await?;
            stream.flush().await?;
            copy_bidirectional_with_sizes(&mut stream, &mut socket, BUFFER, BUFFER).await
        };
        // Either side's breaking is the other's end.
        let in_order = carried.await.is_ok();
        drop((stream, socket));
        service.ended().await;
        in_order
    }
}

/// What sshd has against its configuration. Started for a connection it tells only the system's log.
async fn complaint(sshd: &Path, config: &PathBuf) -> String {
    let mut command = Command::new(sshd);
    command.arg("-t").arg("-f").arg(config).stdin(Stdio::null());
    let text = match timeout(GREETING, command.kill_on_drop(true).output()).await {
        Ok(Ok(output)) => output.stderr,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => Vec::new(),
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map_or_else(
        || "its log in the guest may say why".to_owned(),
        |line| line.chars().take(LONGEST_COMPLAINT).collect(),
    )
}
