//! What a path's names say: of what is known to run, and of what is hidden and not known to be harmless.
//!
//! Names are compared as the file system does that takes most names for the same; only harmless ones have to be exact.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::RiskKind;
use super::known::{HARMLESS, HOOKS, KNOWN};
use crate::patch::name::folded;

/// The tables of [`super::known`], by how their words are written.
#[derive(Default)]
struct Tables {
    /// `name`
    files: HashMap<&'static str, RiskKind>,
    /// `name/`
    folders: HashMap<&'static str, RiskKind>,
    /// `folder/name`
    pairs: Vec<(&'static str, RiskKind)>,
    /// `beginning*end`
    stars: Vec<(&'static str, &'static str, RiskKind)>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables::default();
    for (kind, words) in KNOWN {
        for word in words.split_ascii_whitespace() {
            if let Some(folder) = word.strip_suffix('/') {
                tables.folders.entry(folder).or_insert(*kind);
            } else if let Some((beginning, end)) = word.split_once('*') {
                tables.stars.push((beginning, end, *kind));
            } else if word.contains('/') {
                tables.pairs.push((word, *kind));
            } else {
                tables.files.entry(word).or_insert(*kind);
            }
        }
    }
    tables
});

/// What a path is known for. `plain` says that it is a file, and no link or program.
pub(super) fn kind(path: &[u8], plain: bool) -> Option<RiskKind> {
    let names: Vec<String> = path.split(|byte| *byte == b'/').flat_map(folded).collect();
    let (last, folders) = names.split_last()?;
    let file = file(last, folders);
    // A file that is called as a folder may be a link to one.
    let folder = names
        .iter()
        .find_map(|name| TABLES.folders.get(name.as_str()).copied());
    let strong = [file, folder, hook(last, folders)];
    if let Some(kind) = strong
        .into_iter()
        .flatten()
        .find(|kind| !matches!(kind, RiskKind::Build | RiskKind::Ignore))
    {
        return Some(kind);
    }
    if folders.iter().any(|name| is_hidden(name)) {
        return Some(RiskKind::Hidden);
    }
    let exact = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let harmless = plain && HARMLESS.iter().any(|known| known.as_bytes() == exact);
    match file {
        // Read by tools as they are, and by nothing if they are links.
        Some(RiskKind::Ignore) if !plain || exact != last.as_bytes() => Some(RiskKind::Hidden),
        Some(kind) => Some(kind),
        None if is_hidden(last) && !harmless => Some(RiskKind::Hidden),
        None => folder,
    }
}

fn file(name: &str, folders: &[String]) -> Option<RiskKind> {
    let exact = TABLES.files.get(name).copied();
    let pair = || {
        let folder = folders.last()?;
        let is = |pair: &str| pair.split_once('/') == Some((folder, name));
        TABLES
            .pairs
            .iter()
            .find(|(pair, _)| is(pair))
            .map(|(_, kind)| *kind)
    };
    let star = || {
        let fits = |beginning: &str, end: &str| {
            name.len() >= beginning.len() + end.len() && name.starts_with(beginning) && name.ends_with(end)
        };
        let mut stars = TABLES.stars.iter();
        stars
            .find(|(beginning, end, _)| fits(beginning, end))
            .map(|(.., kind)| *kind)
    };
    exact.or_else(pair).or_else(star)
}

/// A script with the name of one of git's hooks, or in a folder of hooks: but for those that are parts of a page.
fn hook(name: &str, folders: &[String]) -> Option<RiskKind> {
    let is_page = [".js", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".mdx"]
        .iter()
        .any(|end| name.ends_with(end));
    let inside = match folders.iter().position(|folder| folder == "hooks") {
        Some(0) => true,
        Some(_) => !is_page,
        // A file that is called as the folder may be a link to one.
        None => name == "hooks",
    };
    let named = HOOKS.split_ascii_whitespace().any(|hook| hook == name);
    (inside || named).then_some(RiskKind::Hook)
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_names_are_harmless_only_as_they_are() {
        for path in HARMLESS {
            assert_eq!(kind(path.as_bytes(), true), None, "{path}");
            assert_eq!(kind(format!("a/{path}").as_bytes(), true), None, "{path}");
            for other in [
                path.to_ascii_uppercase(),
                format!("{path}/x"),
                format!(".x/{path}"),
                format!("{path}."),
                format!("{path}:x"),
            ] {
                assert!(kind(other.as_bytes(), true).is_some(), "{other}");
            }
            assert!(kind(path.as_bytes(), false).is_some(), "a link or program {path}");
        }
    }

    #[test]
    fn each_word_of_the_tables_is_found_in_any_form() {
        for (kind_of, words) in KNOWN {
            for word in words.split_ascii_whitespace() {
                let path = match word.strip_suffix('/') {
                    Some(folder) => format!("{folder}/x"),
                    None => word.replace('*', "x"),
                };
                assert_eq!(path.to_lowercase(), path, "`{word}` is never found");
                for path in [path.clone(), path.to_ascii_uppercase(), format!("a/{path}")] {
                    let found = kind(path.as_bytes(), true);
                    assert!(found.is_some(), "{path}: {kind_of:?}");
                }
            }
        }
    }
}
