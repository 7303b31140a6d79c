//! `banger vm stats`: what VMs use.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use api::client::Client;
use api::{VmState, VmStats};
use futures::StreamExt;
use serde::Serialize;

use super::lifecycle::{AT_ONCE, Target, targets};
use crate::cli::StatsArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Usage};

/// Between the two readings that a rate is made of.
const BETWEEN: Duration = Duration::from_millis(500);

/// Between two screens of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

/// Home, and clear to the end: nothing flickers.
const REDRAW: &str = "\x1b[H\x1b[J";

#[derive(Serialize)]
struct Report {
    vms: Vec<Usage>,
    total: Usage,
}

/// Reads twice, for the rates, and shows what came out; again and again with `--watch`.
///
/// # Errors
/// The daemon cannot be asked. A VM that cannot be read only shows in the code.
pub async fn stats(place: &Place, args: &StatsArgs) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let redraw = args.watch && std::io::stdout().is_terminal();
    let (first, _) = read(&client, args, false).await?;
    let mut before = by_id(first);
    tokio::time::sleep(BETWEEN).await;
    loop {
        let (now, code) = read(&client, args, true).await?;
        let vms: Vec<Usage> = now
            .iter()
            .map(|now| Usage::of(before.get(&now.id), now))
            .collect();
        let total = Usage::total(&vms);
        if args.json {
            render::json(&Report { vms, total })?;
        } else {
            let start = if redraw { REDRAW } else { "" };
            render::output(&format!("{start}{}", render::usage(&vms, &total)))?;
        }
        if !args.watch {
            return Ok(code);
        }
        before = by_id(now);
        tokio::time::sleep(WATCH).await;
    }
}

fn by_id(all: Vec<VmStats>) -> HashMap<String, VmStats> {
    all.into_iter().map(|stats| (stats.id.clone(), stats)).collect()
}

/// One reading of those that are meant, in their order. Why one is missing is said where `tell`.
async fn read(client: &Client, args: &StatsArgs, tell: bool) -> Result<(Vec<VmStats>, u8), Failure> {
    let vms = client.vms().await?;
    let wanted: Vec<Target> = match args.references.as_slice() {
        [] => vms
            .into_iter()
            .filter(|vm| matches!(vm.state, VmState::Running | VmState::Stopping))
            .map(|vm| Ok((vm.id, vm.name)))
            .collect(),
        references => targets(references, &vms),
    };
    let asked = wanted.into_iter().map(|target| async {
        let (id, _) = target?;
        Ok::<_, Failure>(client.stats(&id).await?)
    });
    let mut answers = std::pin::pin!(futures::stream::iter(asked).buffered(AT_ONCE));
    let (mut found, mut code) = (Vec::new(), 0);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(stats) => found.push(stats),
            Err(failure) if tell => code = code.max(failure.report()),
            Err(failure) => code = code.max(failure.code()),
        }
    }
    Ok((found, code))
}
