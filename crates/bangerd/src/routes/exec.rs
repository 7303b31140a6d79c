//! `POST /v1/vms/{ref}/exec`: joins the client's connection to a stream into the guest.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use guest::{Exec, UPGRADE_EXEC};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::whole::Client;
use super::{App, Failure, upgrade};

/// Bytes on their way in either direction.
const BUFFER: usize = 64 << 10;

pub(crate) async fn exec(
    State(app): State<App>,
    Path(reference): Path<String>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Failure> {
    let (upgrade, exec) = upgrade::accept::<Exec>(request, UPGRADE_EXEC, "exec").await?;
    let mut guest = client
        .unless_left(app.engine.vms().exec(&reference, &exec))
        .await?;
    tokio::spawn(async move {
        let client = match upgrade.await {
            Ok(client) => client,
            Err(error) => return tracing::debug!(%error, "a client left before its command began"),
        };
        let mut client = TokioIo::new(client);
        if let Err(error) = copy_bidirectional_with_sizes(&mut client, &mut guest, BUFFER, BUFFER).await {
            tracing::debug!(%error, "an exec's stream broke");
        }
    });
    Ok(upgrade::switching(UPGRADE_EXEC))
}
