//! Which of several things a reference means: its name, its id, or as much of an id as is unambiguous.

/// Fewest digits of an id that count as a reference: a slip of the finger is no VM.
const SHORTEST_PREFIX: usize = 4;
/// Likeness, by Jaro and Winkler, from which on a name is suggested.
const ALIKE: f64 = 0.8;

/// What can be named.
pub trait Subject {
    /// Its name, unique.
    fn name(&self) -> &str;
    /// Its id, unique.
    fn id(&self) -> &str;
}

/// Why a reference means nothing.
pub type Resolved<'a, T> = Result<&'a T, Option<Ambiguous>>;

/// The things that a reference could mean, each as its name and the beginning of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous(pub Vec<String>);

/// The one of `all` that `reference` means. A name comes before an id, and an id before its beginning.
///
/// # Errors
/// None, or more than one.
pub fn resolve<'a, T: Subject>(all: &'a [T], reference: &str) -> Resolved<'a, T> {
    let by_name = all.iter().find(|one| one.name() == reference);
    if let Some(exact) = by_name.or_else(|| all.iter().find(|one| one.id() == reference)) {
        return Ok(exact);
    }
    let is_prefix =
        reference.len() >= SHORTEST_PREFIX && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let candidates: Vec<&T> = match is_prefix {
        true => all.iter().filter(|one| one.id().starts_with(reference)).collect(),
        false => Vec::new(),
    };
    match candidates.as_slice() {
        [] => Err(None),
        [one] => Ok(one),
        several => Err(Some(Ambiguous(several.iter().map(|one| shown(*one)).collect()))),
    }
}

fn shown(one: &impl Subject) -> String {
    format!("{} ({})", one.name(), one.id().get(..12).unwrap_or(one.id()))
}

/// The name that was probably meant.
pub fn nearest<'a>(names: impl Iterator<Item = &'a str>, meant: &str) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(name, meant), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(&'static str, &'static str);

    impl Subject for One {
        fn name(&self) -> &str {
            self.0
        }

        fn id(&self) -> &str {
            self.1
        }
    }

    const ALL: [One; 4] = [
        One("quick-otter", "aaaa1111"),
        One("slow-otter", "aaaa2222"),
        One("beef", "cccc3333"),
        One("other", "beef4444"),
    ];

    fn name(reference: &str) -> Result<&'static str, Option<Ambiguous>> {
        resolve(&ALL, reference).map(|one| one.0)
    }

    #[test]
    fn a_name_comes_before_an_id_and_an_id_before_its_beginning() {
        for (reference, meant) in [
            ("quick-otter", "quick-otter"),
            ("aaaa2222", "slow-otter"),
            ("aaaa2", "slow-otter"),
            ("beef", "beef"),
            ("beef4", "other"),
            ("cccc", "beef"),
        ] {
            assert_eq!(name(reference), Ok(meant), "{reference}");
        }
    }

    #[test]
    fn too_little_of_an_id_means_nothing_and_what_several_have_names_them() {
        for reference in ["", "c", "cc", "ccc", "CCCC", "c%", "cccz", "nothing"] {
            assert_eq!(name(reference), Err(None), "{reference}");
        }
        let both = ["quick-otter (aaaa1111)", "slow-otter (aaaa2222)"];
        assert_eq!(
            name("aaaa"),
            Err(Some(Ambiguous(both.map(str::to_owned).to_vec())))
        );
    }

    #[test]
    fn a_name_that_is_nearly_right_is_suggested() {
        let names = || ALL.iter().map(|one| one.0);
        assert_eq!(nearest(names(), "quik-otter"), Some("quick-otter"));
        assert_eq!(nearest(names(), "zzz"), None);
    }
}
