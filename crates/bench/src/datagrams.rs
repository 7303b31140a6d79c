//! A guest's datagrams: through the network as a VM has it, against two sockets of this host, and against passt by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::run;
use crate::error::BenchError;
use crate::section::{Goal, Row, Section, times};

/// Exchanges of each kind in a run.
const EXCHANGES: u32 = 5000;
/// How much longer they may take than by passt alone, before which the filter stood as well.
const MOST: f64 = 2.5;
/// The ways, as the program names them, in the order in which it measures them.
const WAYS: [&str; 3] = ["sockets", "relay", "passt"];

/// Programs that are not banger's.
#[derive(Debug, clap::Args)]
pub struct DatagramPrograms {
    /// The program that speaks for a guest, of the crate `net`.
    #[arg(long)]
    datagram_times: PathBuf,
    /// passt.
    #[arg(long, default_value = "/usr/bin/passt")]
    passt: PathBuf,
}

/// Times of each way: one after the other, and several under way.
type Times = [(Vec<Duration>, Vec<Duration>); WAYS.len()];

/// Measures `runs` of each.
pub fn measure(programs: &DatagramPrograms, runs: usize) -> Result<Section, BenchError> {
    let mut taken = Times::default();
    for _ in 0..runs {
        let said = run(Command::new(&programs.datagram_times)
            .arg(&programs.passt)
            .arg(EXCHANGES.to_string()))?;
        add(&programs.datagram_times, &said.stdout, &mut taken)?;
    }
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    let [sockets, relay, passt] = taken;
    for (what, sockets, relay, passt) in [
        ("one after the other", sockets.0, relay.0, passt.0),
        ("16 under way", sockets.1, relay.1, passt.1),
    ] {
        let (sockets, relay, passt) = (times(sockets)?, times(relay)?, times(passt)?);
        rows.push(Row::floor(format!("{what}, two sockets"), &sockets));
        rows.push(Row::beside(format!("{what}, passt alone"), &passt, &sockets));
        rows.push(Row::beside(format!("{what}, filter and relay"), &relay, &sockets));
        goals.push(Goal {
            text: format!("{what} at most {MOST} × passt alone"),
            met: relay.ratio_to(&passt) <= MOST,
        });
    }
    Ok(Section {
        only_ratios: false,
        title: "A guest's datagrams".to_owned(),
        says: format!(
            "{EXCHANGES} datagrams of 1400 bytes to a server on this host, each sent back by it, as frames at the VMM's end \
             of a VM's network, without a guest. The floor is the same between two sockets of this host. passt alone is \
             what VMs had before behind the same filter, and binds a port of this host's for each that a guest sends from."
        ),
        rows,
        goals,
    })
}

/// Adds what a run of the program says.
fn add(program: &Path, said: &[u8], taken: &mut Times) -> Result<(), BenchError> {
    let said = String::from_utf8_lossy(said);
    let unexpected = || BenchError::Unexpected(format!("{}: {said}", program.display()));
    let mut lines = said.lines();
    for (way, (single, windowed)) in WAYS.iter().zip(taken) {
        let mut words = lines.next().ok_or_else(unexpected)?.split(' ');
        if words.next() != Some(way) {
            return Err(unexpected());
        }
        for times in [single, windowed] {
            let number = words.next().and_then(|word| word.parse().ok());
            times.push(Duration::from_micros(number.ok_or_else(unexpected)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says_is_read_strictly() {
        let add = |said: &str| {
            let mut taken = Times::default();
            add(Path::new("times"), said.as_bytes(), &mut taken).map(|()| taken)
        };
        let taken = add("sockets 1 2\nrelay 3 4\npasst 5 6\n").expect("as it says");
        assert_eq!(taken[1].0, [Duration::from_micros(3)]);
        assert_eq!(taken[2].1, [Duration::from_micros(6)]);
        for bad in [
            "",
            "sockets 1 2\nrelay 3 4\n",
            "relay 1 2\n",
            "sockets 1\nrelay 3 4\npasst 5 6",
            "sockets a b",
        ] {
            assert!(add(bad).is_err(), "{bad}");
        }
    }
}
