//! Recipes: what an image is made of.
//!
//! ```toml
//! suite = "bookworm"
//! components = ["main"]
//! packages = ["systemd-sysv"]      # on top of the release's minimal base
//!
//! [units]
//! enable = ["ssh.service"]
//! disable = ["docker.service"]     # what its package enables
//! mask = ["apt-daily.timer"]
//!
//! [[files]]                        # put there after the packages
//! path = "/etc/motd"
//! mode = "0644"                    # the default
//! content = "hello"
//!
//! [[commands]]                     # run in the tree, in this order, after files and units; no shell
//! run = ["passwd", "--lock", "root"]
//! ```
//!
//! With `base = "debian-minimal"`, a recipe of the catalog, all of that one's comes first; of the above nothing need
//! then be said again.

mod base;
pub(crate) mod rules;

use std::collections::BTreeSet;

use serde::Deserialize;

pub use crate::build::room::check_host;
pub use crate::build::{Build, build};
use crate::error::{DataError, parse_toml};
use crate::names::ArtefactName;

/// No recipe is larger.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

/// What an image is made of; checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Taken in by now.
    #[serde(default)]
    base: Option<ArtefactName>,
    #[serde(default, deserialize_with = "rules::suite")]
    pub(crate) suite: String,
    #[serde(default)]
    pub(crate) components: Vec<Component>,
    #[serde(default)]
    pub(crate) packages: Vec<Package>,
    #[serde(default)]
    pub(crate) files: Vec<File>,
    #[serde(default)]
    pub(crate) units: Units,
    #[serde(default)]
    pub(crate) commands: Vec<Command>,
}

/// A part of the archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Component(#[serde(deserialize_with = "rules::component")] pub String);

/// A package's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Package(#[serde(deserialize_with = "rules::package")] pub String);

/// A unit's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Unit(#[serde(deserialize_with = "rules::unit")] pub String);

/// A file to put into the tree.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(deserialize_with = "rules::path")]
    pub path: String,
    pub content: String,
    #[serde(default = "usual_mode", deserialize_with = "rules::mode")]
    pub mode: u32,
}

fn usual_mode() -> u32 {
    0o644
}

/// What happens to systemd's units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Units {
    #[serde(default)]
    pub enable: Vec<Unit>,
    #[serde(default)]
    pub disable: Vec<Unit>,
    #[serde(default)]
    pub mask: Vec<Unit>,
}

/// A program to run in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    #[serde(deserialize_with = "rules::command")]
    pub run: Vec<String>,
}

impl Recipe {
    /// Reads a recipe that stands for itself; `file` is its name for messages.
    ///
    /// # Errors
    /// [`DataError`] with file, line and key: syntax, unknown keys, values that break a rule, things that come twice.
    pub fn parse(text: &str, file: &str) -> Result<Self, DataError> {
        Self::parse_on(text, file, |_| None)
    }

    /// The same of one that may name another recipe to begin with, which `bases` gives.
    ///
    /// # Errors
    /// As [`Recipe::parse`], or there is no such base.
    pub fn parse_on<'b>(
        text: &str,
        file: &str,
        bases: impl FnOnce(&str) -> Option<&'b Self>,
    ) -> Result<Self, DataError> {
        let wrong = |message: String| DataError {
            file: file.to_owned(),
            line: None,
            message,
        };
        if text.len() > SIZE_LIMIT {
            return Err(wrong(format!("it is larger than {SIZE_LIMIT} bytes")));
        }
        let recipe: Self = parse_toml(file, text)?;
        recipe.check().map_err(wrong)?;
        let Some(base) = &recipe.base else {
            return recipe.whole().map_err(wrong);
        };
        let found = bases(base.as_str())
            .ok_or_else(|| wrong(format!("base: the catalog has no recipe `{base}` to begin with")))?;
        let recipe = recipe.on(found);
        recipe.check().map_err(wrong)?;
        recipe.whole().map_err(wrong)
    }

    /// Nothing comes twice, or where it cannot be.
    fn check(&self) -> Result<(), String> {
        only_once("components", self.components.iter().map(|component| &component.0))?;
        only_once("packages", self.packages.iter().map(|package| &package.0))?;
        let Units {
            enable,
            disable,
            mask,
        } = &self.units;
        let units = enable.iter().chain(disable).chain(mask);
        only_once("units", units.map(|unit| &unit.0))?;
        let paths = only_once("files", self.files.iter().map(|file| &file.path))?;
        for path in &paths {
            let below = |other: &&&String| {
                other
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if let Some(other) = paths.iter().find(below) {
                return Err(format!(
                    "files: {path:?} is a file, so {other:?} cannot lie below it"
                ));
            }
        }
        Ok(())
    }

    /// It says where its packages come from.
    fn whole(self) -> Result<Self, String> {
        if self.suite.is_empty() {
            return Err("suite: there is none".to_owned());
        }
        if self.components.is_empty() {
            return Err("components: there is none".to_owned());
        }
        Ok(self)
    }

    /// The release that it takes its packages from.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }
}

