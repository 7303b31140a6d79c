//! References to several VMs, read against one listing: a name, an id, or as much of an id as is unambiguous.

use api::Vm;
use model::Ambiguous;

use crate::failure::Failure;

/// As many candidates as one line holds.
const CANDIDATES: usize = 8;

/// The VM that `reference` means, out of one listing.
///
/// # Errors
/// None, or more than one.
pub fn resolve<'a>(reference: &str, vms: &'a [Vm]) -> Result<&'a Vm, Failure> {
    model::resolve(vms, reference).map_err(|ambiguous| match ambiguous {
        None => unknown(reference, vms),
        Some(several) => self::ambiguous(reference, several),
    })
}

fn ambiguous(reference: &str, Ambiguous(mut names): Ambiguous) -> Failure {
    let more = names.len().saturating_sub(CANDIDATES);
    names.truncate(CANDIDATES);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    Failure::new(format!(
        "`{reference}` is the beginning of several ids: {}",
        names.join(", ")
    ))
    .with_hint("use the name, or more of the id")
}

fn unknown(reference: &str, vms: &[Vm]) -> Failure {
    let alike = model::nearest(vms.iter().map(|vm| vm.name.as_str()), reference);
    Failure::new(format!("no VM is called `{reference}`")).with_hint(match alike {
        Some(name) => format!("did you mean `{name}`? `banger ps -a` lists all"),
        None => "`banger ps -a` lists all".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vm;

    fn vms() -> Vec<Vm> {
        vec![
            vm("quick-otter", "aaaa1111"),
            vm("slow-otter", "aaaa2222"),
            vm("beef", "cccc3333"),
            vm("other", "beef4444"),
        ]
    }

    fn name(reference: &str) -> Result<String, String> {
        resolve(reference, &vms())
            .map(|vm| vm.name.clone())
            .map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn what_means_none_or_several_is_refused() {
        assert_eq!(name("nothing").unwrap_err(), "no VM is called `nothing`");
        assert_eq!(name("").unwrap_err(), "no VM is called ``");
        assert_eq!(name("c").unwrap_err(), "no VM is called `c`");
        assert_eq!(name("cccc").unwrap(), "beef");
        assert_eq!(
            name("aaaa").unwrap_err(),
            "`aaaa` is the beginning of several ids: quick-otter (aaaa1111), slow-otter (aaaa2222)"
        );
    }
}
