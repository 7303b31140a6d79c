//! `vm create` by the size of its image.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::run;
use crate::error::BenchError;
use crate::noise::noise;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// MiB of data in the two images.
const SMALL: usize = 50;
const LARGE: usize = 5 << 10;
/// What counts as the same, on a host that others use.
const SAME: f64 = 1.25;

/// Creates VMs of a root disk of 50 MB and of one of 5 GB, in turn, `runs` times.
pub fn measure(sandbox: &Sandbox, runs: usize) -> Result<Section, BenchError> {
    for (name, mebibytes) in [("small", SMALL), ("large", LARGE)] {
        let disk = disk(sandbox.folder(), name, mebibytes)?;
        let rootfs = disk.to_string_lossy();
        sandbox.run(&["image", "register", "-q", "--name", name, "--rootfs", &rootfs])?;
    }
    let create = |image: &str| -> Result<Duration, BenchError> {
        let made = sandbox.run(&[
            "vm",
            "create",
            "--no-start",
            "-q",
            "--name",
            "created",
            "--image",
            image,
        ])?;
        sandbox.run(&["vm", "delete", "-q", "created"])?;
        Ok(made.took)
    };
    let (small, large) = in_turn(runs, || create("small"), || create("large"))?;
    let (small, large) = (times(small)?, times(large)?);
    Ok(Section {
        only_ratios: false,
        title: "Making a VM by the size of its image".to_owned(),
        says: format!(
            "`banger vm create --no-start` of a root disk with {SMALL} MiB of data that does not compress, and of one \
             with {LARGE} MiB. Deleting the VM is not timed."
        ),
        goals: vec![Goal {
            text: format!("the same for both (within {SAME} times)"),
            met: large.ratio_to(&small) <= SAME,
        }],
        rows: vec![
            Row::floor("of the small image", &small),
            Row::beside("of the large image", &large, &small),
        ],
    })
}

/// A root disk that is full of noise, and so large.
fn disk(folder: &Path, name: &str, mebibytes: usize) -> Result<PathBuf, BenchError> {
    let tree = folder.join(format!("{name}-tree"));
    fs::create_dir(&tree).map_err(BenchError::file("create", &tree))?;
    let file = tree.join("data");
    let piece = noise(1 << 20);
    let write = || {
        let mut file = File::create(&file)?;
        (0..mebibytes).try_for_each(|_| file.write_all(&piece))
    };
    write().map_err(BenchError::file("write", &file))?;
    let disk = folder.join(format!("{name}.ext4"));
    run(Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&tree, &disk])
        .arg(format!("{}M", mebibytes + mebibytes / 16 + 16)))?;
    fs::remove_dir_all(&tree).map_err(BenchError::file("delete", &tree))?;
    Ok(disk)
}
