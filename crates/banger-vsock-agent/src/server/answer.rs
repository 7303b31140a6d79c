//! Answers: JSON bodies, and problems with the status that goes with each.

use bytes::Bytes;
use guest::files::TarBody;
use guest::{Problem, ProblemCode};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// An answer; its body is there, or a stream of files.
pub(super) type Answer = Response<TarBody>;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(body(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// An answer with a body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let Ok(body) = serde_json::to_vec(body) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut answer = Response::new(self::body(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The answer that states a problem.
pub(super) fn problem(problem: &Problem) -> Answer {
    let status = match problem.code {
        ProblemCode::BadRequest => StatusCode::BAD_REQUEST,
        ProblemCode::NotFound => StatusCode::NOT_FOUND,
        ProblemCode::CommandNotFound
        | ProblemCode::CommandNotExecutable
        | ProblemCode::NoWorkdir
        | ProblemCode::NoUser
        | ProblemCode::CannotConnect
        | ProblemCode::Files => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    json(status, problem)
}

fn body(bytes: Bytes) -> TarBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
