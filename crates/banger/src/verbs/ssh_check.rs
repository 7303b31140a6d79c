//! What `banger doctor` says of ssh into VMs.

use api::client::Client;
use api::{Check, CheckState};
use config::Environment;

use super::ssh::{home, own_path};
use crate::failure::Failure;
use crate::ssh::{Included, Settings, UserFile};

/// Whether there is an ssh, and whether it knows VMs by name.
pub(super) async fn check(client: &Client) -> Check {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("ssh").is_file()));
    if !found {
        return said(
            CheckState::Warn,
            "no `ssh` on the PATH: neither `banger vm ssh` nor `ssh NAME.vm` works".into(),
            Some("install it (on Debian: apt-get install openssh-client)"),
        );
    }
    match included(client).await {
        Ok((file, Included::This)) => said(CheckState::Pass, format!("`ssh NAME.vm` works, by {file}"), None),
        Ok((_, Included::Not)) => said(
            CheckState::Pass,
            "`banger vm ssh` works; `banger ssh-config --install` has `ssh NAME.vm` work too".into(),
            None,
        ),
        Ok((file, Included::Another)) => said(
            CheckState::Warn,
            format!("{file} includes the settings of another state folder"),
            Some("banger ssh-config --install"),
        ),
        Err(failure) => said(CheckState::Warn, failure.message().to_owned(), failure.hint()),
    }
}

async fn included(client: &Client) -> Result<(String, Included), Failure> {
    let settings = Settings::new(&client.ssh_files().await?, &own_path()?)?;
    let environment = Environment::of_process();
    let file = UserFile::below(&home(&environment)?, environment.uid());
    let included = file.includes(settings.path())?;
    Ok((file.path().display().to_string(), included))
}

fn said(state: CheckState, message: String, hint: Option<&str>) -> Check {
    Check {
        name: "ssh".into(),
        state,
        message,
        hint: hint.map(str::to_owned),
    }
}
