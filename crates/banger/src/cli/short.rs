//! Short forms of the grouped verbs, `banger run` for `banger vm run`: made of those verbs, so that help, flags and
//! completion are theirs.

use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{ArgMatches, Command as Clap, FromArgMatches};

use super::{
    BuildArgs, Cli, Command, DeleteArgs, ImageCommand, ImageGroup, ListArgs, PullArgs, VmCommand, VmGroup,
};

/// Each short form, with the group and the verb that it stands for, in the order of the help.
const WORDS: &[(&str, &str, &str)] = &[
    ("run", "vm", "run"),
    ("exec", "vm", "exec"),
    ("shell", "vm", "shell"),
    ("ssh", "vm", "ssh"),
    ("cp", "vm", "cp"),
    ("ls", "vm", "list"),
    ("logs", "vm", "logs"),
    ("stats", "vm", "stats"),
    ("start", "vm", "start"),
    ("stop", "vm", "stop"),
    ("restart", "vm", "restart"),
    ("rm", "vm", "delete"),
    ("pull", "image", "pull"),
    ("build", "image", "build"),
];

/// Where they stand in the help: `help` comes last.
const AFTER_THE_GROUPS: usize = 100;

/// The grouped verb that a short form stands for: `vm run`.
pub fn stands_for(word: &str) -> Option<String> {
    let (_, group, verb) = WORDS.iter().find(|(short, ..)| *short == word)?;
    Some(format!("{group} {verb}"))
}

/// The command line with the short forms in it.
pub fn with_words(root: Clap) -> Clap {
    let made: Vec<Clap> = WORDS
        .iter()
        .zip(AFTER_THE_GROUPS..)
        .filter_map(|((word, group, verb), place)| {
            let long = root.find_subcommand(group)?.find_subcommand(verb)?;
            Some(short(word, &format!("{group} {verb}"), long).display_order(place))
        })
        .collect();
    root.subcommands(made)
}

fn short(word: &'static str, full: &str, long: &Clap) -> Clap {
    let about = format!("Short for `banger {full}`");
    let text = long.get_long_about().or(long.get_about());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let command = long
        .clone()
        .name(word)
        // Those of the grouped verb are words of its group.
        .visible_alias(Resettable::Reset)
        .about(about.clone())
        .long_about(format!("{about}.\n\n{text}"));
    match word {
        "ssh" => command.override_usage("banger ssh [--start] REF [SSH OPTIONS] [COMMAND | -- COMMAND]"),
        _ => command,
    }
}

/// What was typed, a short form as the verb that it stands for.
///
/// # Errors
/// As clap's own reading.
pub fn read(matches: &ArgMatches) -> Result<Cli, clap::Error> {
    let Some((word, of_word)) = matches.subcommand() else {
        return Cli::from_arg_matches(matches);
    };
    let vm = |command| Command::Vm(VmGroup { command });
    let image = |command| Command::Image(ImageGroup { command });
    let command = match stands_for(word).as_deref() {
        None => return Cli::from_arg_matches(matches),
        Some("vm list") => vm(VmCommand::List(ListArgs::from_arg_matches(of_word)?)),
        Some("vm delete") => vm(VmCommand::Delete(DeleteArgs::from_arg_matches(of_word)?)),
        Some("image pull") => image(ImageCommand::Pull(PullArgs::from_arg_matches(of_word)?)),
        Some("image build") => image(ImageCommand::Build(BuildArgs::from_arg_matches(of_word)?)),
        // The rest are words of the group `vm` as they are.
        Some(_) => vm(VmCommand::from_arg_matches(matches)?),
    };
    Ok(Cli {
        socket: matches.get_one::<PathBuf>("socket").cloned(),
        command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<std::ffi::OsString> {
        ["banger"]
            .into_iter()
            .chain(line.split(' '))
            .map(Into::into)
            .collect()
    }

    #[test]
    fn a_short_form_is_read_as_the_verb_that_it_stands_for() {
        for (short, long) in [
            (
                "run . --rm -it -m 2G -p 8080:80 -- make -j",
                "vm run . --rm -it --memory 2G --publish 8080:80 -- make -j",
            ),
            (
                "--socket /s exec -w /srv -u ada -e A=1 box ls -l",
                "--socket /s vm exec --workdir /srv --user ada --env A=1 box -- ls -l",
            ),
            ("exec box --socket /s true", "vm exec box --socket /s true"),
            ("shell -u ada box", "vm shell --user ada box"),
            ("ssh --start box -l ada -- ls", "vm ssh --start box -l ada -- ls"),
            ("cp --start a box:/b", "vm cp --start a box:/b"),
            ("ls -q", "vm list -q"),
            ("logs -f box", "vm logs --follow box"),
            ("stats --json", "vm stats --json"),
            ("start a b --wait boot", "vm start a b --wait boot"),
            ("stop a", "vm stop a"),
            ("restart a", "vm restart a"),
            ("rm a b", "vm delete a b"),
            ("vm rm a", "vm delete a"),
            ("pull alpine:3.19 --name a", "image pull alpine:3.19 --name a"),
            ("build mine -f r.toml", "image build mine --file r.toml"),
            ("image rm a", "image delete a"),
            ("kernel delete a", "kernel rm a"),
        ] {
            let read = |line| format!("{:?}", super::super::parse(words(line)).unwrap());
            assert_eq!(read(short), read(long), "{short}");
        }
    }

    #[test]
    fn each_short_form_stands_for_a_verb_and_has_its_flags() {
        let mut root = super::super::command();
        root.build();
        for (word, group, verb) in WORDS {
            let long = root
                .find_subcommand(group)
                .and_then(|group| group.find_subcommand(verb))
                .unwrap();
            let short = root.find_subcommand(word).unwrap();
            let flags = |command: &Clap| -> Vec<String> {
                command
                    .get_arguments()
                    .map(|argument| format!("{argument:?}"))
                    .collect()
            };
            assert_eq!(flags(short), flags(long), "{word}");
            assert_eq!(short.get_all_aliases().count(), 0, "{word}");
        }
    }
}
