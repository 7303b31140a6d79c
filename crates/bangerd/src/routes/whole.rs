//! A call that changes something is carried out whole, also when its client leaves in the middle of it.
//!
//! The server drops what answers a request as soon as its client has left ([`crate::presence`]). Dropped half way, a call would leave an
//! operation that nobody ends and a VM that nobody drives. So it runs in a task of its own; the answer, if nobody is
//! there to have it, is dropped, which cancels what was the client's alone ([`super::follow`]). A wait that comes before
//! any change ends when the client leaves ([`Client`]).

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::broken::Fate;

/// The client of a call that is carried out whole.
#[derive(Clone, Debug)]
pub(crate) struct Client(CancellationToken);

impl Client {
    /// Waits for what the client alone wants and what changes nothing, until it leaves.
    pub(crate) async fn unless_left<T>(
        &self,
        wait: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, Failure> {
        let outcome = self.0.run_until_cancelled(wait).await;
        Ok(outcome.unwrap_or(Err(EngineError::Cancelled))?)
    }
}

pub(crate) async fn carry_out(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let fate = Fate::default();
    let mut request = request.map(|body| fate.watch(body));
    let left = CancellationToken::new();
    request.extensions_mut().insert(Client(left.clone()));
    let _left = left.drop_guard();
    match tokio::spawn(next.run(request)).await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => fate.failure().map_or(response, IntoResponse::into_response),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it the daemon.
            Err(_) => Failure::from(EngineError::Cancelled).into_response(),
        },
    }
}
