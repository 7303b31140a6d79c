//! How a simulated guest ends its machine by itself.

use guest::Shutdown;
use serde::{Deserialize, Serialize};

/// What a guest does, some time after its agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestEnd {
    /// How long after that.
    pub after_ms: u64,
    /// What its agent says first, if anything.
    pub word: Option<Shutdown>,
    /// What its kernel then prints, if anything.
    pub prints: Option<String>,
    /// What happens after that.
    pub then: Then,
}

impl GuestEnd {
    /// At once, silently.
    #[must_use]
    pub fn at_once(then: Then) -> Self {
        Self {
            after_ms: 0,
            word: None,
            prints: None,
            then,
        }
    }
}

/// What becomes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Its power goes off.
    PowerOff,
    /// It is reset.
    Reset,
    /// Its processors stop: the process stays, and nothing in it answers any more.
    Halt,
    /// It lives on as if nothing were.
    LiveOn,
}
