//! Container images: a pull from a registry on loopback, against the tools that one would put together for it.

mod layers;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use smoke::Registry;

use crate::command::run;
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, megabytes, times};
use layers::{LAYERS, Pushed};

/// Most that the daemon may have resident meanwhile.
const MOST_RESIDENT: u64 = 150 << 20;

/// Measures `runs` of each. The first layer is `root`, a tar of a whole root file system.
pub fn measure(sandbox: &Sandbox, root: &Path, runs: usize) -> Result<Section, BenchError> {
    let folder = sandbox.folder().join("import");
    fs::create_dir(&folder).map_err(BenchError::file("create", &folder))?;
    let registry = Registry::start(&folder.join("registry"));
    let pushed = layers::push(&folder, root, registry.address())?;

    let pull = |reference: &str| -> Result<Duration, BenchError> {
        let pull = [
            "image",
            "pull",
            "-q",
            "--plain-http",
            "--name",
            "pulled",
            reference,
        ];
        sandbox.run(&pull).map(|ended| ended.took)
    };
    let forget = || -> Result<(), BenchError> {
        sandbox.run(&["image", "delete", "pulled"])?;
        Ok(())
    };
    let cold = || -> Result<Duration, BenchError> {
        sandbox.run(&["image", "cache", "prune"])?;
        let took = pull(&pushed.first)?;
        forget()?;
        Ok(took)
    };
    let by_tools = || tools(&folder, &pushed.first);
    by_tools()?;
    cold()?;
    sandbox.forget_daemon_peak()?;
    let (tools_times, cold_times) = in_turn(runs, by_tools, cold)?;
    let peak = sandbox.daemon_peak()?;

    // The layers are here now: what costs time again is what is new, and writing the image.
    let again = || -> Result<Duration, BenchError> {
        let took = pull(&pushed.first)?;
        forget()?;
        Ok(took)
    };
    let mut turn = 0;
    let changed = || -> Result<Duration, BenchError> {
        turn += 1;
        let took = pull(&pushed.change(turn)?)?;
        forget()?;
        Ok(took)
    };
    let (again_times, changed_times) = in_turn(runs, again, changed)?;
    section(
        &pushed,
        &[tools_times, cold_times, again_times, changed_times],
        peak,
    )
}

/// `skopeo copy`, `umoci unpack`, `mke2fs -d`: a directory of blobs, a tree, a root disk.
fn tools(folder: &Path, reference: &str) -> Result<Duration, BenchError> {
    let work = folder.join("tools");
    fs::create_dir(&work).map_err(BenchError::file("create", &work))?;
    let (layout, bundle, disk) = (work.join("layout"), work.join("bundle"), work.join("disk.ext4"));
    let copied = run(Command::new("skopeo")
        .args(["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .arg(format!("oci:{}:it", layout.display())))?;
    let mut unpack = Command::new("umoci");
    unpack.arg("unpack");
    if !rustix::process::geteuid().is_root() {
        // It cannot give files to their owners then, and tries to.
        unpack.arg("--rootless");
    }
    let unpacked = run(unpack
        .arg("--image")
        .arg(format!("{}:it", layout.display()))
        .arg(&bundle))?;
    let written = run(Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(bundle.join("rootfs"))
        .arg(&disk)
        .arg("2G"))?;
    fs::remove_dir_all(&work).map_err(BenchError::file("delete", &work))?;
    Ok(copied.took + unpacked.took + written.took)
}

fn section(pushed: &Pushed, measured: &[Vec<Duration>; 4], peak: u64) -> Result<Section, BenchError> {
    let [by_tools, cold, again, changed] = measured.clone().map(times);
    let (by_tools, cold, again, changed) = (by_tools?, cold?, again?, changed?);
    let grown = changed.median().saturating_sub(again.median());
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes far below what a float tells apart"
    )]
    let share = cold
        .median()
        .mul_f64(pushed.changing as f64 / pushed.bytes as f64);
    Ok(Section {
        only_ratios: false,
        title: "A pull of a container image".to_owned(),
        says: format!(
            "An image of {LAYERS} layers, {} in all ({} as gzip), from `docker-registry` on loopback. The floor is `skopeo \
             copy` to a layout, `umoci unpack` to a tree and `mke2fs -d` to a root disk, without the time to delete them. \
             For the first rows no layer is here; for the others all are, or all but one of {}.",
            megabytes(pushed.bytes),
            megabytes(pushed.packed),
            megabytes(pushed.changing),
        ),
        rows: vec![
            Row::floor("`skopeo`, `umoci`, `mke2fs`", &by_tools),
            Row::beside("`banger image pull`", &cold, &by_tools),
            Row::beside("again, nothing new", &again, &by_tools),
            Row::beside("again, one layer new", &changed, &by_tools),
            Row::memory("most that the daemon had resident", peak),
        ],
        goals: vec![
            Goal {
                text: "at least 3 times as fast".to_owned(),
                met: cold.ratio_to(&by_tools) <= 1.0 / 3.0,
            },
            Goal {
                text: "with one layer new, longer by at most that layer's share of the first pull".to_owned(),
                met: grown <= share,
            },
            Goal {
                text: "the daemon below 150 MiB".to_owned(),
                met: peak < MOST_RESIDENT,
            },
        ],
    })
}