fn only_once<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Result<BTreeSet<&'a String>, String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{key}: {name:?} comes twice"));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "suite = \"bookworm\"\ncomponents = [\"main\"]\npackages = [\"git\", \"g++\"]\n";

    fn error(more: &str) -> String {
        Recipe::parse(&format!("{HEAD}{more}"), "r.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_recipe_is_read_whole() {
        let recipe = Recipe::parse(
            &format!(
                "{HEAD}[units]\nenable = [\"ssh.service\"]\nmask = [\"getty@tty1.service\"]\n\
                 [[files]]\npath = \"/etc/motd\"\ncontent = \"\"\"\nhello\n\"\"\"\n\
                 [[files]]\npath = \"/usr/local/bin/x\"\ncontent = \"#!\"\nmode = \"4755\"\n\
                 [[commands]]\nrun = [\"echo\", \"a b\", \"$(x)\", \"\", \"new\\nline\"]\n"
            ),
            "r.toml",
        )
        .unwrap();
        assert_eq!(recipe.suite(), "bookworm");
        assert_eq!(
            recipe.files[0],
            File {
                path: "/etc/motd".into(),
                content: "hello\n".into(),
                mode: 0o644
            }
        );
        assert_eq!(recipe.files[1].mode, 0o4755);
        assert_eq!(recipe.units.mask[0].0, "getty@tty1.service");
        assert_eq!(recipe.commands[0].run, ["echo", "a b", "$(x)", "", "new\nline"]);
    }

    #[test]
    fn a_mark_at_the_start_of_a_recipe_is_no_part_of_it() {
        let recipe = Recipe::parse(&format!("\u{feff}{HEAD}"), "r.toml").unwrap();
        assert_eq!(recipe.suite(), "bookworm");
    }

    #[test]
    fn a_mistake_is_told_with_file_line_and_key() {
        for (more, message) in [
            ("color = 1\n", "r.toml:4: color: unknown field `color`"),
            (
                "[units]\nstart = []\n",
                "r.toml:5: units.start: unknown field `start`",
            ),
            (
                "[units]\nenable = [\"ssh\"]\n",
                "r.toml:5: units.enable[0]: unit \"ssh\" does not end with one of",
            ),
            (
                "[units]\nmask = [\n\"a.service\",\n\"-x.service\"]\n",
                "r.toml:5: units.mask[1]: unit \"-x.service\" is not",
            ),
            (
                "[units]\nmask = [\"../x.service\"]\n",
                "r.toml:5: units.mask[0]: unit",
            ),
            (
                "[units]\nmask = [\"a.service\"]\nenable = [\"a.service\"]\n",
                "r.toml: units: \"a.service\" comes twice",
            ),
            (
                "[[files]]\npath = \"etc\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"etc\" is not absolute",
            ),
            (
                "[[files]]\npath = \"/a/../b\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/a/../b\" is not clean",
            ),
            (
                "[[files]]\npath = \"/a/\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/a/\" is not clean",
            ),
            (
                "[[files]]\npath = \"/\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/\" is not clean",
            ),
            (
                "[[files]]\npath = \"/proc/x\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/proc/x\" lies below /proc",
            ),
            (
                "[[files]]\npath = \"/var/run/x\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/var/run/x\" lies below /var/run, a link to /run, which is no part",
            ),
            (
                "[[files]]\npath = \"/var/lock/a/b\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/var/lock/a/b\" lies below /var/lock, a link to /run/lock, which is",
            ),
            (
                "[[files]]\npath = \"/var/run\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path \"/var/run\" is a link to /run in every image",
            ),
            (
                "[[files]]\npath = \"/a\\nb\"\ncontent = \"\"\n",
                "r.toml:5: files[0].path: path",
            ),
            (
                "[[files]]\npath = \"/a\"\n",
                "r.toml:4: files[0]: missing field `content`",
            ),
            (
                "[[files]]\npath = \"/a\"\ncontent = \"\"\nmode = \"0999\"\n",
                "r.toml:7: files[0].mode: mode \"0999\" is not",
            ),
            (
                "[[files]]\npath = \"/a\"\ncontent = \"\"\nmode = 755\n",
                "r.toml:7: files[0].mode: invalid type",
            ),
            (
                "[[commands]]\nrun = []\n",
                "r.toml:5: commands[0].run: command is empty",
            ),
            (
                "[[commands]]\nrun = [\"-x\"]\n",
                "r.toml:5: commands[0].run: command does not begin with a program",
            ),
            (
                "[[commands]]\nrun = [\"A=b\"]\n",
                "r.toml:5: commands[0].run: command does not begin with a program",
            ),
            (
                "[[commands]]\nrun = [\"a\", \"\\u0000\"]\n",
                "r.toml:5: commands[0].run: command has a zero byte",
            ),
            (
                "[[commands]]\nrun = \"rm -rf /\"\n",
                "r.toml:5: commands[0].run: invalid type",
            ),
        ] {
            let error = error(more);
            assert!(error.starts_with(message), "{error}\nnot {message}");
        }
        let twice = "[[files]]\npath = \"/a\"\ncontent = \"\"\n";
        assert_eq!(error(&twice.repeat(2)), "r.toml: files: \"/a\" comes twice");
        assert_eq!(
            error(&format!("{twice}{}", twice.replace("/a", "/a/b"))),
            "r.toml: files: \"/a\" is a file, so \"/a/b\" cannot lie below it"
        );
    }

    #[test]
    fn no_name_can_be_taken_for_an_option_or_for_two_words() {
        for (key, bad) in [
            (
                "\"bookworm\"",
                ["\"\"", "\"-o\"", "\"a b\"", "\"../x\"", "\"a/b\"", "\"a\\nb\""],
            ),
            (
                "\"main\"",
                ["\"\"", "\"-o\"", "\"a b\"", "\"main,x\"", "\"[x\"", "\"a\\nb\""],
            ),
            (
                "\"git\"",
                [
                    "\"\"",
                    "\"-y\"",
                    "\"git-\"",
                    "\"git=1\"",
                    "\"a,b\"",
                    "\"?essential\"",
                ],
            ),
        ] {
            for bad in bad {
                let error = Recipe::parse(&HEAD.replace(key, bad), "r.toml").unwrap_err();
                assert!(
                    error.line.is_some() && error.message.contains(" is not "),
                    "{key} {bad}: {error}"
                );
            }
        }
        assert_eq!(
            Recipe::parse(&HEAD.replace("[\"main\"]", "[]"), "r.toml")
                .unwrap_err()
                .to_string(),
            "r.toml: components: there is none"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = Recipe::parse(&text, "r.toml");
        }

        #[test]
        fn no_value_makes_it_panic(path in any::<String>(), mode in any::<String>(), word in any::<String>()) {
            let text = format!("{HEAD}[[files]]\npath = {path:?}\ncontent = \"\"\nmode = {mode:?}\n[[commands]]\nrun = [{word:?}]\n");
            if let Ok(recipe) = Recipe::parse(&text, "r.toml") {
                prop_assert!(recipe.files.iter().all(|file| file.path.starts_with('/') && !file.path.contains("/../")));
            }
        }
    }
}
