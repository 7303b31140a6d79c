//! The scenarios, a table; those that belong together share a file.

mod commands;
mod life;
mod looking;
mod ports;
mod terminal;

use crate::Scenario;

static ALL: &[Scenario] = &[
    looking::LOOKING,
    looking::REFUSED,
    commands::ONE_COMMAND,
    life::LIFE,
    life::SEVERAL,
    commands::KEPT_RUNNING,
    terminal::TERMINAL,
    ports::FORWARD,
];

/// All scenarios, in the order to run them.
#[must_use]
pub fn all() -> &'static [Scenario] {
    ALL
}
