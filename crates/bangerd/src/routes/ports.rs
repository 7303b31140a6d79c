//! `GET /v1/vms/{ref}/ports`.

use api::GuestPorts;
use axum::Json;
use axum::extract::{Path, State};

use super::{App, Failure};

pub(crate) async fn ports(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<GuestPorts>, Failure> {
    Ok(Json(app.engine.vms().ports(&reference).await?))
}
