//! References to VMs.

use model::Ambiguous;
use store::VmRow;

use crate::EngineError;

/// The one VM of `all` that answers to `reference`.
pub(crate) fn resolve<'a>(all: &'a [VmRow], reference: &str) -> Result<&'a VmRow, EngineError> {
    model::resolve(all, reference).map_err(|ambiguous| match ambiguous {
        None => EngineError::VmNotFound {
            reference: reference.to_owned(),
            suggestion: model::nearest(all.iter().map(|row| row.name.as_str()), reference).map(str::to_owned),
        },
        Some(Ambiguous(candidates)) => EngineError::VmAmbiguous {
            reference: reference.to_owned(),
            candidates,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vms::request::tests::row;

    #[test]
    fn what_means_no_vm_or_several_is_told_with_what_could_be_meant() {
        let all = [row("quick-otter", "aabb11"), row("aa", "aabb22")];
        assert_eq!(resolve(&all, "aabb1").unwrap().name, "quick-otter");
        assert_eq!(
            resolve(&all, "aabb").unwrap_err().to_string(),
            "`aabb` is ambiguous: it could be quick-otter (aabb11), aa (aabb22)"
        );
        assert_eq!(
            resolve(&all, "quick-oter").unwrap_err().to_api().hint.unwrap(),
            "did you mean `quick-otter`? `banger ps -a` lists all"
        );
        assert!(matches!(
            resolve(&all, ""),
            Err(EngineError::VmNotFound { suggestion: None, .. })
        ));
    }
}
