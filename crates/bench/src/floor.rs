//! The floor of a boot: the command line of a VM's own QEMU, with an init that only powers off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::command::run;
use crate::error::BenchError;
use crate::sandbox::Shown;

/// A machine that is started only to power itself off.
#[derive(Debug)]
pub struct Floor {
    program: PathBuf,
    arguments: Vec<String>,
}

/// Files that take the place of those that the VM's QEMU was given as open descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    kernel: PathBuf,
    initramfs: PathBuf,
    /// In the order of the guest's disks.
    disks: Vec<PathBuf>,
}

impl Floor {
    /// Takes over the command line of a running VM: the same kernel, machine, processors, memory, disks of the same
    /// sizes and devices, with `init` as the whole initramfs. What the floor needs of its own goes into `folder`.
    pub fn of(vm: &Shown, init: &Path, folder: &Path) -> Result<Self, BenchError> {
        let initramfs = folder.join("initramfs");
        rootfs::initramfs::write(&initramfs, init, &folder.join("no-modules"))
            .map_err(|error| BenchError::Initramfs(error.to_string()))?;
        let state = vm.folder.parent().and_then(Path::parent).unwrap_or(&vm.folder);
        let kernel = only_entry(&state.join("kernels"))?;
        let disks = vec![
            only_entry(&state.join("images"))?,
            empty_like(&vm.folder.join("layer.ext4"), folder)?,
            kernel.join("modules.erofs"),
        ];
        let files = Files {
            kernel: kernel.join("vmlinux"),
            initramfs,
            disks,
        };

        let process = PathBuf::from(format!("/proc/{}", vm.pid));
        let line =
            fs::read(process.join("cmdline")).map_err(BenchError::file("read", process.join("cmdline")))?;
        let line = String::from_utf8(line)
            .map_err(|_| BenchError::Unexpected("a command line not in UTF-8".to_owned()))?;
        let mut original = line.split_terminator('\0');
        let program = original
            .next()
            .ok_or_else(|| BenchError::Unexpected("a process without a command line".to_owned()))?;
        let original: Vec<&str> = original.collect();
        Ok(Self {
            program: program.into(),
            arguments: rewrite(&original, &files)?,
        })
    }

    /// One boot, from the start of QEMU until it has ended.
    pub fn run(&self) -> Result<Duration, BenchError> {
        run(Command::new(&self.program).args(&self.arguments)).map(|ended| ended.took)
    }
}

/// The one entry of a folder.
fn only_entry(folder: &Path) -> Result<PathBuf, BenchError> {
    let entries = fs::read_dir(folder).map_err(BenchError::file("read", folder))?;
    let mut entries = entries.flatten().map(|entry| entry.path());
    match (entries.next(), entries.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(BenchError::Unexpected(format!(
            "{} holds not just one thing",
            folder.display()
        ))),
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

/// The same arguments with other files, and with no peer behind the network, the ports and the console.
fn rewrite(original: &[&str], files: &Files) -> Result<Vec<String>, BenchError> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| BenchError::Unexpected("a path not in UTF-8".to_owned()))
    };
    let missing = |what: &str| BenchError::Unexpected(format!("a VMM with {what}"));
    let mut arguments: Vec<String> = Vec::with_capacity(original.len());
    let mut disks = files.disks.iter();
    let mut replaced = 0;
    let mut words = original.iter();
    while let Some(option) = words.next() {
        let mut value = || words.next().copied().unwrap_or_default();
        let new = match *option {
            "-kernel" => {
                value();
                replaced += 1;
                text(&files.kernel)?
            }
            "-initrd" => {
                value();
                replaced += 1;
                text(&files.initramfs)?
            }
            // What descriptors led to is named here.
            "-add-fd" | "-mon" => {
                value();
                continue;
            }
            "-chardev" => {
                let id = value().split(',').find(|part| part.starts_with("id="));
                format!("null,{}", id.ok_or_else(|| missing("a nameless port"))?)
            }
            "-blockdev" => {
                let mut node: Value =
                    serde_json::from_str(value()).map_err(|_| missing("a disk that is not JSON"))?;
                let disk = disks.next().ok_or_else(|| missing("more disks than known"))?;
                node["file"]["filename"] = text(disk)?.into();
                node.to_string()
            }
            "-netdev" => {
                let node: Value =
                    serde_json::from_str(value()).map_err(|_| missing("a network that is not JSON"))?;
                json!({"type": "user", "id": node["id"]}).to_string()
            }
            other => {
                arguments.push(other.to_owned());
                continue;
            }
        };
        arguments.extend([(*option).to_owned(), new]);
    }
    if replaced != 2 || disks.next().is_some() {
        return Err(missing(
            "another set of files than a kernel, an initramfs and its disks",
        ));
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            disks: vec!["/d".into()],
        }
    }

    #[test]
    fn a_floor_is_the_same_machine_with_files_of_its_own() {
        let original = [
            "-kernel",
            "/kernel",
            "-initrd",
            "/initramfs",
            "-m",
            "512M",
            "-add-fd",
            "fd=30,set=2",
            "-chardev",
            "socket,id=agent,fd=34,server=on,wait=off",
            "-mon",
            "chardev=control,mode=control",
            "-blockdev",
            r#"{"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/2"},"node-name":"disk0"}"#,
            "-netdev",
            r#"{"addr":{"str":"29","type":"fd"},"id":"network","server":false,"type":"stream"}"#,
        ];
        let expected = [
            "-kernel",
            "/k",
            "-initrd",
            "/i",
            "-m",
            "512M",
            "-chardev",
            "null,id=agent",
            "-blockdev",
            r#"{"driver":"raw","file":{"driver":"file","filename":"/d"},"node-name":"disk0"}"#,
            "-netdev",
            r#"{"id":"network","type":"user"}"#,
        ];
        assert_eq!(rewrite(&original, &files()).unwrap(), expected);
    }

    #[test]
    fn a_vmm_that_lacks_a_file_is_no_floor() {
        for original in [
            ["-m", "512M", "-kernel", "/k"],
            ["-kernel", "/k", "-initrd", "/i"],
        ] {
            assert!(rewrite(&original, &files()).is_err(), "{original:?}");
        }
    }
}
