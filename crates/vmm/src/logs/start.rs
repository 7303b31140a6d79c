//! Handing a machine's pipes to the log keeper, which is started with a daemon's first machine.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use process::{Confinement, Handle, Kind, Launch, Limits, ProcessError, SystemCalls};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::Mutex;

use super::{LOGS, LONGEST_LOG, READY, VERB};
use crate::{Folder, VmmError};

/// Longest excuse of a keeper that is read, in bytes.
const LONGEST_EXCUSE: u64 = 4096;
/// How soon one is asked again that is busy with others.
const AGAIN: Duration = Duration::from_millis(1);

/// Where a confined keeper sees the machines' folders.
const MACHINES: &str = "/machines";

/// The keepers of this process, by their program and what the machines' folders lie in: one, where it is not a test that
/// has several.
static RUNNING: LazyLock<Mutex<HashMap<(PathBuf, PathBuf), Running>>> = LazyLock::new(Mutex::default);

/// A keeper. It sees the end of this process by its socket, and needs no record: it ends by itself.
struct Running {
    socket: OwnedFd,
    _process: Handle,
}

/// Where a VMM writes: the other ends are the keeper's.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) console: OwnedFd,
    pub(crate) log: OwnedFd,
}

/// What a keeper is to be handed of one machine.
pub(crate) struct Keeper {
    program: PathBuf,
    /// What the machine's folder lies in, and its name there. No descriptor of it: from one, a way leads up to the host's
    /// root, whatever the keeper itself is shown.
    machines: PathBuf,
    name: OsString,
    /// The reading ends, in the order of [`LOGS`].
    pipes: Vec<OwnedFd>,
}

impl Keeper {
    /// Prepares the logs in `folder`. `program` calls [`super::keep_logs_if_asked`].
    pub(crate) fn prepare(program: &Path, folder: &Folder) -> Result<(Self, Inlets), VmmError> {
        let (log_end, log) = io::pipe().map_err(cannot_start(program))?;
        let (keeper, console) = Self::prepare_with(program, folder, vec![log_end.into()])?;
        let inlets = Inlets {
            console,
            log: log.into(),
        };
        Ok((keeper, inlets))
    }

    /// The same, where what the VMM says beside the console comes through pipes that are there already. Gives the
    /// console's inlet.
    pub(crate) fn prepare_with(
        program: &Path,
        folder: &Folder,
        others: Vec<OwnedFd>,
    ) -> Result<(Self, OwnedFd), VmmError> {
        let (console_end, console) = io::pipe().map_err(cannot_start(program))?;
        let mut pipes = vec![console_end.into()];
        pipes.extend(others);
        let (Some(machines), Some(name)) = (folder.path().parent(), folder.path().file_name()) else {
            return Err(cannot_start(program)(io::ErrorKind::InvalidInput.into()));
        };
        let keeper = Self {
            program: program.to_owned(),
            machines: machines.to_owned(),
            name: name.to_owned(),
            pipes,
        };
        Ok((keeper, console.into()))
    }

    /// Has them kept from now on, until the VMM's ends are closed.
    pub(crate) async fn start(self) -> Result<(), VmmError> {
        let cannot = cannot_start(&self.program);
        if let Some(answer) = self.hand_over(false).await.map_err(&cannot)?
            && answer == READY.as_bytes()
        {
            return Ok(());
        }
        // It may have been ended by somebody; a new one is the same.
        let answer = self.hand_over(true).await.map_err(&cannot)?.unwrap_or_default();
        if answer == READY.as_bytes() {
            return Ok(());
        }
        let said = crate::text::last_lines(&answer, 1);
        Err(cannot(io::Error::other(format!("it does not keep logs: {said}"))))
    }

    /// Hands all of it to the keeper that runs, or to a new one, and gives its answer. `None`: it has ended.
    async fn hand_over(&self, anew: bool) -> io::Result<Option<Vec<u8>>> {
        let (answer, answer_end) = io::pipe()?;
        {
            let mut running = RUNNING.lock().await;
            let which = (self.program.clone(), self.machines.clone());
            if anew || !running.contains_key(&which) {
                let started = Running::start(&self.program, &self.machines).await?;
                running.insert(which.clone(), started);
            }
            let Some(running) = running.get(&which) else {
                return Ok(None);
            };
            let mut descriptors = vec![answer_end.as_fd()];
            descriptors.extend(self.pipes.iter().map(AsFd::as_fd));
            if !running.send(self.name.as_bytes(), &descriptors).await? {
                return Ok(None);
            }
        }
        drop(answer_end);
        let mut said = Vec::new();
        let mut answer = pipe::Receiver::from_owned_fd(answer.into())?.take(LONGEST_EXCUSE);
        answer.read_to_end(&mut said).await?;
        Ok(Some(said))
    }
}

impl Running {
    async fn start(program: &Path, machines: &Path) -> io::Result<Self> {
        let (socket, end) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut started = launch(program, machines, end.try_clone()?, Confined::Yes)?
            .start()
            .await;
        // A host without user namespaces. Whether that will do is said of the VMM, not of what it says.
        if let Err(ProcessError::Confine { .. }) = &started
            && Confinement::refused().is_some()
        {
            started = launch(program, machines, end, Confined::No)?.start().await;
        }
        let started = started.map_err(io::Error::other)?;
        Ok(Self {
            socket,
            _process: started.keep(),
        })
    }

    /// Whether it was there to be sent anything.
    async fn send(&self, name: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + LOGS.len()))];
        loop {
            let sent = {
                let mut rights = SendAncillaryBuffer::new(&mut space);
                if !rights.push(SendAncillaryMessage::ScmRights(descriptors)) {
                    return Err(io::Error::other("too many descriptors"));
                }
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                sendmsg(&self.socket, &[IoSlice::new(name)], &mut rights, flags)
            };
            match sent {
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => return Ok(false),
                Err(rustix::io::Errno::AGAIN) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether the keeper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confined {
    Yes,
    No,
}

/// A keeper reads what guests write: it sees no file but those of the machines, and programs.
fn launch(program: &Path, machines: &Path, socket: OwnedFd, confined: Confined) -> io::Result<Launch> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    let mut launch = Launch::unrecorded_of_opened(File::open(program)?.into(), program, "/");
    launch
        .argument(VERB)
        .argument(match confined {
            Confined::Yes => Path::new(MACHINES),
            Confined::No => machines,
        })
        .output(socket)
        .errors(nowhere.into())
        .limit(Limits {
            file_size: Some(LONGEST_LOG),
            ..Limits::default()
        })
        .filter(SystemCalls::deny(&Kind::OF_VMM));
    if confined == Confined::Yes {
        let mut confinement = Confinement::new(0);
        // The folders are this user's.
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        confinement
            .show_programs()
            .show_writable(machines, MACHINES)
            .become_user(user.as_raw(), group.as_raw());
        launch.confine(confinement);
    }
    Ok(launch)
}

fn cannot_start(program: &Path) -> impl Fn(io::Error) -> VmmError {
    move |source| VmmError::Spawn {
        binary: program.to_owned(),
        source,
    }
}
