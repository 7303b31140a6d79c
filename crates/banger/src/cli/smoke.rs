//! Holds the scenarios of `make smoke` against the command line: each verb and each flag is used by one, and each short
//! form once.

use std::collections::{BTreeMap, BTreeSet};

use clap::Command;

/// What each verb is given, by any scenario.
fn used() -> BTreeMap<String, BTreeSet<String>> {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for scenario in smoke::all() {
        for one in scenario.uses() {
            used.entry(one.verb).or_default().extend(one.flags);
        }
    }
    used
}

/// Verbs and flags below `command` that are not used, and what is used but is not there.
fn differences(
    command: &Command,
    words: &[&str],
    used: &mut BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let verb = words.join(" ");
    let flags = used.remove(&verb);
    if flags.is_none() && !command.has_subcommands() {
        found.push(format!("no scenario uses `banger {verb}`"));
    }
    // Its flags are those of the verb that it stands for.
    if words.len() == 1 && super::short::stands_for(words[0]).is_some() {
        return found;
    }
    let mut flags = flags.unwrap_or_default();
    for argument in command
        .get_arguments()
        .filter(|argument| !argument.is_positional())
    {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short().map(|short| format!("-{short}"));
        let spellings: Vec<String> = long.into_iter().chain(short).collect();
        let is_used = spellings
            .iter()
            .filter(|spelling| flags.remove(*spelling))
            .count()
            > 0;
        // Those of all commands are used by one of them; the help has tests of its own.
        let of_all = ["help", "socket"].contains(&argument.get_id().as_str());
        if !is_used && !of_all && !argument.is_hide_set() {
            found.push(format!(
                "no scenario uses `banger {verb} {}`",
                spellings.join("` or `")
            ));
        }
    }
    found.extend(
        flags
            .into_iter()
            .map(|flag| format!("`banger {verb}` has no `{flag}`")),
    );
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        found.extend(differences(
            command,
            &[words, &[command.get_name()]].concat(),
            used,
        ));
    }
    found
}

#[test]
fn each_verb_and_each_flag_is_used_by_a_scenario() {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let mut used = used();
    assert!(
        used.values().any(|flags| flags.contains("--socket")),
        "no scenario uses --socket"
    );
    let mut found = differences(&command, &[], &mut used);
    found.extend(
        used.into_keys()
            .map(|verb| format!("there is no `banger {verb}`")),
    );
    assert!(
        found.is_empty(),
        "{}\nsee crates/smoke/src/scenarios",
        found.join("\n")
    );
}
