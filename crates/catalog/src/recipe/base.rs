//! A recipe that begins with another one.

use std::collections::BTreeSet;

use super::{Recipe, Unit, Units};

impl Recipe {
    /// What this recipe says on top of what `base` says. Where both speak of the same (the release, a file, a unit),
    /// this one is right; its commands come last.
    pub(super) fn on(self, base: &Self) -> Self {
        let paths: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        let files = base
            .files
            .iter()
            .filter(|file| !paths.contains(file.path.as_str()));
        Self {
            files: files.cloned().chain(self.files.iter().cloned()).collect(),
            base: None,
            suite: if self.suite.is_empty() {
                base.suite.clone()
            } else {
                self.suite
            },
            components: together(&base.components, self.components),
            packages: together(&base.packages, self.packages),
            units: self.units.on(&base.units),
            commands: base.commands.iter().cloned().chain(self.commands).collect(),
        }
    }
}

impl Units {
    fn on(self, base: &Self) -> Self {
        let own: BTreeSet<Unit> = [&self.enable, &self.disable, &self.mask]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let with = |base: &[Unit], more: Vec<Unit>| {
            let kept = base.iter().filter(|unit| !own.contains(unit));
            kept.cloned().chain(more).collect()
        };
        Self {
            enable: with(&base.enable, self.enable),
            disable: with(&base.disable, self.disable),
            mask: with(&base.mask, self.mask),
        }
    }
}

fn together<T: Clone + PartialEq>(base: &[T], more: Vec<T>) -> Vec<T> {
    let new = more.into_iter().filter(|one| !base.contains(one));
    base.iter().cloned().chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
        suite = "bookworm"
        components = ["main"]
        packages = ["git", "curl"]
        [units]
        enable = ["ssh.service", "x.service"]
        mask = ["apt-daily.timer"]
        [[files]]
        path = "/etc/motd"
        content = "base"
        [[files]]
        path = "/etc/hosts"
        content = "hosts"
        [[commands]]
        run = ["first"]
    "#;

    fn on_base(text: &str) -> Result<Recipe, String> {
        let base = Recipe::parse(BASE, "base.toml").unwrap();
        let found = Recipe::parse_on(text, "r.toml", |name| (name == "small").then_some(&base));
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn a_recipe_with_a_base_has_all_of_it_and_is_right_where_both_speak() {
        let recipe = on_base(
            r#"
            base = "small"
            suite = "trixie"
            components = ["main", "contrib"]
            packages = ["curl", "jq"]
            [units]
            disable = ["x.service"]
            enable = ["apt-daily.timer"]
            [[files]]
            path = "/etc/motd"
            content = "own"
            [[commands]]
            run = ["second"]
        "#,
        )
        .unwrap();
        let whole = Recipe::parse(
            r#"
            suite = "trixie"
            components = ["main", "contrib"]
            packages = ["git", "curl", "jq"]
            [units]
            enable = ["ssh.service", "apt-daily.timer"]
            disable = ["x.service"]
            [[files]]
            path = "/etc/hosts"
            content = "hosts"
            [[files]]
            path = "/etc/motd"
            content = "own"
            [[commands]]
            run = ["first"]
            [[commands]]
            run = ["second"]
        "#,
            "whole.toml",
        );
        assert_eq!(recipe, whole.unwrap());
        assert_eq!(
            on_base("base = \"small\"").unwrap(),
            Recipe::parse(BASE, "b").unwrap()
        );
    }

    #[test]
    fn a_base_that_is_not_there_or_does_not_fit_is_told() {
        assert_eq!(
            on_base("base = \"other\"").unwrap_err(),
            "r.toml: base: the catalog has no recipe `other` to begin with"
        );
        let below = "base = \"small\"\n[[files]]\npath = \"/etc/motd/x\"\ncontent = \"\"\n";
        assert_eq!(
            on_base(below).unwrap_err(),
            "r.toml: files: \"/etc/motd\" is a file, so \"/etc/motd/x\" cannot lie below it"
        );
        let twice = "base = \"small\"\npackages = [\"jq\", \"jq\"]\n";
        assert_eq!(
            on_base(twice).unwrap_err(),
            "r.toml: packages: \"jq\" comes twice"
        );
        assert_eq!(
            on_base("packages = []").unwrap_err(),
            "r.toml: suite: there is none"
        );
    }
}
