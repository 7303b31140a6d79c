//! What a simulated machine does wrong; kept in its folder and read anew for every connection.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::GuestEnd;
use crate::hostile::Lie;

const FILE: &str = "faults.json";

/// What a machine does wrong. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineFaults {
    /// The process ends before it is ready, with this on its standard error.
    pub dies_at_start: Option<String>,
    /// The process ends by itself this long after it was ready.
    pub dies_after_ms: Option<u64>,
    /// The guest's kernel fails before its agent answers.
    pub panics_while_booting: bool,
    /// The guest ends its machine by itself, or says so.
    pub ends: Option<GuestEnd>,
    /// The machine has no power button: a guest that is asked to power off resets it, after its word.
    pub no_power_button: bool,
    /// How long the guest takes to boot: until then its agent is not reached.
    pub boot_delay_ms: u64,
    /// The guest never gets so far that something listens.
    pub never_boots: bool,
    /// How long the guest has stood still since it booted, so that its clock is behind.
    pub stood_still_ms: u64,
    /// The agent takes connections and answers nothing.
    pub silent: bool,
    /// What the agent answers instead of the truth.
    pub lies: Option<Lie>,
    /// Requests that it lies to, by how they begin; all of them if empty.
    pub lies_to: String,
    /// The agent is behind a virtio-serial port; of a machine that starts.
    pub port: bool,
    /// Every exec is refused with a problem.
    pub refuses_exec: bool,
    /// The connection of an exec breaks when the command has written this many bytes.
    pub drops_exec_after: Option<u64>,
    /// Power requests are answered and not followed.
    pub ignores_power: bool,
    /// `SIGTERM` does not end the process.
    pub ignores_term: bool,
    /// A folder that gets all that is sent to the agent, a file per connection.
    pub traffic: Option<PathBuf>,
}

impl MachineFaults {
    /// Puts them into a machine's folder; a running machine goes by them from its next connection on.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let half = folder.join(format!("{FILE}.new"));
        fs::write(&half, serde_json::to_vec(self)?)?;
        fs::rename(&half, folder.join(FILE))
    }

    /// Those in a machine's folder; none where there is no file.
    ///
    /// # Errors
    /// Where the file cannot be read or understood.
    pub fn read(folder: &Path) -> io::Result<Self> {
        match fs::read(folder.join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}
