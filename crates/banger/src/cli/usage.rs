//! Wrong usage in the words of all other failures: one line, and a hint.

use clap::error::{ContextKind, ErrorKind};

use crate::failure::Failure;

/// What to tell about a command line that does not parse, or that asks for help.
pub fn failure(error: &clap::Error) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Failure::requested_text(error.render().to_string())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::help_instead(error.render().to_string())
        }
        _ => explain(error),
    }
}

/// Takes apart what clap writes: `error: …`, `tip: …` lines, then the usage.
fn explain(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let body = text.split("\n\nUsage:").next().unwrap_or_default();
    let body = body.split("\n\nFor more information").next().unwrap_or_default();
    let (mut message, mut tips) = (Vec::new(), Vec::new());
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix("tip: ") {
            Some(tip) => tips.push(tip),
            None => message.push(line.strip_prefix("error: ").unwrap_or(line)),
        }
    }
    let failure = Failure::usage(message.join(" "));
    match tips.first() {
        Some(tip) => failure.with_hint(*tip),
        None => failure.with_hint(format!("`{} --help` says how it is used", command(error, &text))),
    }
}

/// The command that was meant, as far as clap understood it: `banger vm run`.
fn command(error: &clap::Error, text: &str) -> String {
    let usage = error
        .get(ContextKind::Usage)
        .map_or_else(|| text.to_owned(), ToString::to_string);
    let usage = usage.split("Usage: ").nth(1).unwrap_or("banger");
    let words = usage
        .split_whitespace()
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    words.collect::<Vec<_>>().join(" ")
}
