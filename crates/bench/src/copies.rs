//! Files in and out: `vm cp` against `scp` and `rsync`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::run;
use crate::error::BenchError;
use crate::noise::noise;
use crate::openssh::OpenSsh;
use crate::sandbox::Sandbox;
use crate::section::{Goal, Row, Section, times};
use crate::stats::Times;

/// Bytes of the large file.
const LARGE: usize = 256 << 20;
/// Files of the tree.
const FILES: usize = 10_000;

/// One thing to copy, on both sides.
struct Job<'a> {
    label: &'static str,
    /// On this host.
    here: PathBuf,
    /// In the guest.
    there: &'static str,
    sandbox: &'a Sandbox,
    vm: &'a str,
    ssh: &'a OpenSsh,
}

/// Copies a large file and a tree of small ones, both ways, `runs` times by each program in turn.
pub fn measure(sandbox: &Sandbox, vm: &str, ssh: &OpenSsh, runs: usize) -> Result<Section, BenchError> {
    let (large, tree) = (sandbox.folder().join("large"), sandbox.folder().join("small"));
    write_large(&large)?;
    write_tree(&tree)?;
    let mut section = Section {
        only_ratios: false,
        title: "Files in and out".to_owned(),
        says: format!(
            "A file of {} MiB that does not compress, and a tree of {FILES} files of 100 bytes to 8 KiB, to a VM and \
             back, by `banger vm cp` against `scp -r` and `rsync -a` over ssh to a published port. The target is not \
             there before; deleting it is not timed.",
            LARGE >> 20
        ),
        rows: Vec::new(),
        goals: Vec::new(),
    };
    for (label, here, there) in [
        ("large file", large, "/root/large"),
        ("small files", tree, "/root/small"),
    ] {
        let job = Job {
            label,
            here,
            there,
            sandbox,
            vm,
            ssh,
        };
        for inward in [true, false] {
            job.measure(inward, runs, &mut section)?;
        }
    }
    Ok(section)
}

impl Job<'_> {
    fn measure(&self, inward: bool, runs: usize, section: &mut Section) -> Result<(), BenchError> {
        let direction = if inward { "in" } else { "out" };
        eprintln!("  {}, {direction}", self.label);
        let mut taken = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (program, of_program) in ["scp", "rsync", "banger"].into_iter().zip(&mut taken) {
                of_program.push(self.copy(program, inward)?);
            }
        }
        let [scp, rsync, banger] = taken.map(times);
        let (scp, rsync, banger): (Times, Times, Times) = (scp?, rsync?, banger?);
        let label = |program: &str| format!("{} {direction}, {program}", self.label);
        section.rows.extend([
            Row::floor(label("`scp -r`"), &scp),
            Row::beside(label("`rsync -a`"), &rsync, &scp),
            Row::beside(label("`banger vm cp`"), &banger, &scp),
        ]);
        section.goals.push(Goal {
            text: format!("{} {direction} faster than both", self.label),
            met: banger.median() < scp.median().min(rsync.median()),
        });
        Ok(())
    }

    /// Copies once, to where nothing is.
    fn copy(&self, program: &str, inward: bool) -> Result<Duration, BenchError> {
        let back = self.sandbox.folder().join("back");
        if inward {
            self.sandbox
                .run(&["vm", "exec", self.vm, "--", "rm", "-rf", self.there])?;
        } else {
            remove(&back)?;
        }
        let here = if inward { &self.here } else { &back };
        let there = |host: &str| format!("{host}:{}", self.there);
        let mut command = match program {
            "scp" => {
                let mut command = self.ssh.command("scp");
                command.args(["-r", "-q"]);
                command
            }
            "rsync" => {
                let mut command = Command::new("rsync");
                command.args(["-a", "-e", &self.ssh.remote_shell()]);
                command
            }
            _ => self.sandbox.banger(&["vm", "cp", "-q"]),
        };
        let host = if program == "banger" { self.vm } else { "vm" };
        // A folder becomes its target: rsync is told so by a slash.
        let slash = if program == "rsync" && self.here.is_dir() {
            "/"
        } else {
            ""
        };
        if inward {
            let mut from = here.clone().into_os_string();
            from.push(slash);
            command.arg(from).arg(there(host));
        } else {
            command.arg(there(host) + slash).arg(here);
        }
        run(&mut command).map(|ended| ended.took)
    }
}

fn remove(path: &Path) -> Result<(), BenchError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BenchError::file("delete", path)(error))
        }
        _ => Ok(()),
    }
}

fn write_large(path: &Path) -> Result<(), BenchError> {
    fs::write(path, noise(LARGE)).map_err(BenchError::file("write", path))
}

fn write_tree(path: &Path) -> Result<(), BenchError> {
    let bytes = noise(8 << 10);
    for index in 0..FILES {
        let folder = path.join(format!("folder{}", index / 100));
        fs::create_dir_all(&folder).map_err(BenchError::file("create", &folder))?;
        let file = folder.join(format!("file{index}"));
        // All sizes from 100 bytes, small ones more often.
        let length = 100 + (index * index) % (8 << 10);
        fs::write(&file, &bytes[..length.min(bytes.len())]).map_err(BenchError::file("write", file))?;
    }
    Ok(())
}
