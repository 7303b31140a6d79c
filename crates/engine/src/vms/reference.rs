//! References to VMs: a name, a full id, or an unambiguous prefix of an id.

use store::VmRow;

use crate::EngineError;

/// Shortest id prefix that counts as a reference.
const SHORTEST_PREFIX: usize = 2;

/// The one VM of `all` that answers to `reference`. A name wins over an id.
pub(crate) fn resolve<'a>(all: &'a [VmRow], reference: &str) -> Result<&'a VmRow, EngineError> {
    if let Some(row) = all.iter().find(|row| row.name == reference) {
        return Ok(row);
    }
    if let Some(row) = all.iter().find(|row| row.id == reference) {
        return Ok(row);
    }
    let hex = reference.len() >= SHORTEST_PREFIX && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let candidates: Vec<_> = all
        .iter()
        .filter(|row| hex && row.id.starts_with(reference))
        .collect();
    match candidates.as_slice() {
        [row] => Ok(row),
        [] => Err(EngineError::VmNotFound {
            reference: reference.to_owned(),
            suggestion: nearest(all.iter().map(|row| row.name.as_str()), reference),
        }),
        several => Err(EngineError::VmAmbiguous {
            reference: reference.to_owned(),
            candidates: several
                .iter()
                .map(|row| format!("{} ({})", row.name, row.id.get(..12).unwrap_or(&row.id)))
                .collect(),
        }),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(names: impl Iterator<Item = &'a str>, meant: &str) -> Option<String> {
    names
        .map(|name| (strsim::jaro_winkler(name, meant), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vms::request::tests::row;

    fn some() -> Vec<VmRow> {
        vec![
            row("quick-otter", "aabb11"),
            row("aa", "aabb22"),
            row("c", "cc33"),
        ]
    }

    #[test]
    fn a_name_wins_over_an_id_prefix() {
        assert_eq!(resolve(&some(), "aa").unwrap().name, "aa");
    }

    #[test]
    fn an_unambiguous_prefix_is_enough() {
        assert_eq!(resolve(&some(), "cc").unwrap().name, "c");
        assert_eq!(resolve(&some(), "aabb1").unwrap().name, "quick-otter");
    }

    #[test]
    fn an_ambiguous_prefix_lists_its_candidates() {
        let error = resolve(&some(), "aabb").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`aabb` is ambiguous: it could be quick-otter (aabb11), aa (aabb22)"
        );
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion() {
        let error = resolve(&some(), "quick-oter").unwrap_err();
        assert_eq!(
            error.to_api().hint.unwrap(),
            "did you mean `quick-otter`? `banger ps -a` lists all"
        );
        assert!(matches!(
            resolve(&some(), ""),
            Err(EngineError::VmNotFound { suggestion: None, .. })
        ));
    }
}
