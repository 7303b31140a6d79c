//! The agent as its host sees it, with commands that really run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod farewell;
mod files;
mod forwards;
mod hosts;
mod support;
mod terminals;
