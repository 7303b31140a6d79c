//! How a machine ended.

use std::fmt;

/// How, as far as the VMM tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The guest took the power away, by the machine's own means.
    PoweredOff,
    /// The guest reset the machine: to boot again, since its kernel failed, or, where there are no means to take the
    /// power away, to be off. No machine goes on after a reset: whoever started it decides.
    Reset,
    /// It is not known: whoever started the VMM is gone, and was the one to learn of it.
    Unknown,
    /// The VMM failed, or was ended from outside.
    Other,
}

/// The end of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How it came.
    pub how: How,
    /// One line that says why, for example the log's last line.
    pub reason: String,
}

impl End {
    pub(crate) fn powered_off() -> Self {
        Self {
            how: How::PoweredOff,
            reason: "the guest powered off".into(),
        }
    }

    pub(crate) fn reset() -> Self {
        Self {
            how: How::Reset,
            reason: "the guest reset its machine".into(),
        }
    }

    /// One of which nothing is known but that it came.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self {
            how: How::Unknown,
            reason: reason.into(),
        }
    }
}

/// Anything else, in these words.
impl From<String> for End {
    fn from(reason: String) -> Self {
        Self {
            how: How::Other,
            reason,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
