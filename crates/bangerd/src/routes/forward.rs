//! `POST /v1/vms/{ref}/forward`: joins the client's connection to a port of the guest.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use guest::{Forward, UPGRADE_FORWARD};

use super::whole::Client;
use super::{App, Failure, upgrade};

pub(crate) async fn forward(
    State(app): State<App>,
    Path(reference): Path<String>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Failure> {
    let (upgrade, forward) = upgrade::accept::<Forward>(request, UPGRADE_FORWARD, "forward").await?;
    let guest = client
        .unless_left(app.engine.vms().forward(&reference, &forward))
        .await?;
    upgrade::join(upgrade, guest, "forward");
    Ok(upgrade::switching(UPGRADE_FORWARD))
}
