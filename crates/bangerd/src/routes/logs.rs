//! `GET /v1/vms/{ref}/logs`.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::LogKind;
use serde::Deserialize;

use super::{App, Failure};

const TEXT: &str = "text/plain; charset=utf-8";

/// Which log, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    source: Source,
    #[serde(default)]
    follow: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    #[default]
    Console,
    Vmm,
}

pub(crate) async fn logs(
    State(app): State<App>,
    Path(reference): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(Wanted { source, follow }) = query?;
    let kind = match source {
        Source::Console => LogKind::Console,
        Source::Vmm => LogKind::Vmm,
    };
    let vms = app.engine.vms();
    let body = match follow {
        false => Body::from(vms.logs(&reference, kind).await?),
        true => {
            let follow = vms.follow_logs(&reference, kind).await?;
            // Dropped, and so ended, when the client leaves.
            Body::from_stream(futures::stream::try_unfold(follow, |mut follow| async move {
                let piece = follow.next().await?;
                Ok::<_, std::io::Error>(piece.map(|piece| (piece, follow)))
            }))
        }
    };
    Ok(([(header::CONTENT_TYPE, TEXT)], body).into_response())
}
