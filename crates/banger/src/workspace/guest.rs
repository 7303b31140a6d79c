//! A VM as `workspace` sees a guest: a command with its streams, and a tar stream, each one call of the daemon's.
//!
//! `workspace` waits where it asks; so this lives on a thread of its own and lets the program's runtime do the work.

use std::io::{self, Read, Write};

use api::client::Client;
use guest::files::{WriteFiles, pipe};
use guest::frames::{Frame, MAX_PAYLOAD};
use tokio::io::{AsyncWriteExt, BufReader, split};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use workspace::{Ended, Guest, Input, Parcel, WorkspaceError};

use crate::render::Transfer;

/// Pieces of stdin that wait for the daemon.
const PIECES: usize = 8;

/// Most of a command's stderr that is kept: its end.
const COMPLAINT: usize = 8 << 10;

/// A running VM.
pub struct Remote {
    client: Client,
    vm: String,
    runtime: Handle,
    progress: Transfer,
    /// Becomes true when the user wants to get out.
    ended: watch::Receiver<bool>,
}

impl Remote {
    /// The VM with this id. `ended` breaks off what is under way.
    pub fn new(client: Client, vm: String, progress: Transfer, ended: watch::Receiver<bool>) -> Self {
        let runtime = Handle::current();
        Self {
            client,
            vm,
            runtime,
            progress,
            ended,
        }
    }

    /// Does it on the runtime, unless the user wants to get out.
    fn wait<T, E: Into<io::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> io::Result<T> {
        let mut ended = self.ended.clone();
        self.runtime.block_on(async {
            tokio::select! {
                outcome = work => outcome.map_err(Into::into),
                // Its sender gone means that nobody will.
                Ok(_) = ended.wait_for(|ended| *ended) => Err(io::ErrorKind::Interrupted.into()),
            }
        })
    }
}

impl Guest for Remote {
    fn run(&mut self, argv: &[String], input: Input, output: &mut dyn Write) -> io::Result<Ended> {
        let exec = guest::Exec {
            argv: argv.to_vec(),
            stdin: true,
            // Whoever the image says commands are run by: a workspace is made and read by root.
            user: Some("root".to_owned()),
            ..guest::Exec::default()
        };
        let mut progress = self.progress.clone();
        self.wait(async {
            let stream = self
                .client
                .exec(&self.vm, &exec)
                .await
                .map_err(io::Error::other)?;
            let (reader, mut writer) = split(stream);
            let mut pieces = read_apart(input);
            let feed = async {
                while let Some(piece) = pieces.recv().await {
                    progress.add(piece.len());
                    let last = piece.is_empty();
                    // A command that takes no more tells why by how it ends.
                    let sent = Frame::Stdin(piece).write(&mut writer).await;
                    if sent.is_err() || writer.flush().await.is_err() || last {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let mut ended = Ended::default();
            let follow = async {
                let mut reader = BufReader::with_capacity(128 << 10, reader);
                loop {
                    match Frame::read(&mut reader).await.map_err(io::Error::other)? {
                        Some(Frame::Stdout(bytes)) => output.write_all(&bytes)?,
                        Some(Frame::Stderr(bytes)) => {
                            ended.stderr.extend_from_slice(&bytes);
                            let over = ended.stderr.len().saturating_sub(COMPLAINT);
                            ended.stderr.drain(..over);
                        }
                        Some(Frame::Exit(exit)) => {
                            ended.code = exit.shell_code().into();
                            return Ok(());
                        }
                        Some(_) => {}
                        None => {
                            return Err(io::Error::other("the command's stream ended before the command"));
                        }
                    }
                }
            };
            let followed: io::Result<()> = tokio::select! {
                followed = follow => followed,
                () = feed => Ok(()),
            };
            followed.map(|()| ended)
        })
    }

    fn unpack(&mut self, folder: &str, parcel: Parcel) -> Result<(), WorkspaceError> {
        let (pieces, tar) = pipe();
        let mut progress = self.progress.clone();
        let packing = std::thread::spawn(move || {
            parcel.pack(&mut |piece| {
                progress.add(piece.len());
                let sent = pieces.blocking_send(Ok(piece));
                sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            })
        });
        let to = WriteFiles {
            path: folder.as_bytes().to_vec(),
            copy: false,
            archive: false,
        };
        let written = self.wait(async {
            let written = self.client.write_files(&self.vm, &to, tar).await;
            written.map_err(io::Error::other)
        });
        let packed = packing.join().unwrap_or(Ok(()));
        match (packed, written) {
            // What the guest says about a broken stream is only what it was told.
            (Err(failure @ WorkspaceError::Guest { .. }), Ok(_)) => Err(failure),
            (Err(failure), _) if !matches!(failure, WorkspaceError::Guest { .. }) => Err(failure),
            (_, Err(source)) => Err(WorkspaceError::Guest {
                action: "unpack the files",
                source,
            }),
            (_, Ok(_)) => Ok(()),
        }
    }
}

/// Reads on a thread of its own; an empty piece at the end.
fn read_apart(mut input: Input) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(PIECES);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; MAX_PAYLOAD];
            let mut length = 0;
            // Whole pieces: each is a frame of its own.
            while length < piece.len() {
                match input.read(&mut piece[length..]) {
                    Ok(0) => break,
                    Ok(read) => length += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // As if it had ended: whoever made it says why.
                    Err(_) => break,
                }
            }
            piece.truncate(length);
            if sender.blocking_send(piece).is_err() || length == 0 {
                return;
            }
        }
    });
    receiver
}
