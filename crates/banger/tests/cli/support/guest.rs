//! Commands in a guest: programs of this host, or a shell that tells what its terminal is given.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;

use api::ErrorCode;
use guest::frames::{Exit, Frame};
use guest::{Exec, WindowSize};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::daemon::State;
use super::routes::{Answer, body, failure, find_running, whole};

/// Runs a command in a VM, joined to the connection.
pub async fn exec(state: Arc<State>, reference: &str, mut request: Request<Incoming>) -> Answer {
    let vm = match find_running(&state, reference, "run a command in") {
        Ok(vm) => vm,
        Err(failure) => return *failure,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let mut exec: Exec = body(request).await;
    state.note(format!("exec {}", exec.argv.join(" ")));
    for word in exec.argv.iter_mut().chain(&mut exec.workdir) {
        *word = state.inside(word);
    }
    let words = exec.words().unwrap();
    let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
    let command = match exec.tty {
        Some(_) => None,
        None => match spawn(&exec, &words) {
            Ok(child) => Some(child),
            Err(response) => return *response,
        },
    };
    tokio::spawn(async move {
        let Ok(joined) = upgrade.await else {
            // The client has gone before it was told that the command runs.
            if let Some(child) = command {
                let group = Pid::from_raw(child.id().unwrap().cast_signed());
                let _ = killpg(group, Signal::SIGHUP);
            }
            return state.note("exec ended");
        };
        let (reader, writer) = split(TokioIo::new(joined));
        let run = async {
            match (command, exec.tty) {
                (Some(child), _) => run(child, reader, writer).await,
                (None, size) => shell(size, reader, writer).await,
            }
        };
        tokio::select! {
            () = run => {}
            () = state.death(&vm.id) => {}
        }
        state.note("exec ended");
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "banger-exec")
        .body(whole(""))
        .unwrap()
}

fn spawn(exec: &Exec, words: &[OsString]) -> Result<Child, Box<Answer>> {
    let program = &words[0];
    if program == "unfit" {
        return Err(Box::new(failure(
            ErrorCode::CommandNotExecutable,
            "`unfit` cannot be executed: permission denied",
            None,
        )));
    }
    let mut command = Command::new(program);
    command
        .args(&words[1..])
        .envs(&exec.env)
        // A guest's own is this machine's here: it stays as it is.
        .env("GIT_CONFIG_SYSTEM", "/proc/nonexistent/gitconfig")
        .current_dir(exec.workdir.as_deref().unwrap_or("/"))
        .stdin(if exec.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command.spawn().map_err(|_| {
        let message = format!("the guest has no command `{}`", program.display());
        Box::new(failure(ErrorCode::CommandNotFound, message, None))
    })
}

/// Joins a program to the stream, as the agent does.
async fn run<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut child: Child,
    mut reader: ReadHalf<S>,
    mut writer: WriteHalf<S>,
) {
    let group = Pid::from_raw(child.id().unwrap().cast_signed());
    let (frames, mut outgoing) = mpsc::channel(4);
    // Dropped with this future, they let go of the stream and end the program.
    let mut tasks = JoinSet::new();
    let out = pump(child.stdout.take().unwrap(), frames.clone(), Frame::Stdout);
    let err = pump(child.stderr.take().unwrap(), frames.clone(), Frame::Stderr);
    let mut stdin = child.stdin.take();
    tasks.spawn(async move {
        while let Ok(Some(frame)) = Frame::read(&mut reader).await {
            match frame {
                Frame::Stdin(bytes) if bytes.is_empty() => stdin = None,
                Frame::Stdin(bytes) => {
                    if let Some(stdin) = &mut stdin {
                        let _ = stdin.write_all(&bytes).await;
                    }
                }
                Frame::Signal(signal) => {
                    let _ = killpg(group, Signal::try_from(i32::from(signal)).unwrap());
                }
                _ => {}
            }
        }
        // The client has gone: a hang-up.
        let _ = killpg(group, Signal::SIGHUP);
    });
    tasks.spawn(async move {
        tokio::join!(out, err);
        let status = child.wait().await.unwrap();
        let exit = match status.signal() {
            Some(signal) => Exit::Signal(signal as u8),
            None => Exit::Code(status.code().unwrap() as u8),
        };
        let _ = frames.send(Frame::Exit(exit)).await;
    });
    while let Some(frame) = outgoing.recv().await {
        if frame.write(&mut writer).await.is_err() {
            // Let the program notice, too, before it is over.
            outgoing.close();
            while outgoing.recv().await.is_some() {}
            tasks.join_next().await;
            return;
        }
    }
}

async fn pump(mut stream: impl AsyncRead + Unpin, frames: mpsc::Sender<Frame>, kind: fn(Vec<u8>) -> Frame) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if frames.send(kind(buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// Says what it gets; `vim` takes the whole screen, `exit` ends it with code 7.
async fn shell<S: AsyncRead + AsyncWrite>(
    size: Option<WindowSize>,
    mut reader: ReadHalf<S>,
    mut writer: WriteHalf<S>,
) {
    let size = size.unwrap();
    let mut line = format!("shell {}x{}", size.rows, size.columns);
    loop {
        let said = Frame::Stdout(format!("{line}\r\n").into_bytes());
        if said.write(&mut writer).await.is_err() {
            return;
        }
        line = match Frame::read(&mut reader).await {
            Ok(Some(Frame::Stdin(bytes))) if bytes.starts_with(b"exit") => {
                let _ = Frame::Exit(Exit::Code(7)).write(&mut writer).await;
                return;
            }
            Ok(Some(Frame::Stdin(bytes))) if bytes.starts_with(b"vim") => "\x1b[?1049h\x1b[?25lvim".into(),
            Ok(Some(Frame::Stdin(bytes))) => format!("keys {bytes:?}"),
            Ok(Some(Frame::Resize(size))) => format!("size {}x{}", size.rows, size.columns),
            Ok(Some(frame)) => format!("{frame:?}"),
            Ok(None) | Err(_) => return,
        };
    }
}
