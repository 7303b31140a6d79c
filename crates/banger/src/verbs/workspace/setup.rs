//! The commands by which a repository makes a VM ready, in its folder there.

use std::io::{self, IsTerminal, Write};

use api::client::Client;
use workspace::{Guest, WorkspaceError};

use super::Entered;
use crate::failure::Failure;
use crate::render::{self, TerminalFilter};
use crate::terminal::Signals;

/// Goes into a folder and runs a command of the shell's there, with its complaints in the order of its output.
const SCRIPT: &str = "cd \"$1\" && exec sh -c \"$2\" 2>&1";

/// Runs them one after the other; what they print goes to stderr.
///
/// # Errors
/// One of them fails; those after it are not run.
pub async fn set_up(
    client: &Client,
    (id, name): (&str, &str),
    folder: &str,
    commands: &[String],
    quiet: bool,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let entered = Entered {
        client: client.clone(),
        id: id.to_owned(),
        name: name.to_owned(),
        guest_path: folder.to_owned(),
    };
    for command in commands {
        let shown = render::one_line(command);
        if !quiet {
            render::note(&format!("  setup   {shown}"));
        }
        let argv = ["sh", "-c", SCRIPT, "banger", folder, command].map(str::to_owned);
        let ended = entered
            .work(signals, true, move |guest| {
                let mut said = Said::new(quiet);
                let ended = guest
                    .run(&argv, Box::new(io::empty()), &mut said)
                    .map_err(|source| WorkspaceError::Guest {
                        action: "run the setup",
                        source,
                    })?;
                if ended.code != 0 {
                    said.show_what_was_kept();
                }
                Ok(ended)
            })
            .await?;
        if ended.code != 0 {
            let message = format!(
                "the setup command `{shown}` of .banger.toml ended with {}",
                ended.code
            );
            return Err(Failure::new(message).with_hint("--no-config makes the VM without it"));
        }
    }
    Ok(())
}

/// Where a command's output goes: to stderr at once, or its end kept for when it is asked for.
pub(super) struct Said {
    quiet: bool,
    filter: Option<TerminalFilter>,
    kept: Vec<u8>,
}

impl Said {
    /// Most of it that is kept.
    const KEPT: usize = 8 << 10;

    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            filter: io::stderr().is_terminal().then(TerminalFilter::default),
            kept: Vec::new(),
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        let mut stderr = io::stderr().lock();
        // There is nobody to tell that stderr is gone.
        let _ = match &mut self.filter {
            Some(filter) => stderr.write_all(filter.filter(bytes).as_bytes()),
            None => stderr.write_all(bytes),
        };
    }

    pub(super) fn show_what_was_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.show(&kept);
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.quiet {
            self.kept.extend_from_slice(bytes);
            let over = self.kept.len().saturating_sub(Self::KEPT);
            self.kept.drain(..over);
        } else {
            self.show(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
