//! The daemon: configuration, wiring, HTTP routes and signals.
//!
//! Everything that decides is in `engine`; here requests become calls and outcomes become answers.

mod announce;
mod configured;
mod daemon;
mod idle;
mod lock;
mod logging;
mod outdated;
mod peer;
mod presence;
mod routes;
mod settings;
mod socket;

pub use announce::Announcement;
pub use configured::ConfigurationFile;
pub use daemon::{Daemon, DaemonError, Surroundings};
pub use logging::start_logging;
pub use settings::Settings;
