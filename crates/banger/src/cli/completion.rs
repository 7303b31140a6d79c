//! `banger completion`, and what completes which argument.
//!
//! Arguments are told apart by their value's name, so that a new verb that takes a `REF` completes without a word
//! about it.

use std::ffi::{OsStr, OsString};

use clap::{Args, Command, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::verbs::names::{self, Kind};

/// Set by the scripts, to the shell that asks.
pub const VARIABLE: &str = "BANGER_COMPLETE";

/// `banger completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// Shell to print it for: bash, zsh or fish.
    #[arg(value_name = "SHELL", value_enum, hide_possible_values = true)]
    pub shell: Shell,
}

/// A shell that can be taught to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

impl Shell {
    /// The script that makes this shell ask `completer`, a program, for completions of `banger`.
    ///
    /// # Errors
    /// None that a buffer in memory gives.
    pub fn script(self, completer: &str) -> std::io::Result<Vec<u8>> {
        let adapter: &dyn EnvCompleter = match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
        };
        let mut script = Vec::new();
        adapter.write_registration(VARIABLE, "banger", "banger", completer, &mut script)?;
        Ok(script)
    }
}

/// Tells of each argument that holds a name what it can be.
pub fn with_completers(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let name = argument.get_value_names().and_then(<[_]>::first).cloned();
            let completer = match name.as_deref() {
                Some("REF") => ArgValueCompleter::new(Names(Kind::Vm)),
                Some("IMAGE") => ArgValueCompleter::new(Names(Kind::Image)),
                Some("KERNEL") => ArgValueCompleter::new(Names(Kind::Kernel)),
                Some("SRC" | "DST" | "SOURCE" | "DESTINATION") => ArgValueCompleter::new(Place),
                _ => return argument,
            };
            argument.add(completer)
        })
        .mut_subcommands(with_completers)
}

/// Names that the daemon knows.
struct Names(Kind);

impl ValueCompleter for Names {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(current) = current.to_str() else {
            return Vec::new();
        };
        let known = names::known(self.0, socket_in(std::env::args_os()));
        let fitting = known.into_iter().filter(|known| known.name.starts_with(current));
        fitting
            .map(|known| CompletionCandidate::new(known.name).help(known.about.map(Into::into)))
            .collect()
    }
}

/// A file of this host, or a VM's name and a colon.
struct Place;

impl ValueCompleter for Place {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let mut candidates = PathCompleter::any().complete(current);
        let vms = Names(Kind::Vm).complete(current).into_iter();
        candidates.extend(vms.map(|vm| {
            let mut text = vm.get_value().to_owned();
            text.push(":");
            CompletionCandidate::new(text).help(vm.get_help().cloned())
        }));
        candidates
    }
}

/// The daemon that the unfinished command line names.
fn socket_in(arguments: impl Iterator<Item = OsString>) -> Option<OsString> {
    let mut words = arguments.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--") => return None,
            Some("--socket") => return words.next(),
            Some(word) if word.starts_with("--socket=") => {
                return word.strip_prefix("--socket=").map(Into::into);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_an_unfinished_command_line_is_found() {
        let found = |words: &[&str]| {
            socket_in(words.iter().map(Into::into)).map(|socket| socket.into_string().unwrap())
        };
        assert_eq!(
            found(&["banger", "--", "banger", "vm", "--socket", "/a", "stop"]),
            Some("/a".into())
        );
        assert_eq!(
            found(&["banger", "--", "banger", "--socket=/b", "vm"]),
            Some("/b".into())
        );
        assert_eq!(
            found(&[
                "banger", "--", "banger", "vm", "exec", "x", "--", "--socket", "/c"
            ]),
            None
        );
        assert_eq!(found(&["banger", "--socket", "/d"]), None);
    }
}
