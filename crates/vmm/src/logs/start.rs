//! Starting the log keeper of a machine.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use process::{Launch, Started};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::{KEEPER_RECORD, READY, VERB};
use crate::VmmError;

/// Longest excuse of a keeper that is read, in bytes.
const LONGEST_EXCUSE: u64 = 4096;

/// Where a VMM writes: the other ends are the keeper's.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) console: OwnedFd,
    pub(crate) log: OwnedFd,
}

/// A keeper that is to be started.
pub(crate) struct Keeper {
    program: PathBuf,
    launch: Launch,
    answer: io::PipeReader,
}

impl Keeper {
    /// Prepares the keeper of the logs in `folder`. `program` calls [`super::keep_logs_if_asked`].
    pub(crate) fn prepare(program: &Path, folder: &Path) -> Result<(Self, Inlets), VmmError> {
        let (log_end, log) = io::pipe().map_err(cannot_start(program))?;
        let (keeper, console) = Self::prepare_with_log(program, folder, log_end.into())?;
        let inlets = Inlets {
            console,
            log: log.into(),
        };
        Ok((keeper, inlets))
    }

    /// The same, where the VMM's messages come through a pipe that is there already. Gives the console's inlet.
    pub(crate) fn prepare_with_log(
        program: &Path,
        folder: &Path,
        log_end: OwnedFd,
    ) -> Result<(Self, OwnedFd), VmmError> {
        let pipe = || io::pipe().map_err(cannot_start(program));
        let (console_end, console) = pipe()?;
        let (answer, answer_end) = pipe()?;
        let mut launch = Launch::new(program, folder, folder.join(KEEPER_RECORD));
        launch.argument(VERB).output(answer_end.into());
        for end in [console_end.into(), log_end] {
            let number = launch.pass(end);
            launch.argument(number.to_string());
        }
        let keeper = Self {
            program: program.to_owned(),
            launch,
            answer,
        };
        Ok((keeper, console.into()))
    }

    /// Starts it and waits until it reads.
    pub(crate) async fn start(self) -> Result<Started, VmmError> {
        let program = &self.program;
        let started = self
            .launch
            .start()
            .await
            .map_err(io::Error::other)
            .map_err(cannot_start(program))?;
        let answer = pipe::Receiver::from_owned_fd(self.answer.into()).map_err(cannot_start(program))?;
        let mut said = Vec::new();
        let mut answer = answer.take(LONGEST_EXCUSE);
        while !said.ends_with(b"\n") {
            if answer.read_buf(&mut said).await.map_err(cannot_start(program))? == 0 {
                break;
            }
        }
        if said == READY.as_bytes() {
            return Ok(started);
        }
        let said = crate::text::last_lines(&said, 1);
        Err(cannot_start(program)(io::Error::other(format!(
            "it does not keep logs: {said}"
        ))))
    }
}

fn cannot_start(program: &Path) -> impl Fn(io::Error) -> VmmError {
    move |source| VmmError::Spawn {
        binary: program.to_owned(),
        source,
    }
}
