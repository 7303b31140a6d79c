//! `banger vm ping`: whether agents answer.

use api::Pong;
use futures::StreamExt;

use super::lifecycle::{AT_ONCE, targets};
use crate::cli::PingArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// Asks all of them at once, and tells in the order given.
///
/// # Errors
/// The daemon cannot be asked. A VM that does not answer only shows in the code.
pub async fn ping(place: &Place, args: &PingArgs) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let vms = client.vms().await?;
    let asked = targets(&args.vms.references, &vms)
        .into_iter()
        .map(|target| async {
            let (id, _) = target?;
            Ok(client.ping(&id).await?)
        });
    let mut answers = std::pin::pin!(futures::stream::iter(asked).buffered(AT_ONCE));
    let (mut pongs, mut code) = (Vec::new(), 0);
    while let Some(answer) = answers.next().await {
        let answer: Result<Pong, Failure> = answer;
        match answer {
            Ok(pong) if args.json => pongs.push(pong),
            Ok(_) if args.quiet => {}
            Ok(pong) => render::output(&line(&pong))?,
            Err(failure) => code = code.max(failure.report()),
        }
    }
    if args.json {
        render::json(&pongs)?;
    }
    Ok(code)
}

fn line(pong: &Pong) -> String {
    let name = render::one_line(&pong.name);
    let version = render::one_line(&pong.agent_version);
    let took = pong.round_trip_us as f64 / 1000.0;
    format!("{name}: agent {version} answered in {took:.1} ms\n")
}
