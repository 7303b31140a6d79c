//! The VMM for a VM that has had one: it stays with its kind, or is told why not.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{Binaries, Wanted, choose_from};
use crate::kvm::{self, NoKvm};
use crate::{Backend, VmmError};

/// As [`super::choose`], for a VM that ran on the VMM of that name before: on the same kind again, as long as that can
/// be used here and nothing else is asked for.
///
/// # Errors
/// As of [`super::choose`].
pub fn choose_again(
    wanted: Wanted,
    binaries: &Binaries,
    before: &str,
) -> Result<(Arc<dyn Backend>, String), VmmError> {
    let path = std::env::var_os("PATH");
    again(
        wanted,
        binaries,
        path.as_deref(),
        kvm::usable().err().as_ref(),
        before,
    )
}

pub(super) fn again(
    wanted: Wanted,
    binaries: &Binaries,
    path: Option<&OsStr>,
    no_kvm: Option<&NoKvm>,
    before: &str,
) -> Result<(Arc<dyn Backend>, String), VmmError> {
    let choose = |wanted| choose_from(wanted, binaries, path, no_kvm);
    let kept = match (before.split('/').next(), wanted) {
        (Some("qemu"), Wanted::Auto) => choose(Wanted::Qemu),
        (Some("firecracker"), Wanted::Auto) => choose(Wanted::Firecracker),
        _ => {
            let (backend, reason) = choose(wanted)?;
            let changed = !before.is_empty() && kind(backend.name()) != kind(before);
            let why = changed.then(|| format!("the configuration asks for it; it ran on {before} before"));
            return Ok((backend, join(why, reason)));
        }
    };
    kept.or_else(|error| {
        let (backend, mut reason) = choose(Wanted::Auto)?;
        // Why one that is fit is not taken by itself may be just that.
        if reason.contains(&error.to_string()) {
            reason.clear();
        }
        let why = format!("it ran on {before} before, which cannot be used now: {error}");
        Ok((backend, join(Some(why), reason)))
    })
}

/// Which VMM, whatever its version or what runs its guests.
fn kind(name: &str) -> &str {
    name.split_once('/').map_or(name, |(kind, _)| kind)
}

fn join(why: Option<String>, reason: String) -> String {
    match why {
        Some(why) if reason.is_empty() => why,
        Some(why) => format!("{why}; {reason}"),
        None => reason,
    }
}
