//! A VM's QEMU without banger: its command line, with files in the place of what it was given as open descriptors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::BenchError;
use crate::sandbox::Shown;

/// A machine of its own that is built like a VM's.
#[derive(Debug)]
pub struct BareQemu {
    program: PathBuf,
    arguments: Vec<String>,
}

/// What the machine starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The kernel.
    pub kernel: PathBuf,
    /// The whole initramfs.
    pub initramfs: PathBuf,
    /// In the order of the guest's disks.
    pub disks: Vec<PathBuf>,
}

impl Files {
    /// The kernel and the image of a VM, beside an initramfs and a layer.
    pub fn of(vm: &Shown, initramfs: PathBuf, layer: PathBuf) -> Result<Self, BenchError> {
        let state = vm.folder.parent().and_then(Path::parent).unwrap_or(&vm.folder);
        let kernel = only_entry(&state.join("kernels"))?;
        Ok(Self {
            initramfs,
            disks: vec![
                only_entry(&state.join("images"))?,
                layer,
                kernel.join("modules.erofs"),
            ],
            kernel: kernel.join("vmlinux"),
        })
    }
}

impl BareQemu {
    /// Takes over the command line of a running VM: the same machine, processors, memory and devices. `network` is
    /// what QEMU's own user network is told besides.
    pub fn of(vm: &Shown, files: &Files, network: &Value) -> Result<Self, BenchError> {
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
            arguments: rewrite(&original, files, network)?,
        })
    }

    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// The one entry of a folder.
pub fn only_entry(folder: &Path) -> Result<PathBuf, BenchError> {
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

/// The same arguments with other files, QEMU's own network, and no peer behind the ports and the console.
fn rewrite(original: &[&str], files: &Files, network: &Value) -> Result<Vec<String>, BenchError> {
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
                let mut own = network.clone();
                own["type"] = "user".into();
                own["id"] = node["id"].clone();
                own.to_string()
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
    use serde_json::json;

    use super::*;

    fn files() -> Files {
        Files {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            disks: vec!["/d".into()],
        }
    }

    #[test]
    fn it_is_the_same_machine_with_files_and_a_network_of_its_own() {
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
            r#"{"id":"network","net":"10.1.0.0/24","type":"user"}"#,
        ];
        let network = json!({"net": "10.1.0.0/24"});
        assert_eq!(rewrite(&original, &files(), &network).unwrap(), expected);
    }

    #[test]
    fn a_vmm_that_lacks_a_file_is_refused() {
        for original in [
            ["-m", "512M", "-kernel", "/k"],
            ["-kernel", "/k", "-initrd", "/i"],
        ] {
            assert!(rewrite(&original, &files(), &json!({})).is_err(), "{original:?}");
        }
    }
}
