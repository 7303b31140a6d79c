//! `POST /v1/vms/{ref}/forward`: joins the client's connection to a port of the guest.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use guest::{Forward, UPGRADE_FORWARD};
use hyper_util::rt::TokioIo;

use super::{App, Failure, upgrade};

pub(crate) async fn forward(
    State(app): State<App>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (upgrade, forward) = upgrade::accept::<Forward>(request, UPGRADE_FORWARD, "forward").await?;
    let mut guest = app.engine.vms().forward(&reference, &forward).await?;
    tokio::spawn(async move {
        let client = match upgrade.await {
            Ok(client) => client,
            Err(error) => return tracing::debug!(%error, "a client left before its connection began"),
        };
        if let Err(error) = guest::forward::join(&mut TokioIo::new(client), &mut guest).await {
            tracing::debug!(%error, "a forwarded connection broke");
        }
    });
    Ok(upgrade::switching(UPGRADE_FORWARD))
}
