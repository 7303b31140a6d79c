//! Wrong usage in the words of all other failures: one line, and a hint.

use std::error::Error;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Cli, Command, VmCommand, short, suggest};
use crate::failure::Failure;

/// What to tell about a command line that does not parse, or that asks for help. `command` is the command that was
/// meant: `banger vm run`.
pub fn failure(error: &clap::Error, command: &str) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Failure::requested_text(format!("{}\n", error.render().to_string().trim_end()))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::help_instead(error.render().to_string())
        }
        _ => Failure::usage(message(error, command)).with_hint(hint(error, command)),
    }
}

/// Holds against what was typed what clap has no words for.
///
/// # Errors
/// Wrong usage: a `--` before the VM of `vm exec`, whose first word would be taken for a VM.
pub fn check(cli: &Cli, arguments: &[OsString]) -> Result<(), Failure> {
    let Command::Vm(group) = &cli.command else {
        return Ok(());
    };
    let VmCommand::Exec(exec) = &group.command else {
        return Ok(());
    };
    let after = arguments.iter().rev().take(exec.command.len() + 1).count();
    let mark = arguments
        .len()
        .checked_sub(after + 1)
        .map(|place| &arguments[place]);
    let first = arguments.iter().position(|word| word == "--");
    if mark.is_some_and(|mark| mark == "--") && first == Some(arguments.len() - after - 1) {
        return Err(Failure::usage("`banger vm exec` needs a VM before `--`")
            .with_hint("use it like this: banger vm exec [OPTIONS] <REF> [--] <COMMAND>..."));
    }
    Ok(())
}

/// What is wrong, in one line.
fn message(error: &clap::Error, command: &str) -> String {
    let argument = texts(error, ContextKind::InvalidArg);
    let first = argument.first().map_or("", String::as_str);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let words = texts(error, ContextKind::InvalidSubcommand);
            format!("`{command}` has no command `{}`", words.join(" "))
        }
        ErrorKind::UnknownArgument if first.starts_with('-') => {
            format!("`{command}` has no flag `{first}`")
        }
        ErrorKind::UnknownArgument => format!("`{command}` does not take `{first}`"),
        ErrorKind::ValueValidation => {
            let why = error
                .source()
                .map_or_else(|| "it is not allowed".to_owned(), ToString::to_string);
            format!("{}: {why}", flag(first))
        }
        ErrorKind::InvalidValue => match texts(error, ContextKind::InvalidValue).first() {
            Some(value) if !value.is_empty() => {
                format!("{}: `{value}` is not one of its values", flag(first))
            }
            _ => format!("{} needs a value", flag(first)),
        },
        ErrorKind::MissingRequiredArgument => {
            let names: Vec<&str> = argument.iter().map(|argument| flag(argument)).collect();
            format!("`{command}` needs {}", names.join(" and "))
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(error, ContextKind::PriorArg);
            match others.first() {
                Some(other) if other != first => {
                    format!("{} and {} cannot go together", flag(first), flag(other))
                }
                _ => format!("{} is given more than once", flag(first)),
            }
        }
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

/// What to do about it.
fn hint(error: &clap::Error, command: &str) -> String {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(verb) = meant_verb(error, command)
    {
        return format!("did you mean `{verb}`? `{command} --help` lists all");
    }
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedValue] {
        let given = texts(error, ContextKind::InvalidArg);
        let suggested = texts(error, kind);
        let suggestion = suggested.first().map(|suggestion| flag(suggestion));
        let fit = |suggestion: &&str| {
            let given = given.first().map_or("", String::as_str);
            suggest::is_fit(given.trim_start_matches('-'), suggestion.trim_start_matches('-'))
        };
        if let Some(suggestion) = suggestion.filter(fit) {
            return format!("did you mean `{suggestion}`? `{command} --help` lists all");
        }
    }
    match error.kind() {
        ErrorKind::UnknownArgument => left_over(error, command),
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) => {
                let usage = usage.to_string();
                format!("use it like this: {}", usage.trim_start_matches("Usage: ").trim())
            }
            _ => format!("`{command} --help` says how it is used"),
        },
        ErrorKind::InvalidValue => {
            let values = texts(error, ContextKind::ValidValue);
            match values.is_empty() {
                true => format!("`{command} --help` says how it is used"),
                false => format!("its values are: {}", values.join(", ")),
            }
        }
        _ => format!("`{command} --help` says how it is used"),
    }
}

/// What to do about a word that is none of the command's.
fn left_over(error: &clap::Error, command: &str) -> String {
    let word = texts(error, ContextKind::InvalidArg).pop().unwrap_or_default();
    let flag = word.starts_with('-');
    let full = command.strip_prefix("banger ").map_or_else(String::new, |word| {
        short::stands_for(word).unwrap_or_else(|| word.to_owned())
    });
    match (full.as_str(), flag) {
        ("vm run" | "vm exec", true) => {
            format!("flags of the command to run follow `--`; `{command} --help` lists banger's")
        }
        ("vm run", false) => {
            format!(
                "the image is named by --image, and the command follows `--`: {command} --image IMAGE -- {word}"
            )
        }
        ("vm create", false) => {
            format!(
                "the image is named by --image, and the VM by --name: {command} --image IMAGE --name NAME"
            )
        }
        _ => format!("`{command} --help` says how it is used"),
    }
}

/// The verb that was meant, in full where it is another place's.
fn meant_verb(error: &clap::Error, command: &str) -> Option<String> {
    let word = texts(error, ContextKind::InvalidSubcommand).into_iter().next()?;
    let root = super::command();
    suggest::known(&root, command, &word).or_else(|| suggest::alike(&root, command, &word))
}

/// The argument alone: `--memory` of `--memory <SIZE>`, `REF` of `<REF>...`.
fn flag(argument: &str) -> &str {
    match argument.split_once(' ') {
        Some((flag, _)) if flag.starts_with('-') => flag,
        _ => argument.trim_matches(['<', '>', '[', ']', '.']),
    }
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
