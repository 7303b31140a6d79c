//! The variables that a command starts with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use guest::{Exec, Problem};

use super::accounts::Account;
use crate::problem::bad_request;

/// Where commands are looked for unless a variable says otherwise; the same for every user, as in containers.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What terminals are, unless the host says.
const TERM: &str = "xterm";

/// Variables by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The account's own variables, over them the machine's, over them the request's.
pub(super) fn compose(
    account: &Account,
    shell: &Path,
    machine: &BTreeMap<String, String>,
    exec: &Exec,
) -> Environment {
    let mut environment = Environment::from([
        ("PATH".into(), PATH.into()),
        ("HOME".into(), account.home.clone().into()),
        ("USER".into(), account.name.clone()),
        ("LOGNAME".into(), account.name.clone()),
        ("SHELL".into(), shell.into()),
    ]);
    if exec.tty.is_some() {
        environment.insert("TERM".into(), exec.term.as_deref().unwrap_or(TERM).into());
    }
    for (name, value) in machine.iter().chain(&exec.env) {
        environment.insert(name.into(), value.into());
    }
    environment
}

/// Refuses what no environment can hold.
pub(crate) fn check(variables: &BTreeMap<String, String>) -> Result<(), Problem> {
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(bad_request(format!(
                "`{}` names no variable",
                name.escape_default()
            )));
        }
        if value.contains('\0') {
            return Err(bad_request(format!("the value of `{name}` has a NUL in it")));
        }
    }
    Ok(())
}
