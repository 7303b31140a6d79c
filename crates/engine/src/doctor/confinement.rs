//! Whether VMMs are confined on this host, and the setting that keeps them from it.

use api::{Check, CheckState};
use vmm::Confine;

use super::check;
use crate::walls::{Answer, Wall, allow_user_namespaces};

const NAME: &str = "confinement";

pub(super) fn confinement(confine: Confine) -> Check {
    let refused = vmm::qemu::confinable().map_err(|refusal| refusal.reason());
    result(refused, confine)
}

fn result(refused: Result<(), String>, confine: Confine) -> Check {
    let Err(reason) = refused else {
        let message = "VMMs see nothing of this host and have no rights on it";
        return check(NAME, CheckState::Pass, message, None);
    };
    match Wall::VmmNamespaces.answer(confine == Confine::WherePossible) {
        Answer::Refuse => check(
            NAME,
            CheckState::Fail,
            format!("{reason}; no VM starts"),
            Some(allow_user_namespaces()),
        ),
        Answer::Warn | Answer::Tell => check(
            NAME,
            CheckState::Warn,
            format!(
                "{reason}; VMMs run with all rights of their user ({})",
                Wall::VmmNamespaces.key()
            ),
            Some(allow_user_namespaces()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_refuses_to_confine_fails_unless_that_is_configured() {
        let refused = || Err("cannot make namespaces: no".to_owned());
        for (refused, confine, state, told) in [
            (Ok(()), Confine::Required, CheckState::Pass, "VMMs see nothing"),
            (
                Ok(()),
                Confine::WherePossible,
                CheckState::Pass,
                "VMMs see nothing",
            ),
            (
                refused(),
                Confine::Required,
                CheckState::Fail,
                "cannot make namespaces: no; no VM starts",
            ),
            (
                refused(),
                Confine::WherePossible,
                CheckState::Warn,
                "cannot make namespaces: no; VMMs run with all rights of their user (confinement = \"unconfined\")",
            ),
        ] {
            let found = result(refused, confine);
            assert_eq!(found.state, state, "{}", found.message);
            assert!(found.message.starts_with(told), "{}", found.message);
            assert_eq!(found.hint.is_some(), state != CheckState::Pass);
        }
    }
}
