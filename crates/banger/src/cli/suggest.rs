//! Which verb somebody meant: one in another place, one by the name that other tools give it, or one misspelt.

use clap::Command;

use super::short;

/// What other tools call it.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("attach", "shell"),
    ("destroy", "delete"),
    ("down", "stop"),
    ("enter", "shell"),
    ("halt", "stop"),
    ("info", "show"),
    ("inspect", "show"),
    ("login", "shell"),
    ("new", "create"),
    ("port", "ports"),
    ("purge", "prune"),
    ("reboot", "restart"),
    ("remove", "delete"),
    ("rm", "delete"),
    ("top", "stats"),
    ("up", "start"),
];

/// Verbs, and flags by their names, that end or remove something.
const ENDING: &[&str] = &[
    "apply",
    "delete",
    "force",
    "kill",
    "prune",
    "restart",
    "rm",
    "stop",
    "uninstall",
];

/// Other tools' words for what ends and removes nothing, and is done in no way here.
const HARMLESS: &[&str] = &[
    "commit", "diff", "events", "history", "import", "load", "pause", "plan", "push", "rename", "replay",
    "save", "search", "skip", "snapshot", "step", "suspend", "tag", "tune", "unpause", "update", "wait",
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

/// The verb that is most like `word`, if one is: one that ends nothing before one that does, here first, then in
/// another place.
pub fn alike(root: &Command, place: &str, word: &str) -> Option<String> {
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    // Of a short word, little is left after two mistakes.
    let allowed = MISTAKES.min(word.chars().count() / 2);
    verbs(root, place)
        .into_iter()
        .filter(|(_, name)| distance(name) <= allowed && is_fit(word, name))
        .min_by_key(|(path, name)| (distance(name), ENDING.contains(&name.as_str()), path != place))
        .map(|(path, name)| in_full(place, &path, &name))
}

/// Whether `name` may be suggested to somebody who wrote `word`: one that ends or removes something only where nothing
/// else can have been meant, as people and programs follow suggestions unseen.
pub fn is_fit(word: &str, name: &str) -> bool {
    let slip = || {
        name.len() > 2
            && word.chars().next() == name.chars().next()
            && strsim::damerau_levenshtein(word, name) == 1
    };
    !ENDING.contains(&name) || (!HARMLESS.contains(&word) && slip())
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
    // Elsewhere the verb's own place says more.
    found
        .retain(|(path, name)| path != root.get_name() || path == place || short::stands_for(name).is_none());
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
            ("banger", "create", Some("banger vm create")),
            ("banger", "destroy", Some("banger vm delete")),
            ("banger vm", "remove", Some("delete")),
            ("banger vm", "doctor", Some("banger doctor")),
            ("banger vm", "status", Some("banger daemon status")),
            ("banger vm", "top", Some("stats")),
            ("banger", "top", Some("stats")),
            ("banger kernel", "run", Some("banger vm run")),
            ("banger", "kill", Some("banger vm kill")),
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
            ("banger", "rnu", Some("run")),
            ("banger vm", "delte", Some("delete")),
            ("banger vm", "stpo", Some("stop")),
            ("banger", "stpo", Some("stop")),
            ("banger vm", "restrat", Some("restart")),
            ("banger", "x", None),
            ("banger vm", "frobnicate", None),
        ] {
            assert_eq!(alike(&root, place, word).as_deref(), meant, "{place} {word}");
        }
    }

    #[test]
    fn no_harmless_word_is_answered_with_a_verb_that_ends_something() {
        let root = super::super::command();
        let words = [
            "top", "pause", "step", "tune", "fill", "skill", "bill", "rum", "rn", "rf", "mv", "rename",
            "tops", "shop", "prose", "reply", "relate", "rest", "stat", "em", "import", "update", "pull",
            "still", "strap",
        ];
        for place in [
            "banger",
            "banger vm",
            "banger image",
            "banger kernel",
            "banger daemon",
            "banger vm workspace",
        ] {
            for word in words {
                let meant = known(&root, place, word).or_else(|| alike(&root, place, word));
                let last = meant.as_deref().and_then(|meant| meant.split(' ').next_back());
                assert!(
                    !last.is_some_and(|verb| ENDING.contains(&verb)),
                    "{place} {word}: {meant:?}"
                );
            }
        }
        for (word, flag, fit) in [
            ("rn", "rm", false),
            ("run", "rm", false),
            ("for", "force", false),
            ("forec", "force", true),
        ] {
            assert_eq!(is_fit(word, flag), fit, "--{word}");
        }
    }
}
