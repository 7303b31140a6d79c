//! Tools that a repository names for mise (<https://mise.jdx.dev>), installed in the guest by the guest's own mise.

use std::io;

use api::client::Client;
use api::{CreateVm, NetworkMode};
use workspace::{Guest, WorkspaceError};

use super::setup::Said;
use super::{Entered, downloads};
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;

/// Files by which mise knows a project, at its top.
const FILES: [&str; 3] = [".mise.toml", "mise.toml", ".tool-versions"];

/// Where mise lies in a guest if not on PATH: its own installer puts it there.
const INSTALLED: &str = "/root/.local/bin";
/// What an installation in the background prints, in the guest.
const LOG: &str = "/root/.cache/banger/mise.log";

/// The guest has no mise.
const NO_MISE: i32 = 90;

/// Makes the folder that downloads go to, if there is a mise to use them.
const ROOM: &str = r#"
PATH=$PATH:$1
command -v mise >/dev/null 2>&1 || exit 90
mkdir -p "$2"
"#;

/// Goes into a folder and installs what is named there: to the end, or with a log to go on by itself. It is the guest's
/// to trust: nothing else is in there. Where downloads are shared, those that are new stay, for the user to take out.
const SCRIPT: &str = r#"
cd "$1" || exit 1
PATH=$PATH:$2
command -v mise >/dev/null 2>&1 || exit 90
export PATH MISE_YES=1 MISE_TRUSTED_CONFIG_PATHS="$1"
[ -z "$4" ] || export MISE_ALWAYS_KEEP_DOWNLOAD=1
[ -n "$3" ] || exec mise install 2>&1 </dev/null
mkdir -p "${3%/*}" && : >"$3" || exit 1
setsid sh -c 'mise install; echo "mise install ended with $?"' </dev/null >"$3" 2>&1 &
"#;

/// When tools are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Before the command line ends.
    Foreground,
    /// While the user's shell is open.
    Background,
}

/// The file that asks for tools, of those that go.
pub(super) fn wanted_by(files: &[Vec<u8>]) -> Option<&'static str> {
    FILES
        .into_iter()
        .find(|name| files.iter().any(|file| file == name.as_bytes()))
}

/// Whether tools can be had in a VM that is asked for, before there is one.
///
/// # Errors
/// It has no network.
pub fn check(file: &str, request: &CreateVm) -> Result<(), Failure> {
    if request.network != Some(NetworkMode::None) {
        return Ok(());
    }
    let message = format!("the tools that {file} names are installed over the network, and this VM has none");
    Err(Failure::new(message).with_hint("--network user gives it one, --no-bootstrap leaves the tools out"))
}

/// Has the guest's mise install them. A guest without mise is a warning.
///
/// # Errors
/// mise fails, or the VM does not answer.
pub async fn install(
    client: &Client,
    (id, name): (&str, &str),
    (folder, file): (&str, &'static str),
    when: Bootstrap,
    quiet: bool,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let entered = Entered {
        client: client.clone(),
        id: id.to_owned(),
        name: name.to_owned(),
        guest_path: folder.to_owned(),
    };
    let shared = downloads::folder();
    if let Some(folder) = &shared {
        let argv = ["sh", "-c", ROOM, "banger", INSTALLED, downloads::THERE].map(str::to_owned);
        let made = entered
            .work(signals, true, move |guest| {
                guest
                    .run(&argv, Box::new(io::empty()), &mut io::sink())
                    .map_err(|source| WorkspaceError::Guest {
                        action: "install tools",
                        source,
                    })
            })
            .await?;
        // Without mise, that is what is said below.
        if made.code == 0 {
            downloads::give(client, id, folder.clone()).await?;
        }
    }
    let keep = shared.map_or("", |_| "keep");
    let log = match when {
        Bootstrap::Foreground => "",
        Bootstrap::Background => LOG,
    };
    if !quiet {
        let log = if log.is_empty() {
            String::new()
        } else {
            format!(", in the background: {name}:{LOG}")
        };
        render::note(&format!("  tools   mise installs what {file} names{log}"));
    }
    let argv = ["sh", "-c", SCRIPT, "banger", folder, INSTALLED, log, keep].map(str::to_owned);
    let ended = entered
        .work(signals, true, move |guest| {
            let mut said = Said::new(quiet);
            let ended = guest
                .run(&argv, Box::new(io::empty()), &mut said)
                .map_err(|source| WorkspaceError::Guest {
                    action: "install tools",
                    source,
                })?;
            if ended.code != 0 {
                said.show_what_was_kept();
            }
            Ok(ended)
        })
        .await?;
    match ended.code {
        0 => Ok(()),
        NO_MISE => {
            render::warning(&format!(
                "the VM has no mise: the tools that {file} names are not installed"
            ));
            Ok(())
        }
        code => Err(
            Failure::new(format!("`mise install` for {file} ended with {code}"))
                .with_hint("--no-bootstrap makes the VM without the tools"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_asked_for_by_files_at_the_top_alone() {
        let files = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(wanted_by(&files(&["README", "mise.toml"])), Some("mise.toml"));
        assert_eq!(wanted_by(&files(&[".tool-versions"])), Some(".tool-versions"));
        assert_eq!(wanted_by(&files(&["below/mise.toml", "mise.toml.orig"])), None);
    }
}
