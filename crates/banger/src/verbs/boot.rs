//! What follows a boot: the user's own files, and with `--wait boot` the end of what the image's init does.

use std::time::Instant;

use api::client::Client;
use api::{Event, StageState};

use super::file_sync::Synced;
use super::operation::ending;
use crate::cli::Wait;
use crate::failure::Failure;
use crate::render::{Progress, one_line};
use crate::terminal::{Signals, exit_code};

/// Brings the user's files, and waits for the init if that is asked for, as a stage like any other. A boot in which a
/// service failed is a warning.
///
/// # Errors
/// The VM ended meanwhile, or a signal came.
pub async fn finish(
    client: &Client,
    id: &str,
    synced: Synced,
    wait: Wait,
    progress: &mut Progress,
    signals: &mut Signals,
) -> Result<(), Failure> {
    tokio::select! {
        () = synced.bring(client, id) => {}
        // A guest may take as long over them as it likes.
        signal = ending(signals) => {
            let failure = Failure::new("cancelled while your files were copied into the VM");
            return Err(failure.with_code(exit_code(signal)));
        }
    }
    if wait == Wait::Ready {
        return Ok(());
    }
    let since = Instant::now();
    let stage = |state, detail: &str| Event::Stage {
        name: "boot".to_owned(),
        state,
        detail: detail.to_owned(),
        done: None,
        total: None,
        elapsed_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    progress.event(&stage(StageState::Running, "services"));
    let booted = tokio::select! {
        booted = client.boot(id) => booted,
        signal = ending(signals) => {
            progress.event(&stage(StageState::Failed, "services"));
            return Err(Failure::new("cancelled while the VM's services were starting").with_code(exit_code(signal)));
        }
    };
    match booted {
        Ok(booted) => {
            progress.event(&stage(StageState::Done, &format!("services  {}", booted.state)));
            if booted.state != "running" {
                let name = one_line(&booted.name);
                let message = format!(
                    "`{name}` has booted and is {}: banger vm exec {name} -- systemctl --failed",
                    one_line(&booted.state)
                );
                progress.event(&Event::Warning { message });
            }
            Ok(())
        }
        Err(error) => {
            progress.event(&stage(StageState::Failed, "services"));
            Err(error.into())
        }
    }
}
