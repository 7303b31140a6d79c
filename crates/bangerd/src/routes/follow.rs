//! Answers of calls that take long: an operation, or its events as they happen.

use std::convert::Infallible;

use api::Event;
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::{Engine, Events, OperationHandle};
use serde::Serialize;

/// The media type of a stream of events.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// What the end of the client's connection means.
#[derive(Debug)]
pub(crate) enum Hold {
    /// Nothing: it only watches.
    Watch,
    /// The operation is the client's: cancel it.
    Cancel,
    /// The VM is the client's too: cancel the operation, or delete the VM it made.
    Lease {
        /// Where to delete it.
        engine: Engine,
        /// The VM's id.
        vm: String,
    },
}

/// Whether the client wants to follow the operation on this connection.
pub(crate) fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes() == NDJSON.as_bytes())
}

/// 202 with the operation, or 200 with its events if the client asked for them.
pub(crate) fn answer(headers: &HeaderMap, operation: OperationHandle, hold: Hold) -> Response {
    if wants_events(headers) {
        stream(operation, hold)
    } else {
        (StatusCode::ACCEPTED, Json(operation.view())).into_response()
    }
}

/// The operation's events, a line each.
pub(crate) fn stream(operation: OperationHandle, hold: Hold) -> Response {
    let follower = Follower {
        events: operation.events(),
        operation,
        hold,
        ended: false,
    };
    let lines = futures::stream::unfold(follower, |mut follower| async move {
        let line = follower.next_line().await?;
        Some((Ok::<_, Infallible>(line), follower))
    });
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}

/// A line of NDJSON.
pub(crate) fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
    line.push(b'\n');
    line.into()
}

/// Reads events for a client; dropped when its connection closes.
struct Follower {
    events: Events,
    operation: OperationHandle,
    hold: Hold,
    ended: bool,
}

impl Follower {
    async fn next_line(&mut self) -> Option<Bytes> {
        match self.events.next().await {
            Some(event) => {
                if event.is_end() {
                    self.ended = true;
                    if !matches!(event, Event::Succeeded { .. }) {
                        self.hold = Hold::Watch;
                    }
                }
                Some(line(&event))
            }
            // A lease lasts as long as the connection.
            None if matches!(self.hold, Hold::Lease { .. }) => std::future::pending().await,
            None => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        match (&self.hold, self.ended) {
            (Hold::Watch, _) | (Hold::Cancel, true) => {}
            (Hold::Cancel | Hold::Lease { .. }, false) => {
                tracing::info!(operation = self.operation.id(), "its client left; cancelling");
                self.operation.cancel();
                // It may have been done already when the client left.
                if let Hold::Lease { engine, vm } = &self.hold {
                    release(engine.clone(), vm.clone());
                }
            }
            (Hold::Lease { engine, vm }, true) => release(engine.clone(), vm.clone()),
        }
    }
}

/// Deletes a VM whose lease has ended.
fn release(engine: Engine, vm: String) {
    tokio::spawn(async move {
        match engine.vms().delete(&vm).await {
            Ok(operation) => {
                if let Err(error) = operation.wait().await {
                    tracing::warn!(%vm, %error, "cannot delete a VM whose client left");
                }
            }
            Err(engine::EngineError::VmNotFound { .. }) => {}
            Err(error) => tracing::warn!(%vm, %error, "cannot delete a VM whose client left"),
        }
    });
}
