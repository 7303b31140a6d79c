//! Empty values, as of a variable that is not set: `--user "$USER_IN_GUEST"`. Refused for every flag and argument before
//! anything is done; none has a meaning. The words of a command to run are left as they are, and so is what scripts say to
//! each other by `internal`.

use clap::{Arg, ArgMatches, Command};

use crate::failure::Failure;

/// Looks for an empty value. `command` is the command that was meant: `banger vm run`.
///
/// # Errors
/// Wrong usage, with the flag that has none.
pub fn refuse(root: &Command, matches: &ArgMatches, command: &str) -> Result<(), Failure> {
    let (mut at, mut found) = (root, matches);
    loop {
        if let Some(argument) = at.get_arguments().find(|argument| is_empty(argument, found)) {
            return Err(Failure::usage(format!("{} needs a value", name(argument)))
                .with_hint(format!("it is empty: `{command} --help` says what it takes")));
        }
        let Some((word, inner)) = found.subcommand() else {
            return Ok(());
        };
        let Some(next) = at.find_subcommand(word).filter(|next| !next.is_hide_set()) else {
            return Ok(());
        };
        (at, found) = (next, inner);
    }
}

fn is_empty(argument: &Arg, matches: &ArgMatches) -> bool {
    let values = matches.try_get_raw(argument.get_id().as_str()).ok().flatten();
    let Some(mut values) = values.filter(|_| argument.get_action().takes_values()) else {
        return false;
    };
    match argument.is_trailing_var_arg_set() || argument.is_last_set() {
        // The words of a command; before those of ssh stands the VM.
        true => name(argument) == "REF" && values.next().is_some_and(|value| value.is_empty()),
        false => values.any(|value| value.is_empty()),
    }
}

/// As messages call it: `--user`, `REF`.
fn name(argument: &Arg) -> String {
    let value = || argument.get_value_names().and_then(|names| names.first());
    match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => value().map_or_else(|| argument.get_id().to_string(), ToString::to_string),
    }
}
