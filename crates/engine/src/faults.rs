//! Named points at which a test may make the engine fail, wait or die. In production each is free.

use std::fmt;

use futures::future::BoxFuture;

/// What happens at a named point.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Called when the engine passes `point`; an error makes the step at hand fail with that text.
    fn hit<'a>(&'a self, point: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Whether a write of the store fails, as on a full disk; `what` is what it is for.
    fn fails_write(&self, what: &'static str) -> bool {
        let _ = what;
        false
    }
}

/// Nothing ever happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn hit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
