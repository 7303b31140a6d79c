//! Each thing that users do, once, on real guests, as scenarios with names.
//!
//! ```text
//! scenarios   a table: what each shows, which commands and flags it uses, what of the host it must have alone
//! home        a user's home with a kernel and an image, and `banger` in it; notes each command line
//! registry    and `serve`: what images and bundles come from, on loopback
//! runner      runs scenarios side by side, and says how they went
//! ```
//!
//! A scenario that says that it uses a flag and does not fails. A test of `banger` holds what all scenarios use against
//! the command line itself: a verb or flag that none uses fails it.
#![expect(clippy::unwrap_used, reason = "a scenario ends at what fails")]

mod home;
mod kept;
mod registry;
pub mod runner;
mod scenarios;
mod serve;
mod uses;

pub use home::{Finished, Home, Running, binaries};
pub use kept::keep;
pub use registry::Registry;
pub use scenarios::all;
pub use serve::serve;
pub use uses::Use;

/// What users do, in a few steps.
#[derive(Debug)]
pub struct Scenario {
    /// Short, for the command line.
    pub name: &'static str,
    /// What it shows, a line.
    pub shows: &'static str,
    /// Command lines that it uses, each a verb and its flags: `vm run --rm -i`.
    pub uses: &'static [&'static str],
    /// At most one boot: part of CI.
    pub fast: bool,
    /// What of the host it must have for itself, such as a port.
    pub alone_with: &'static [&'static str],
    /// Does it; panics where something is not as it should be.
    pub run: fn(&Home),
}

impl Scenario {
    /// What it says it uses.
    pub fn uses(&self) -> impl Iterator<Item = Use> {
        self.uses.iter().map(|text| Use::parse(text))
    }
}
