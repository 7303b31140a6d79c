//! `banger doctor`.

use api::{Check, CheckState, Report, Version};

use super::ssh_check;
use crate::cli::JsonArgs;
use crate::daemon::{Place, VERSION, skew};
use crate::failure::Failure;
use crate::render;

/// Checks the way to the daemon, then has the daemon check the host.
///
/// # Errors
/// The report cannot be shown.
pub async fn doctor(place: &Place, args: &JsonArgs) -> Result<u8, Failure> {
    let report = examine(place).await;
    if args.json {
        render::json(&report)?;
    } else {
        render::output(&render::report(
            &report.checks,
            render::coloured(&std::io::stdout()),
        ))?;
    }
    let failed = report.checks.iter().any(|check| check.state == CheckState::Fail);
    Ok(u8::from(failed))
}

async fn examine(place: &Place) -> Report {
    let (client, version) = match place.connect_unchecked().await {
        Ok(found) => found,
        Err(failure) => {
            return Report {
                checks: vec![unreachable(&failure)],
            };
        }
    };
    let mut checks = vec![daemon(&version)];
    match client.doctor().await {
        Ok(report) => checks.extend(report.checks),
        Err(error) => checks.push(unreachable(&error.into())),
    }
    checks.push(ssh_check::check(&client).await);
    Report { checks }
}

fn unreachable(failure: &Failure) -> Check {
    Check {
        name: "daemon".into(),
        state: CheckState::Fail,
        message: failure.message().to_owned(),
        hint: failure.hint().map(str::to_owned),
    }
}

fn daemon(version: &Version) -> Check {
    let same = version.version == VERSION;
    Check {
        name: "daemon".into(),
        state: if same { CheckState::Pass } else { CheckState::Warn },
        message: if same {
            format!("{} at {}, pid {}", version.version, version.socket, version.pid)
        } else {
            skew(version)
        },
        hint: None,
    }
}
