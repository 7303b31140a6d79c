//! What tests need: machines that are host processes, points to fail at, and a look at what was left behind.

pub mod abuse;
mod again;
pub mod container;
mod dice;
mod fifo;
mod fuzz;
pub mod hostile;
pub mod kernel;
mod leaks;
mod little_disk;
mod panicked;
mod points;
mod program;
pub mod simulated;
pub mod traffic;
pub mod trouble;

pub use again::Again;
pub use dice::Dice;
pub use fifo::make_fifo;
pub use fuzz::Fuzz;
pub use hostile::Lie;
pub use leaks::{Leaks, end_processes_of, processes_of};
pub use little_disk::with_a_little_disk;
pub use panicked::panicked;
pub use points::{Action, Hold, Injected, Points, VARIABLE as POINTS_VARIABLE};
pub use program::Program;
pub use simulated::{GuestEnd, MachineFaults, SimulatedBackend, Then};
