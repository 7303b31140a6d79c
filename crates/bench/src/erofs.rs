//! A tar archive to EROFS: banger's writer on the stream, against unpacking it for `mkfs.erofs`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::{run, run_into};
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, megabytes, times};

/// How files are stored, as banger's writer and as `mkfs.erofs` are told.
const FORMS: [Form; 2] = [
    Form {
        name: "as they are",
        ours: &[],
        theirs: &[],
    },
    Form {
        name: "by LZ4",
        ours: &["lz4"],
        theirs: &["-zlz4"],
    },
];

struct Form {
    name: &'static str,
    ours: &'static [&'static str],
    theirs: &'static [&'static str],
}

/// The archive's name in the sandbox's folder; it stays there.
pub const ROOT: &str = "root.tar";

/// Makes the archive: the root file system of `reference`, a VM that runs.
pub fn archive(sandbox: &Sandbox, reference: &str) -> Result<(), BenchError> {
    let tar = sandbox.folder().join(ROOT);
    let archive = File::create(&tar).map_err(BenchError::file("create", &tar))?;
    let arguments = [
        "vm",
        "exec",
        reference,
        "--",
        "sh",
        "-c",
        // What is written to while it is read is a few small files of the hundreds of megabytes: tar ends with 1 then.
        "tar --one-file-system --numeric-owner --exclude=./var/log --exclude=./var/cache -C / -cf - . || test $? = 1",
    ];
    run_into(&mut sandbox.banger(&arguments), &archive)?;
    Ok(())
}

/// Measures `runs` of each, in turn, of the archive.
pub fn measure(sandbox: &Sandbox, writer: &Path, runs: usize) -> Result<Section, BenchError> {
    let tar = sandbox.folder().join(ROOT);
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    for form in FORMS {
        compare(sandbox, writer, &form, runs, &mut rows, &mut goals)?;
    }
    Ok(Section {
        only_ratios: false,
        title: "A tar archive to EROFS".to_owned(),
        says: format!(
            "The root file system of the image as a tar archive of {}, to an EROFS that holds files as they are or \
             compressed. The floor is `tar -x` and `mkfs.erofs`, without the time to delete the tree.",
            megabytes(bytes(&tar)?)
        ),
        rows,
        goals,
    })
}

/// One way of storing files: banger's writer beside its floor.
fn compare(
    sandbox: &Sandbox,
    writer: &Path,
    form: &Form,
    runs: usize,
    rows: &mut Vec<Row>,
    goals: &mut Vec<Goal>,
) -> Result<(), BenchError> {
    let in_folder = |name: &str| sandbox.folder().join(name);
    let (tar, tree) = (in_folder(ROOT), in_folder("tree"));
    let (unpacked, streamed) = (in_folder("unpacked.erofs"), in_folder("streamed.erofs"));
    let run_unpacked = || -> Result<Duration, BenchError> {
        fs::create_dir(&tree).map_err(BenchError::file("create", &tree))?;
        let untarred = run(Command::new("tar")
            .arg("-C")
            .arg(&tree)
            .arg("--numeric-owner")
            .arg("-xpf")
            .arg(&tar))?;
        let written = run(Command::new("mkfs.erofs")
            .arg("--quiet")
            .args(form.theirs)
            .arg(&unpacked)
            .arg(&tree))?;
        fs::remove_dir_all(&tree).map_err(BenchError::file("delete", &tree))?;
        Ok(untarred.took + written.took)
    };
    let run_streamed = || {
        let mut command = Command::new(writer);
        command.arg(&tar).arg(&streamed).args(form.ours);
        run(&mut command).map(|ended| ended.took)
    };
    run_unpacked()?;
    run_streamed()?;
    let (unpacked_times, streamed_times) = in_turn(runs, run_unpacked, run_streamed)?;
    let (unpacked_times, streamed_times) = (times(unpacked_times)?, times(streamed_times)?);
    let (unpacked, streamed) = (bytes(&unpacked)?, bytes(&streamed)?);
    let name = form.name;
    rows.extend([
        Row::floor(
            format!("files {name}: `tar -x` and `mkfs.erofs`, {}", megabytes(unpacked)),
            &unpacked_times,
        ),
        Row::beside(
            format!("files {name}: banger's writer, {}", megabytes(streamed)),
            &streamed_times,
            &unpacked_times,
        ),
    ]);
    goals.extend([
        Goal {
            text: format!("files {name}: no slower"),
            met: streamed_times.median() <= unpacked_times.median(),
        },
        Goal {
            text: format!("files {name}: no larger by more than 5 %"),
            met: streamed * 20 <= unpacked * 21,
        },
    ]);
    Ok(())
}

fn bytes(path: &Path) -> Result<u64, BenchError> {
    fs::metadata(path)
        .map(|data| data.len())
        .map_err(BenchError::file("read", path))
}
