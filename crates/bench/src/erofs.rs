//! A tar archive to EROFS: banger's writer on the stream, against unpacking it for `mkfs.erofs`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::{run, run_into};
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, megabytes, times};

/// The archive's name in the sandbox's folder; it stays there.
pub const ROOT: &str = "root.tar";

/// Measures `runs` of each, in turn. The archive is the root file system of `reference`, a VM that runs.
pub fn measure(
    sandbox: &Sandbox,
    reference: &str,
    writer: &Path,
    runs: usize,
) -> Result<Section, BenchError> {
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
    let size = |path: &Path| {
        fs::metadata(path)
            .map(|data| data.len())
            .map_err(BenchError::file("read", path))
    };

    let (tree, image) = (
        sandbox.folder().join("tree"),
        sandbox.folder().join("unpacked.erofs"),
    );
    let run_unpacked = || -> Result<Duration, BenchError> {
        fs::create_dir(&tree).map_err(BenchError::file("create", &tree))?;
        let unpacked = run(Command::new("tar")
            .arg("-C")
            .arg(&tree)
            .arg("--numeric-owner")
            .arg("-xpf")
            .arg(&tar))?;
        let written = run(Command::new("mkfs.erofs").arg("--quiet").arg(&image).arg(&tree))?;
        fs::remove_dir_all(&tree).map_err(BenchError::file("delete", &tree))?;
        Ok(unpacked.took + written.took)
    };
    let streamed = sandbox.folder().join("streamed.erofs");
    let run_streamed = || run(Command::new(writer).arg(&tar).arg(&streamed)).map(|ended| ended.took);
    run_unpacked()?;
    run_streamed()?;
    let (unpacked_times, streamed_times) = in_turn(runs, run_unpacked, run_streamed)?;
    let (unpacked, streamed_times) = (times(unpacked_times)?, times(streamed_times)?);
    Ok(Section {
        title: "A tar archive to EROFS",
        says: format!(
            "The root file system of the image as a tar archive of {}, to an uncompressed EROFS. The floor is `tar -x` \
             and `mkfs.erofs`, without the time to delete the tree.",
            megabytes(size(&tar)?)
        ),
        rows: vec![
            Row::floor(
                format!("`tar -x` and `mkfs.erofs`, {}", megabytes(size(&image)?)),
                &unpacked,
            ),
            Row::beside(
                format!("banger's writer, {}", megabytes(size(&streamed)?)),
                &streamed_times,
                &unpacked,
            ),
        ],
        goals: vec![
            Goal {
                text: "no slower".to_owned(),
                met: streamed_times.median() <= unpacked.median(),
            },
            Goal {
                text: "no larger by more than 5 %".to_owned(),
                met: size(&streamed)? * 20 <= size(&image)? * 21,
            },
        ],
    })
}
