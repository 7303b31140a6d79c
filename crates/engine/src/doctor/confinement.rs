//! Whether VMMs are confined on this host, and the setting that keeps them from it.

use std::fs;
use std::path::Path;

use api::{Check, CheckState};

use super::check;

const NAME: &str = "confinement";

/// Settings by which hosts refuse user namespaces, the value that does, and how it is changed.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (for good: a file in /etc/sysctl.d)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "sudo sysctl kernel.unprivileged_userns_clone=1 (for good: a file in /etc/sysctl.d)",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "sudo sysctl user.max_user_namespaces=15000 (for good: a file in /etc/sysctl.d)",
    ),
];

pub(super) fn confinement() -> Check {
    let refused = vmm::qemu::confinable().map_err(|refusal| refusal.reason());
    result(refused, Path::new("/proc/sys"))
}

fn result(refused: Result<(), String>, settings: &Path) -> Check {
    let Err(reason) = refused else {
        let message = "VMMs see nothing of this host and have no rights on it";
        return check(NAME, CheckState::Pass, message, None);
    };
    let is = |name: &str, value: &str| {
        fs::read_to_string(settings.join(name)).is_ok_and(|text| text.trim() == value)
    };
    let hint = SETTINGS.iter().find(|(name, value, _)| is(name, value)).map_or(
        "let user namespaces be made; in a container, run it with the right to (CAP_SYS_ADMIN)",
        |(_, _, hint)| hint,
    );
    let message = format!("{reason}; VMMs run with all rights of their user");
    check(NAME, CheckState::Warn, message, Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_refuses_user_namespaces_is_named() {
        let settings = tempfile::tempdir().unwrap();
        assert_eq!(result(Ok(()), settings.path()).state, CheckState::Pass);
        let refused = || result(Err("cannot make namespaces: no".into()), settings.path());
        assert_eq!(refused().state, CheckState::Warn);
        assert!(refused().message.starts_with("cannot make namespaces: no; "));
        assert!(refused().hint.unwrap().contains("container"));
        fs::create_dir_all(settings.path().join("user")).unwrap();
        let limit = settings.path().join("user/max_user_namespaces");
        for (value, named) in [("96365\n", false), ("0\n", true)] {
            fs::write(&limit, value).unwrap();
            assert_eq!(
                refused().hint.unwrap().contains("max_user_namespaces"),
                named,
                "{value}"
            );
        }
    }
}
