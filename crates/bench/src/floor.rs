//! The floor of a boot: the command line of a VM's own QEMU, with an init that only powers off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::bare_qemu::{BareQemu, Files};
use crate::command::run;
use crate::error::BenchError;
use crate::sandbox::Shown;

/// A machine that is started only to power itself off.
#[derive(Debug)]
pub struct Floor(BareQemu);

impl Floor {
    /// The machine of a running VM, with `init` as the whole initramfs. What the floor needs of its own goes into
    /// `folder`.
    pub fn of(vm: &Shown, init: &Path, folder: &Path) -> Result<Self, BenchError> {
        let initramfs = folder.join("initramfs");
        rootfs::initramfs::write(&initramfs, init, &folder.join("no-modules"))
            .map_err(|error| BenchError::Initramfs(error.to_string()))?;
        let layer = empty_like(&vm.folder.join("layer.ext4"), folder)?;
        let files = Files::of(vm, initramfs, layer)?;
        Ok(Self(BareQemu::of(vm, &files, &json!({}))?))
    }

    /// One boot, from the start of QEMU until it has ended.
    pub fn run(&self) -> Result<Duration, BenchError> {
        run(&mut self.0.command()).map(|ended| ended.took)
    }
}

/// The init looks at no disk: what counts is that there is one of this size.
fn empty_like(file: &Path, folder: &Path) -> Result<PathBuf, BenchError> {
    let length = fs::metadata(file).map_err(BenchError::file("read", file))?.len();
    let copy = folder.join("layer");
    File::create(&copy)
        .and_then(|made| made.set_len(length))
        .map_err(BenchError::file("create", &copy))?;
    Ok(copy)
}
