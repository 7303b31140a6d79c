//! The scenarios, a table; those that belong together share a file.

mod commands;
mod containers;
mod direct;
mod files;
mod golden;
mod images;
mod kernels;
mod life;
mod looking;
mod ports;
mod published;
mod shape;
mod ssh;
mod terminal;
mod words;
mod workspaces;

use crate::Scenario;

static ALL: &[Scenario] = &[
    looking::LOOKING,
    looking::REFUSED,
    kernels::KERNELS,
    kernels::BUNDLE,
    published::PUBLISHED,
    kernels::REGISTER,
    kernels::BUILD,
    commands::ONE_COMMAND,
    life::LIFE,
    life::SEVERAL,
    commands::KEPT_RUNNING,
    terminal::TERMINAL,
    words::WORDS,
    ports::FORWARD,
    kernels::KERNEL_FETCH,
    files::FILES,
    ssh::SSH,
    shape::SHAPE,
    images::IMAGES,
    containers::CONTAINERS,
    direct::DIRECT,
    golden::GOLDEN,
    workspaces::WORKSPACE,
    workspaces::WORKSPACES,
];

/// All scenarios, in the order to run them.
#[must_use]
pub fn all() -> &'static [Scenario] {
    ALL
}
