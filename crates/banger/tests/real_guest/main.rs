//! Real guests, driven as a user drives them: the binaries of `make build`, an image of the catalog, nothing simulated.
//!
//! Needs `build/bin` (`make build`) or `BANGER_TEST_BIN`, and what `scripts/setup run` installs. Kernel and image are
//! fetched and built once and kept below the build folder; every test has a home of its own with links to them.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod commands;
mod containers;
mod daemon;
mod devices;
mod direct;
mod early;
mod full;
mod giving_back;
mod growing;
mod home;
mod hostile;
mod inside;
mod kept;
mod leaving;
mod pages;
mod power;
mod shell;
mod ssh;

use home::Home;
