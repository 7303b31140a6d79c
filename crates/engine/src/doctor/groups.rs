//! Whether VMs get control groups on this host.

use api::{Check, CheckState};

use super::check;

const NAME: &str = "control groups";

pub(super) fn groups() -> Check {
    result(vmm::groups::outlook())
}

fn result(outlook: Result<&'static str, String>) -> Check {
    match outlook {
        Ok(how) => {
            let message = format!("memory, threads and share of the processors of each VM, {how}");
            check(NAME, CheckState::Pass, message, None)
        }
        Err(reason) => {
            let (reason, hint) = match reason.split_once(": ") {
                Some((reason, hint)) => (reason, Some(hint)),
                None => (&*reason, None),
            };
            let message = format!("{reason}; VMs have the limits of their processes alone");
            check(NAME, CheckState::Warn, message, hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_gives_no_control_groups_says_why_and_what_remains() {
        assert_eq!(result(Ok("made by root")).state, CheckState::Pass);
        let refused = result(Err("this host has no systemd".into()));
        assert_eq!(refused.state, CheckState::Warn);
        assert_eq!(
            refused.message,
            "this host has no systemd; VMs have the limits of their processes alone"
        );
        assert_eq!(refused.hint, None);
        let lingering = result(Err("they end with the last login: loginctl enable-linger".into()));
        assert_eq!(lingering.hint.as_deref(), Some("loginctl enable-linger"));
    }
}
