//! A machine that is this process: the real agent behind a Unix socket, and the host's own client in front of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use banger_vsock_agent::{Hosted, System, channel, serve_connection};
use guest::frames::{Exit, Frame};
use guest::{Agent, Channel, Exec, ExecStream};
use rustix::event::{PollFd, PollFlags, poll as poll_now};
use rustix::time::Timespec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The boot id of every such machine.
pub const BOOT_ID: &str = "0c2e9f4e-6d3c-4f83-a2f5-1d2a3b4c5d6e";

/// A machine; its agent ends with it.
pub struct Machine {
    pub folder: tempfile::TempDir,
    pub channel: Channel,
    pub system: Arc<Hosted>,
    task: JoinHandle<()>,
}

impl Machine {
    /// One whose streams are connections, as on Firecracker.
    pub fn with_vsock() -> Self {
        Self::start(
            |socket| Channel::Vsock { socket },
            |listener, system| async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let system: Arc<dyn System> = system.clone();
                    tokio::spawn(async move {
                        let mut line = [0; 14];
                        stream.read_exact(&mut line).await.unwrap();
                        assert_eq!(&line, b"CONNECT 42070\n");
                        stream.write_all(b"OK 1073741824\n").await.unwrap();
                        serve_connection(Whole::new(stream), system).await;
                    });
                }
            },
        )
    }

    /// One with a port, as on QEMU: one host at a time, and the end of each is seen by reading nothing.
    pub fn with_port() -> Self {
        Self::start(
            |socket| Channel::VirtioSerial { socket },
            |listener, system| async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let port = OwnedFd::from(stream.into_std().unwrap());
                    let served = channel::serve_port(port, system.clone());
                    // A socket, unlike a port, does not come back: the next host gets another.
                    tokio::select! {
                        _ = served => {}
                        () = next_host(&listener) => {}
                    }
                }
            },
        )
    }

    fn start<F>(channel: fn(PathBuf) -> Channel, serve: impl FnOnce(UnixListener, Arc<Hosted>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let system = Arc::new(Hosted::new(BOOT_ID));
        let task = tokio::spawn(serve(listener, Arc::clone(&system)));
        Self {
            folder,
            channel: channel(socket),
            system,
            task,
        }
    }

    pub async fn agent(&self) -> Agent {
        Agent::connect(&self.channel).await.unwrap()
    }

    /// A path that this machine's test may use.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A connection as Firecracker carries it: what the guest shuts down is not told to the host, and what the host shuts down
/// ends both directions.
struct Whole {
    inner: UnixStream,
    ended: bool,
}

impl Whole {
    fn new(inner: UnixStream) -> Self {
        Self { inner, ended: false }
    }
}

impl AsyncRead for Whole {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        this.ended |=
            matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0;
        read
    }
}

impl AsyncWrite for Whole {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when another host has connected, which stays to be accepted.
async fn next_host(listener: &UnixListener) {
    loop {
        let mut poll = [PollFd::new(listener, PollFlags::IN)];
        let none = Timespec::default();
        if poll_now(&mut poll, Some(&none)).unwrap() > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// How a command ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

/// A shell command.
pub fn sh(script: &str) -> Exec {
    argv(&["sh", "-c", script])
}

/// A command by its arguments.
pub fn argv(arguments: &[&str]) -> Exec {
    Exec {
        argv: arguments.iter().map(ToString::to_string).collect(),
        ..Exec::default()
    }
}

/// Runs a command without input to its end.
pub async fn run(agent: &Agent, exec: &Exec) -> Outcome {
    collect(&mut agent.exec(exec).await.unwrap()).await
}

/// Reads a command's output to its end.
pub async fn collect(stream: &mut ExecStream) -> Outcome {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match Frame::read(stream).await.unwrap().expect("an exit comes last") {
            Frame::Stdout(bytes) => stdout.extend(bytes),
            Frame::Stderr(bytes) => stderr.extend(bytes),
            Frame::Exit(exit) => {
                assert_eq!(
                    Frame::read(stream).await.unwrap(),
                    None,
                    "nothing comes after the exit"
                );
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return Outcome {
                    exit,
                    stdout: text(stdout),
                    stderr: text(stderr),
                };
            }
            other => panic!("not for the host: {other:?}"),
        }
    }
}

/// Sends a frame.
pub async fn send(stream: &mut ExecStream, frame: Frame) {
    frame.write(stream).await.unwrap();
    stream.flush().await.unwrap();
}

/// Reads output until it holds `text`; gives all of it.
pub async fn read_until(stream: &mut ExecStream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match Frame::read(stream).await.unwrap() {
            Some(Frame::Stdout(bytes) | Frame::Stderr(bytes)) => seen += str::from_utf8(&bytes).unwrap(),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}

/// Waits until a condition of the outside world holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    // The name may hold anything; the state follows its last parenthesis.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Opens a stream as the host would, says something on it that the client would not, and gives what comes back.
pub async fn raw(machine: &Machine, bytes: &[u8], then_close: bool) -> Vec<u8> {
    let Channel::Vsock { socket } = &machine.channel else {
        panic!("connections only");
    };
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(b"CONNECT 42070\n").await.unwrap();
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).await.unwrap();
    let _ = stream.write_all(bytes).await;
    if then_close {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}
