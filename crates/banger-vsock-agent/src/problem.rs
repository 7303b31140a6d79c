//! Making the problems that requests are answered with.

use std::fmt::Display;

use guest::{Problem, ProblemCode};

/// A problem of this kind.
pub(crate) fn problem(code: ProblemCode, message: impl Into<String>) -> Problem {
    Problem {
        code,
        message: message.into(),
    }
}

/// The request breaks a rule.
pub(crate) fn bad_request(message: impl Into<String>) -> Problem {
    problem(ProblemCode::BadRequest, message)
}

/// A step failed inside the agent.
pub(crate) fn internal(step: impl Display, cause: impl Display) -> Problem {
    problem(ProblemCode::Internal, format!("{step}: {cause}"))
}
