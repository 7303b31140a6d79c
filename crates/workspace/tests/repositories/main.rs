//! Real repositories, driven by real git, whose guest is a second folder of this machine.

mod again;
mod coming_out;
mod going_in;
mod hostile;
mod patches;
mod support;
mod trouble;
