//! `/v1/vms`.

use api::{CreateVm, Vm};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;

use super::follow::{Hold, answer, wants_events};
use super::whole::Client;
use super::{App, Failure};

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Vm>>, Failure> {
    Ok(Json(app.engine.vms().list().await?))
}

pub(crate) async fn show(State(app): State<App>, Path(reference): Path<String>) -> Result<Json<Vm>, Failure> {
    Ok(Json(app.engine.vms().show(&reference).await?))
}

pub(crate) async fn create(
    State(app): State<App>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<CreateVm>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    let ephemeral = request.ephemeral;
    if ephemeral && !wants_events(&headers) {
        return Err(Failure::bad_request(
            "`ephemeral` needs a connection that holds the VM: send `Accept: application/x-ndjson`",
        ));
    }
    client.unless_left(app.engine.vms().look_up(&request)).await?;
    let operation = app.engine.vms().create(request).await?;
    let hold = match operation.view().vm {
        Some(vm) if ephemeral => Hold::Lease {
            engine: app.engine,
            vm,
        },
        _ => Hold::Cancel,
    };
    Ok(answer(&headers, operation, hold))
}

pub(crate) async fn start(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let operation = app.engine.vms().start(&reference).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

/// A stop goes on when its client leaves: half a stop is nothing anybody wants.
pub(crate) async fn stop(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let operation = app.engine.vms().stop(&reference).await?;
    Ok(answer(&headers, operation, Hold::Watch))
}

/// What a delete spares.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    /// A VM that runs or is worked on.
    #[serde(default)]
    idle: bool,
}

/// So does a delete.
pub(crate) async fn delete(
    State(app): State<App>,
    Path(reference): Path<String>,
    query: Result<Query<Delete>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Delete { idle }) = query?;
    let vms = app.engine.vms();
    let operation = match idle {
        true => vms.delete_idle(&reference).await?,
        false => vms.delete(&reference).await?,
    };
    Ok(answer(&headers, operation, Hold::Watch))
}
