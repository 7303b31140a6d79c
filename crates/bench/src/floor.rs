//! The floor of a boot: the command line of a VM's own QEMU, with an init that only powers off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::run;
use crate::error::BenchError;
use crate::sandbox::Shown;

/// A machine that is started only to power itself off.
#[derive(Debug)]
pub struct Floor {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Floor {
    /// Takes over the command line of a running VM: the same kernel, machine, processors, memory, disks of the same
    /// sizes and devices, but in `folder`, with `init` as the whole initramfs.
    pub fn of(vm: &Shown, init: &Path, folder: &Path) -> Result<Self, BenchError> {
        let initramfs = folder.join("initramfs");
        rootfs::initramfs::write(&initramfs, init, &folder.join("no-modules"))
            .map_err(|error| BenchError::Initramfs(error.to_string()))?;

        let process = PathBuf::from(format!("/proc/{}", vm.pid));
        let program =
            fs::read_link(process.join("exe")).map_err(BenchError::file("read", process.join("exe")))?;
        let line =
            fs::read(process.join("cmdline")).map_err(BenchError::file("read", process.join("cmdline")))?;
        let line = String::from_utf8(line)
            .map_err(|_| BenchError::Unexpected("a command line not in UTF-8".to_owned()))?;
        let original: Vec<&str> = line.split_terminator('\0').skip(1).collect();

        // The init looks at no disk: what counts is that there is one of this size.
        let own =
            |path: &Path| path.starts_with(&vm.folder) && path.extension().is_some_and(|kind| kind == "ext4");
        for entry in fs::read_dir(&vm.folder).map_err(BenchError::file("read", &vm.folder))? {
            let path = entry.map_err(BenchError::file("read", &vm.folder))?.path();
            if own(&path) {
                let copy = folder.join(path.file_name().unwrap_or_default());
                let length = fs::metadata(&path)
                    .map_err(BenchError::file("read", &path))?
                    .len();
                File::create(&copy)
                    .and_then(|file| file.set_len(length))
                    .map_err(BenchError::file("create", &copy))?;
            }
        }
        let arguments = rewrite(&original, &vm.folder, folder, &initramfs)?;
        Ok(Self { program, arguments })
    }

    /// One boot, from the start of QEMU until it has ended.
    pub fn run(&self) -> Result<Duration, BenchError> {
        run(Command::new(&self.program).args(&self.arguments)).map(|ended| ended.took)
    }
}

/// The same arguments with another folder and initramfs, and with no peer needed on the network.
fn rewrite(original: &[&str], from: &Path, to: &Path, initramfs: &Path) -> Result<Vec<String>, BenchError> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| BenchError::Unexpected("a path not in UTF-8".to_owned()))
    };
    let (from, to, initramfs) = (text(from)?, text(to)?, text(initramfs)?);
    let mut arguments = Vec::with_capacity(original.len());
    let mut words = original.iter();
    let mut replaced = false;
    while let Some(word) = words.next() {
        match *word {
            "-initrd" => {
                words.next();
                arguments.extend(["-initrd".to_owned(), initramfs.clone()]);
                replaced = true;
            }
            // The guest's device stays, so that the machine is the same; behind it is QEMU's own network.
            stream if stream.starts_with("stream,") => {
                let id = stream.split(',').find(|part| part.starts_with("id="));
                let id = id.ok_or_else(|| BenchError::Unexpected("a network without an id".to_owned()))?;
                arguments.push(format!("user,{id}"));
            }
            other => arguments.push(other.replace(&from, &to)),
        }
    }
    if replaced {
        Ok(arguments)
    } else {
        Err(BenchError::Unexpected(
            "a VMM that was given no initramfs".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_same_machine_in_another_folder() {
        let original = [
            "-initrd",
            "/vms/a/initramfs",
            "-m",
            "512",
            "-drive",
            "file=/vms/a/layer.ext4,if=none",
            "-netdev",
            "stream,id=net0,addr.type=unix,addr.path=/vms/a/passt.sock",
        ];
        let rewritten = rewrite(&original, Path::new("/vms/a"), Path::new("/f"), Path::new("/f/i")).unwrap();
        let expected = [
            "-initrd",
            "/f/i",
            "-m",
            "512",
            "-drive",
            "file=/f/layer.ext4,if=none",
            "-netdev",
            "user,id=net0",
        ];
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn a_vmm_without_an_initramfs_is_no_floor() {
        assert!(
            rewrite(
                &["-m", "512"],
                Path::new("/a"),
                Path::new("/b"),
                Path::new("/b/i")
            )
            .is_err()
        );
    }
}
