//! `banger completion`, and the answers to the shells that it has taught.

use std::ffi::OsString;
use std::path::Path;

use clap_complete::CompleteEnv;

use crate::cli::{self, CompletionArgs};
use crate::failure::Failure;
use crate::render;

/// Prints a shell's script.
///
/// # Errors
/// Stdout cannot be written.
pub fn completion(args: &CompletionArgs) -> Result<u8, Failure> {
    let own = std::env::current_exe().ok();
    let first = std::env::args_os().next();
    let script = args
        .shell
        .script(completer(first, own.as_deref()))
        .map_err(|error| Failure::output(&error))?;
    render::output(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// What the script is to run: `banger` from PATH, unless this one was called by a path.
fn completer(first: Option<OsString>, own: Option<&Path>) -> &str {
    let by_path = first.is_some_and(|word| word.to_string_lossy().contains('/'));
    own.and_then(Path::to_str).filter(|_| by_path).unwrap_or("banger")
}

/// Answers a shell that asks for completions; false if none does. Nothing that fails is worth a word: the user is
/// typing.
pub fn answer() -> bool {
    if std::env::var_os(cli::COMPLETE_VARIABLE).is_none() {
        return false;
    }
    let folder = std::env::current_dir().ok();
    let _ = CompleteEnv::with_factory(cli::command_to_complete)
        .var(cli::COMPLETE_VARIABLE)
        .bin("banger")
        .try_complete(std::env::args_os(), folder.as_deref());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banger_that_was_called_by_its_path_is_asked_by_its_path() {
        let own = Some(Path::new("/opt/banger/bin/banger"));
        assert_eq!(completer(Some("banger".into()), own), "banger");
        assert_eq!(
            completer(Some("bin/banger".into()), own),
            "/opt/banger/bin/banger"
        );
        assert_eq!(completer(None, None), "banger");
    }
}
