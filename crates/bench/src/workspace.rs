//! A repository in, again after edits, and a patch out: against `git push` and `rsync` over ssh.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{run, run_into};
use crate::error::BenchError;
use crate::noise::noise;
use crate::openssh::OpenSsh;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// Bytes of each of the repository's files.
const LENGTH: usize = 20 << 10;
/// Files that are edited before it goes in again.
const EDITS: usize = 10;
/// Files that are changed in the guest before a patch comes out.
const CHANGED: usize = 1_000;
/// Where the workspace lies in the guest, and where what git itself sent does.
const WORKSPACE: &str = "/root/workspace";
const CLONE: &str = "/root/clone";

/// What all of it needs.
struct Job<'a> {
    sandbox: &'a Sandbox,
    vm: &'a str,
    ssh: &'a OpenSsh,
    repository: PathBuf,
    files: usize,
}

/// Measures all three with a repository of so many files, `runs` times each.
pub fn measure(
    sandbox: &Sandbox,
    vm: &str,
    ssh: &OpenSsh,
    files: usize,
    runs: usize,
) -> Result<Section, BenchError> {
    let job = Job {
        sandbox,
        vm,
        ssh,
        repository: sandbox.folder().join("repository"),
        files,
    };
    job.write()?;
    let (git, banger) = in_turn(runs, || job.push(), || job.prepare_anew())?;
    let (git_in, banger_in) = (times(git)?, times(banger)?);
    let mut round = 0;
    let mut edited = |act: &dyn Fn() -> Result<Duration, BenchError>| {
        round += 1;
        job.edit(round)?;
        act()
    };
    let (mut rsync, mut again, mut scan, mut inside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        rsync.push(edited(&|| job.rsync())?);
        again.push(edited(&|| job.prepare())?);
        scan.push(job.scan()?);
        // The first look reads what was written just now, and notes that it is as it was.
        job.scan_inside()?;
        inside.push(job.scan_inside()?);
    }
    let (rsync, again, scan, inside) = (times(rsync)?, times(again)?, times(scan)?, times(inside)?);
    job.change_in_guest()?;
    let (diff, export) = in_turn(runs, || job.diff(), || job.export())?;
    let (diff, export) = (times(diff)?, times(export)?);
    let beyond = again.median().saturating_sub(scan.median() + inside.median());
    Ok(Section {
        only_ratios: false,
        title: "A repository in, a patch out".to_owned(),
        says: format!(
            "A repository of {files} files of {} KiB that do not compress, {} MB, to a VM: by `git push` over ssh and a \
             checkout there, and by `banger vm workspace prepare`. Again after {EDITS} edits: by `rsync -a`, and by the \
             same command; `git status` on this host and in the guest is what it costs to find what was edited here \
             and that nothing was there. Out, {CHANGED} changed files as a patch: by `git diff --binary` over ssh, and \
             by `banger vm workspace export`.",
            LENGTH >> 10,
            files * LENGTH / 1_000_000,
        ),
        goals: vec![
            Goal {
                text: "in at least 2 times as fast as by git".to_owned(),
                met: banger_in.ratio_to(&git_in) <= 0.5,
            },
            Goal {
                text: "again in under 0.5 s beyond `git status` here and there".to_owned(),
                met: beyond < Duration::from_millis(500),
            },
        ],
        rows: vec![
            Row::floor("in, `git push` and checkout", &git_in),
            Row::beside("in, `banger vm workspace prepare`", &banger_in, &git_in),
            Row::floor("again, `rsync -a`", &rsync),
            Row::beside("again, `banger vm workspace prepare`", &again, &rsync),
            Row::beside("`git status` here", &scan, &rsync),
            Row::beside("`git status` in the guest", &inside, &rsync),
            Row::floor("out, `git diff` over ssh", &diff),
            Row::beside("out, `banger vm workspace export`", &export, &diff),
        ],
    })
}

