//! Failures as answers.

use api::{ApiError, ErrorBody, ErrorCode};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::EngineError;

use super::LARGEST_BODY;

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl Failure {
    pub(crate) fn no_route() -> Self {
        Self(ApiError {
            code: ErrorCode::NotFound,
            message: "no such route".into(),
            hint: Some(
                "banger and its daemon may be of different versions: `banger version` shows both".into(),
            ),
            operation: None,
        })
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::of_request(ErrorCode::BadRequest, message)
    }

    pub(crate) fn incomplete_body(message: impl Into<String>) -> Self {
        Self::of_request(ErrorCode::IncompleteBody, message)
    }

    /// A request whose body, `what` it is, is longer than any may be.
    pub(crate) fn too_long(what: &str) -> Self {
        Self::bad_request(format!(
            "the {what} is longer than the {} MiB that a request may have",
            LARGEST_BODY >> 20
        ))
    }

    fn of_request(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError {
            code,
            message: message.into().replace('\n', " "),
            hint: None,
            operation: None,
        })
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self(error.to_api())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_long("request");
        }
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.code {
            ErrorCode::VmNotFound
            | ErrorCode::NotFound
            | ErrorCode::ImageNotFound
            | ErrorCode::KernelNotFound
            | ErrorCode::OperationNotFound => StatusCode::NOT_FOUND,
            ErrorCode::PortUnavailable
            | ErrorCode::VmAmbiguous
            | ErrorCode::VmExists
            | ErrorCode::VmState
            | ErrorCode::ImageInUse
            | ErrorCode::ImageExists
            | ErrorCode::KernelInUse
            | ErrorCode::KernelExists => StatusCode::CONFLICT,
            ErrorCode::Invalid
            | ErrorCode::BadRequest
            | ErrorCode::IncompleteBody
            | ErrorCode::CommandNotFound
            | ErrorCode::CommandNotExecutable
            | ErrorCode::CannotConnect
            | ErrorCode::GuestFiles
            | ErrorCode::AgentRefused => StatusCode::BAD_REQUEST,
            ErrorCode::AgentSilent => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::HostResource => StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::ArtefactFailed
            | ErrorCode::VmmMissing
            | ErrorCode::VmmFailed
            | ErrorCode::Cancelled
            | ErrorCode::Internal
            | ErrorCode::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(ErrorBody { error: self.0 })).into_response()
    }
}
