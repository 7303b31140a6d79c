//! References to several VMs, read against one listing: a name, an id, or as much of an id as is unambiguous.

use api::Vm;

use crate::failure::Failure;

/// As many candidates as one line holds.
const CANDIDATES: usize = 8;

/// Likeness, by Jaro and Winkler, from which on a name is suggested.
const ALIKE: f64 = 0.8;

/// The VM that `reference` means, out of one listing.
///
/// # Errors
/// None, or more than one.
pub fn resolve<'a>(reference: &str, vms: &'a [Vm]) -> Result<&'a Vm, Failure> {
    let exact = vms
        .iter()
        .find(|vm| vm.name == reference)
        .or_else(|| vms.iter().find(|vm| vm.id == reference));
    if let Some(vm) = exact {
        return Ok(vm);
    }
    let candidates: Vec<&Vm> = match reference {
        "" => Vec::new(),
        prefix => vms.iter().filter(|vm| vm.id.starts_with(prefix)).collect(),
    };
    match candidates.as_slice() {
        [] => Err(unknown(reference, vms)),
        [vm] => Ok(vm),
        several => Err(ambiguous(reference, several)),
    }
}

fn ambiguous(reference: &str, candidates: &[&Vm]) -> Failure {
    let mut names: Vec<String> = candidates
        .iter()
        .take(CANDIDATES)
        .map(|vm| format!("{} ({})", vm.name, id_start(&vm.id)))
        .collect();
    if candidates.len() > CANDIDATES {
        names.push(format!("{} more", candidates.len() - CANDIDATES));
    }
    Failure::new(format!(
        "`{reference}` is the beginning of several ids: {}",
        names.join(", ")
    ))
    .with_hint("use the name, or more of the id")
}

fn id_start(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn unknown(reference: &str, vms: &[Vm]) -> Failure {
    let alike = vms
        .iter()
        .map(|vm| (strsim::jaro_winkler(reference, &vm.name), &vm.name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Failure::new(format!("no VM is called `{reference}`")).with_hint(match alike {
        Some((_, name)) => format!("did you mean `{name}`? `banger ps -a` lists all"),
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
    fn a_name_comes_before_an_id_and_an_id_before_its_beginning() {
        assert_eq!(name("quick-otter").unwrap(), "quick-otter");
        assert_eq!(name("aaaa2222").unwrap(), "slow-otter");
        assert_eq!(name("aaaa2").unwrap(), "slow-otter");
        assert_eq!(name("beef").unwrap(), "beef");
        assert_eq!(name("beef4").unwrap(), "other");
    }

    #[test]
    fn what_means_none_or_several_is_refused() {
        assert_eq!(name("nothing").unwrap_err(), "no VM is called `nothing`");
        assert_eq!(name("").unwrap_err(), "no VM is called ``");
        assert_eq!(
            name("aaaa").unwrap_err(),
            "`aaaa` is the beginning of several ids: quick-otter (aaaa1111), slow-otter (aaaa2222)"
        );
    }
}
