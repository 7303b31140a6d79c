//! Names that a shell may complete: what the daemon knows, if one runs, and soon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use api::{CatalogKernel, Kernel, Vm};
use config::Environment;

use crate::configuration;
use crate::daemon::Place;

/// How long a user's Tab may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A VM.
    Vm,
    /// An image.
    Image,
    /// A kernel.
    Kernel,
}

/// A name, and what a shell may show beside it.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub about: Option<String>,
}

/// The names of a kind; none where nobody can be asked. Starts no daemon.
pub fn known(kind: Kind, socket: Option<OsString>) -> Vec<Known> {
    let mut names = ask(kind, socket).unwrap_or_default();
    if kind == Kind::Image
        && let Some(name) = default_image()
    {
        names.entry(name).or_insert(Some("the default".into()));
    }
    names
        .into_iter()
        .map(|(name, about)| Known { name, about })
        .collect()
}

type Names = BTreeMap<String, Option<String>>;

fn of_vms(vms: &[Vm]) -> Names {
    harmless(
        vms.iter()
            .map(|vm| (vm.name.clone(), Some(format!("{}, {}", vm.state, vm.image)))),
    )
}

fn images_of(vms: &[Vm]) -> Names {
    harmless(vms.iter().map(|vm| (vm.image.clone(), None)))
}

fn of_kernels(here: Vec<Kernel>, in_catalog: Vec<CatalogKernel>) -> Names {
    let in_catalog = in_catalog
        .into_iter()
        .map(|kernel| (kernel.name, Some("in the catalog".to_owned())));
    // What is here comes last and so wins.
    let here = here.into_iter().map(|kernel| (kernel.name, Some(kernel.version)));
    harmless(in_catalog.chain(here))
}

fn harmless(names: impl Iterator<Item = (String, Option<String>)>) -> Names {
    names.filter(|(name, _)| is_harmless(name)).collect()
}

fn ask(kind: Kind, socket: Option<OsString>) -> Option<Names> {
    let place = Place::of(socket.map(Into::into)).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asked = async {
        let (client, _) = place.running().await.ok()??;
        Some(match kind {
            Kind::Kernel => of_kernels(client.kernels().await.ok()?, client.catalog_kernels().await.ok()?),
            Kind::Vm => of_vms(&client.vms().await.ok()?),
            Kind::Image => images_of(&client.vms().await.ok()?),
        })
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok() })
        .flatten()
}

fn default_image() -> Option<String> {
    let config = configuration::read(&Environment::of_process()).ok()??;
    Some(config.default_image_name).filter(|name| is_harmless(name))
}

/// Whether a shell can take the name for nothing else: letters, digits, and what an image's name may hold besides.
fn is_harmless(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vm;

    #[test]
    fn a_name_that_a_shell_could_take_for_something_else_is_left_out() {
        let mut evil = vm("$(reboot)", "e");
        evil.image = "-x\n".into();
        let vms = [vm("web", "a"), evil];
        assert_eq!(of_vms(&vms).into_keys().collect::<Vec<_>>(), ["web"]);
        assert_eq!(
            images_of(&vms).into_keys().collect::<Vec<_>>(),
            ["debian-minimal"]
        );
    }
}
