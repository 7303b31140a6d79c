//! Names that a shell may complete: what the daemon knows, if one runs, and soon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use api::Vm;
use config::{Config, Environment, Paths};

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
    let vms = ask(socket).unwrap_or_default();
    let mut names = of(kind, &vms);
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

fn of(kind: Kind, vms: &[Vm]) -> BTreeMap<String, Option<String>> {
    let pair = |vm: &Vm| match kind {
        Kind::Vm => (vm.name.clone(), Some(format!("{}, {}", vm.state, vm.image))),
        Kind::Image => (vm.image.clone(), None),
        // `debian-cloud 6.1.192`: the version is not part of the name.
        Kind::Kernel => (vm.kernel.split(' ').next().unwrap_or_default().to_owned(), None),
    };
    vms.iter()
        .map(pair)
        .filter(|(name, _)| is_harmless(name))
        .collect()
}

fn ask(socket: Option<OsString>) -> Option<Vec<Vm>> {
    let place = Place::of(socket.map(Into::into)).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asked = async {
        let (client, _) = place.running().await.ok()??;
        client.vms().await.ok()
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, asked).await.ok() })
        .flatten()
}

fn default_image() -> Option<String> {
    let environment = Environment::of_process();
    let paths = Paths::personal(&environment).ok()?;
    let config = Config::load(&paths.config_file(), &environment).ok()?;
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
        assert_eq!(of(Kind::Vm, &vms).into_keys().collect::<Vec<_>>(), ["web"]);
        assert_eq!(
            of(Kind::Image, &vms).into_keys().collect::<Vec<_>>(),
            ["debian-minimal"]
        );
        assert_eq!(
            of(Kind::Kernel, &vms).into_keys().collect::<Vec<_>>(),
            ["debian-cloud"]
        );
    }
}
