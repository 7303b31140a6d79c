//! What processes take of the host.

use std::time::Duration;

use procfs::ProcError;
use procfs::process::{Process, SmapsRollup, all_processes};

use crate::error::BenchError;

/// A process and what it has taken so far.
#[derive(Debug)]
pub struct Taken {
    /// What it is.
    pub name: String,
    /// Its share of the memory that it uses, in bytes: what it shares with others is divided among them.
    pub pss: u64,
    /// Processor time, user's and system's.
    pub processor: Duration,
}

/// The child processes of a process, at any depth.
pub fn below(parent: i32) -> Result<Vec<Taken>, BenchError> {
    let mut found = Vec::new();
    for process in all_processes()? {
        // One that ends meanwhile is no longer there.
        let Ok(process) = process else { continue };
        if process.stat().is_ok_and(|stat| stat.ppid == parent) {
            found.push(taken(&process)?);
            found.extend(below(process.pid)?);
        }
    }
    Ok(found)
}

/// One process.
pub fn one(pid: i32) -> Result<Taken, BenchError> {
    taken(&Process::new(pid)?)
}

fn taken(process: &Process) -> Result<Taken, BenchError> {
    let stat = process.stat()?;
    let name = name(&process.cmdline()?);
    let (name, pss) = match process.smaps_rollup() {
        Ok(memory) => (name, share(&memory, process.pid)?),
        // Some programs hide theirs from their own user: more than its share, if anything.
        Err(ProcError::PermissionDenied(_)) => {
            let resident = stat.rss * procfs::page_size();
            (format!("{name}, all that is resident"), resident)
        }
        Err(error) => return Err(error.into()),
    };
    let ticks = stat.utime + stat.stime;
    Ok(Taken {
        name,
        pss,
        processor: Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()),
    })
}

fn share(memory: &SmapsRollup, pid: i32) -> Result<u64, BenchError> {
    let pss = memory
        .memory_map_rollup
        .iter()
        .find_map(|map| map.extension.map.get("Pss"));
    pss.copied()
        .ok_or_else(|| BenchError::Unexpected(format!("the memory of process {pid} has no Pss")))
}

/// The program; bangerd's own processes are named by their first argument.
fn name(arguments: &[String]) -> String {
    let program = match arguments {
        [own, part, ..] if own == "/proc/self/exe" => part,
        [program, ..] => program,
        [] => "?",
    };
    program.rsplit('/').next().unwrap_or(program).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_processes_are_named_by_their_part_and_others_by_their_program() {
        let name_of = |arguments: &[&str]| {
            name(
                &arguments
                    .iter()
                    .map(|&argument| argument.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(name_of(&["/proc/self/exe", "banger-relay", "21"]), "banger-relay");
        assert_eq!(name_of(&["/usr/bin/passt", "--fd", "20"]), "passt");
        assert_eq!(name_of(&["/firecracker"]), "firecracker");
    }

    #[test]
    fn a_process_has_a_share_of_memory_and_its_children_are_found() {
        let own = one(i32::try_from(std::process::id()).expect("a pid")).expect("its own /proc");
        assert!(own.pss > 0, "{own:?}");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let children = below(i32::try_from(std::process::id()).expect("a pid")).expect("its own /proc");
        child.kill().expect("to end it");
        child.wait().expect("to reap it");
        assert!(
            children
                .iter()
                .any(|child| child.name == "sleep" && child.pss > 0),
            "{children:?}"
        );
    }
}
