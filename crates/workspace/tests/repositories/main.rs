//! Real repositories, driven by real git, whose guest is a second folder of this machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod again;
mod bombs;
mod by_links;
mod coming_out;
mod edits;
mod forged;
mod going_in;
mod hostile;
mod in_the_way;
mod inner;
mod large;
mod leading_out;
mod many_links;
mod named;
mod owners;
mod patches;
mod planted;
mod pulling;
mod reasons;
mod sparse;
mod support;
mod trouble;
mod unsaved;
mod waiting;