impl Job<'_> {
    fn write(&self) -> Result<(), BenchError> {
        // Nothing of it comes twice: git would send that as the difference.
        let bytes = noise(self.files * LENGTH);
        for (index, bytes) in bytes.chunks(LENGTH).enumerate() {
            let file = self.file(index);
            let folder = file.parent().unwrap_or(&self.repository);
            fs::create_dir_all(folder).map_err(BenchError::file("create", folder))?;
            fs::write(&file, bytes).map_err(BenchError::file("write", file))?;
        }
        self.git(&["init", "-q", "-b", "main"])?;
        self.git(&["add", "."])?;
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"];
        self.git(&[&who[..], &["commit", "-q", "-m", "All of it"]].concat())?;
        self.guest("command -v git >/dev/null || (apt-get install -q -y --no-install-recommends git)")?;
        Ok(())
    }

    fn file(&self, index: usize) -> PathBuf {
        self.repository.join(format!("folder{}/file{index}", index / 100))
    }

    fn git(&self, arguments: &[&str]) -> Result<Duration, BenchError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.repository).args(arguments);
        run(command.env("GIT_SSH_COMMAND", self.ssh.remote_shell())).map(|ended| ended.took)
    }

    fn guest(&self, script: &str) -> Result<Duration, BenchError> {
        let ran = self
            .sandbox
            .run(&["vm", "exec", self.vm, "--", "sh", "-ec", script]);
        ran.map(|ended| ended.took)
    }

    fn ssh(&self, script: &str) -> Command {
        let mut command = self.ssh.command("ssh");
        command.args(["vm", script]);
        command
    }

    /// What somebody without banger would do.
    fn push(&self) -> Result<Duration, BenchError> {
        self.guest(&format!("rm -rf {CLONE}"))?;
        let made = run(&mut self.ssh(&format!("git init -q -b none {CLONE}")))?.took;
        let pushed = self.git(&["push", "-q", &format!("vm:{CLONE}"), "main"])?;
        let checked_out = run(&mut self.ssh(&format!("git -C {CLONE} checkout -q main")))?.took;
        Ok(made + pushed + checked_out)
    }

    fn prepare_anew(&self) -> Result<Duration, BenchError> {
        self.guest(&format!("rm -rf {WORKSPACE}"))?;
        self.prepare()
    }

    fn prepare(&self) -> Result<Duration, BenchError> {
        let repository = self.repository.to_string_lossy();
        let prepare = ["vm", "workspace", "prepare", self.vm, &repository];
        let ended = self
            .sandbox
            .run(&[&prepare[..], &["--guest-path", WORKSPACE]].concat());
        ended.map(|ended| ended.took)
    }

    fn rsync(&self) -> Result<Duration, BenchError> {
        let mut command = Command::new("rsync");
        command.args(["-a", "--exclude=.git", "-e", &self.ssh.remote_shell()]);
        command.arg(format!("{}/", self.repository.display()));
        run(command.arg(format!("vm:{CLONE}/"))).map(|ended| ended.took)
    }

    fn scan(&self) -> Result<Duration, BenchError> {
        self.git(&["status", "--porcelain"])
    }

    fn scan_inside(&self) -> Result<Duration, BenchError> {
        self.guest(&format!("git -C {WORKSPACE} status --porcelain"))
    }

    fn edit(&self, round: usize) -> Result<(), BenchError> {
        for index in 0..EDITS {
            let file = self.file(index * self.files / EDITS);
            let text = format!("edited in round {round}\n");
            fs::write(&file, text).map_err(BenchError::file("write", file))?;
        }
        Ok(())
    }

    fn change_in_guest(&self) -> Result<(), BenchError> {
        for folder in [WORKSPACE, CLONE] {
            let script = format!(
                "cd {folder}; for number in $(seq 0 4 {}); do echo changed >> folder$((number / 100))/file$number; done",
                CHANGED * 4 - 1
            );
            self.guest(&script)?;
        }
        Ok(())
    }

    fn diff(&self) -> Result<Duration, BenchError> {
        let mut command = self.ssh(&format!("git -C {CLONE} diff --binary HEAD"));
        run_into(&mut command, &file(&self.sandbox.folder().join("diff.patch"))?)
    }

    fn export(&self) -> Result<Duration, BenchError> {
        let export = ["vm", "workspace", "export", self.vm, "--guest-path", WORKSPACE];
        let mut command = self.sandbox.banger(&export);
        run_into(&mut command, &file(&self.sandbox.folder().join("export.patch"))?)
    }
}

fn file(path: &Path) -> Result<File, BenchError> {
    File::create(path).map_err(BenchError::file("create", path))
}
