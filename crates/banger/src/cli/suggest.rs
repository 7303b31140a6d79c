//! Which verb somebody meant: one in another place, one by the name that other tools give it, or one misspelt.

use clap::Command;

/// What other tools call it.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("destroy", "delete"),
    ("down", "stop"),
    ("enter", "shell"),
    ("halt", "stop"),
    ("info", "show"),
    ("inspect", "show"),
    ("login", "shell"),
    ("new", "create"),
    ("reboot", "restart"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("up", "start"),
];

/// Edits that make a mistake of a word.
const MISTAKES: usize = 2;

/// The verb `word` as it is, or as other tools call it, here or in another place of the command line: `banger vm run`
/// for `banger run`. `place` is where it was looked for: `banger`, `banger vm`.
pub fn known(root: &Command, place: &str, word: &str) -> Option<String> {
    let other = OTHER_WORDS
        .iter()
        .find(|(other, _)| *other == word)
        .map(|(_, ours)| *ours);
    verbs(root, place)
        .into_iter()
        .find(|(_, name)| name == word || other.is_some_and(|other| name == other))
        .map(|(path, name)| in_full(place, &path, &name))
}

/// The verb that is most like `word`, if one is: here first, then in another place.
pub fn alike(root: &Command, place: &str, word: &str) -> Option<String> {
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    // Of a short word, little is left after two mistakes.
    let allowed = MISTAKES.min(word.chars().count() / 2);
    verbs(root, place)
        .into_iter()
        .filter(|(_, name)| distance(name) <= allowed)
        .min_by_key(|(path, name)| (distance(name), path != place))
        .map(|(path, name)| in_full(place, &path, &name))
}

/// A verb of the same place by its name alone.
fn in_full(place: &str, path: &str, name: &str) -> String {
    if path == place {
        name.to_owned()
    } else {
        format!("{path} {name}")
    }
}

/// All verbs with the place where they are, those of `place` first.
fn verbs(root: &Command, place: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(root, root.get_name(), &mut found);
    // Stable: the rest stays in the order of the help, groups within groups last.
    found.sort_by_key(|(path, _)| (path != place, path.split(' ').count()));
    found
}

fn collect(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        found.push((path.to_owned(), verb.get_name().to_owned()));
        collect(verb, &format!("{path} {}", verb.get_name()), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_of_another_place_or_another_tool_is_known() {
        let root = super::super::command();
        for (place, word, meant) in [
            ("banger", "run", Some("banger vm run")),
            ("banger", "rm", Some("banger vm delete")),
            ("banger vm", "rm", Some("delete")),
            ("banger vm", "doctor", Some("banger doctor")),
            ("banger vm", "status", Some("banger daemon status")),
            ("banger", "start", Some("banger vm start")),
            ("banger daemon", "up", Some("start")),
            ("banger", "zzz", None),
        ] {
            assert_eq!(known(&root, place, word).as_deref(), meant, "{place} {word}");
        }
    }

    #[test]
    fn a_misspelt_verb_is_found_here_first() {
        let root = super::super::command();
        for (place, word, meant) in [
            ("banger vm", "rnu", Some("run")),
            ("banger vm", "strat", Some("start")),
            ("banger daemon", "strat", Some("start")),
            ("banger", "docter", Some("doctor")),
            ("banger", "craete", Some("banger vm create")),
            ("banger", "x", None),
            ("banger vm", "frobnicate", None),
        ] {
            assert_eq!(alike(&root, place, word).as_deref(), meant, "{place} {word}");
        }
    }
}
