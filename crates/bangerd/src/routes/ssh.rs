//! `/v1/ssh` and `/v1/vms/{ref}/ssh`.

use api::{SshAccess, SshFiles};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::{Extension, Json};
use guest::UPGRADE_SSH;
use serde::de::IgnoredAny;

use super::whole::Client;
use super::{App, Failure, upgrade};

pub(crate) async fn files(State(app): State<App>) -> Result<Json<SshFiles>, Failure> {
    Ok(Json(app.engine.vms().ssh_files().await?))
}

pub(crate) async fn access(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<SshAccess>, Failure> {
    Ok(Json(app.engine.vms().ssh_access(&reference).await?))
}

pub(crate) async fn connect(
    State(app): State<App>,
    Path(reference): Path<String>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Failure> {
    let (upgrade, IgnoredAny) = upgrade::accept(request, UPGRADE_SSH, "ssh").await?;
    let guest = client.unless_left(app.engine.vms().ssh(&reference)).await?;
    upgrade::join(upgrade, guest, "ssh");
    Ok(upgrade::switching(UPGRADE_SSH))
}
