//! The initramfs: the agent as `/init` and the modules that it loads to find its disks and its channel. Or the same in a
//! folder of its own before an initrd that somebody else made, whose `/init` stays what it is.
//!
//! A cpio archive in the "newc" form that Linux reads (`Documentation/driver-api/early-userspace/buffer-format.rst`),
//! not compressed: unpacking costs more under emulation than loading two megabytes. Equal input gives equal bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use durable::publish;

/// Most bytes of one file; far above any agent or module.
const LARGEST_FILE: u64 = 64 << 20;
/// Most bytes of somebody else's initrd.
const LARGEST_INITRD: u64 = crate::kernel::LARGEST_INITRD;
/// The agent's folder where `/init` is somebody else's.
pub const BESIDE: &str = "/banger";
/// Most modules; their names start with two digits.
const MOST_MODULES: usize = 100;

const DIRECTORY: u32 = 0o040_000;
const CHARACTER: u32 = 0o020_000;
const FILE: u32 = 0o100_000;

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The agent or a module could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The agent or a module is no regular file, or too large.
    #[error("{path} is not a file of at most {LARGEST_FILE} bytes")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The initrd is no regular file, or too large.
    #[error("{path} is not a file of at most {LARGEST_INITRD} bytes")]
    NotAnInitrd {
        /// The path.
        path: PathBuf,
    },
    /// Something in the modules' folder that is no module.
    #[error("{path} is not named like a boot module, 00-name.ko")]
    NotAModule {
        /// The path.
        path: PathBuf,
    },
    /// More modules than there are numbers for.
    #[error("{folder} holds more than {MOST_MODULES} boot modules")]
    TooManyModules {
        /// The folder.
        folder: PathBuf,
    },
    /// The initramfs could not be written; nothing is left of it.
    #[error("cannot write the initramfs {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes the initramfs to `out`, whole or not at all. `boot_modules` is a folder of modules whose names begin with the
/// number of their turn; where it is missing there are none.
///
/// # Errors
/// [`InitramfsError`] names the file.
pub fn write(out: &Path, agent: &Path, boot_modules: &Path) -> Result<(), InitramfsError> {
    write_all(out, "", agent, boot_modules, None)
}

/// The same with the agent at [`BESIDE`]`/init`, followed by an initrd as it is. The kernel unpacks one after the other.
///
/// # Errors
/// [`InitramfsError`] names the file.
pub fn write_before(
    initrd: &Path,
    out: &Path,
    agent: &Path,
    boot_modules: &Path,
) -> Result<(), InitramfsError> {
    write_all(out, BESIDE, agent, boot_modules, Some(initrd))
}

fn write_all(
    out: &Path,
    folder: &str,
    agent: &Path,
    boot_modules: &Path,
    initrd: Option<&Path>,
) -> Result<(), InitramfsError> {
    let agent = Input::open(agent.to_owned())?;
    let modules = modules(boot_modules)?;
    let initrd = initrd.map(Rest::open).transpose()?;
    let place = |name: &str| match folder {
        "" => name.to_owned(),
        folder => format!("{}/{name}", folder.trim_start_matches('/')),
    };
    publish(out, 0o644, |file, _| {
        let mut archive = Archive {
            out: BufWriter::with_capacity(256 * 1024, file),
            inode: 0,
        };
        archive.node("dev", DIRECTORY | 0o755, (0, 0))?;
        // The kernel opens it for /init before anything is mounted.
        archive.node("dev/console", CHARACTER | 0o600, (5, 1))?;
        archive.node("dev/null", CHARACTER | 0o666, (1, 3))?;
        if !folder.is_empty() {
            archive.node(folder.trim_start_matches('/'), DIRECTORY | 0o755, (0, 0))?;
        }
        archive.file(&place("init"), FILE | 0o755, agent)?;
        archive.node(&place("modules"), DIRECTORY | 0o755, (0, 0))?;
        for (name, module) in modules {
            archive.file(&place(&format!("modules/{name}")), FILE | 0o644, module)?;
        }
        archive.node("proc", DIRECTORY | 0o755, (0, 0))?;
        archive.node("sys", DIRECTORY | 0o755, (0, 0))?;
        archive.finish(initrd)
    })
    .map_err(|failure| match failure {
        Failure::Write(source) => InitramfsError::Write {
            path: out.to_owned(),
            source,
        },
        Failure::Input(error) => error,
    })
}

enum Failure {
    Write(io::Error),
    Input(InitramfsError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// A file to be put in, with the length that its header will state.
struct Input {
    path: PathBuf,
    file: File,
    size: u32,
}

impl Input {
    fn open(path: PathBuf) -> Result<Self, InitramfsError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (found, file) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(InitramfsError::Read { path, source }),
        };
        match u32::try_from(found.len()) {
            Ok(size) if found.is_file() && u64::from(size) <= LARGEST_FILE => Ok(Self { path, file, size }),
            _ => Err(InitramfsError::NotAFile { path }),
        }
    }
}

/// An initrd that follows.
struct Rest {
    path: PathBuf,
    file: File,
}

impl Rest {
    fn open(path: &Path) -> Result<Self, InitramfsError> {
        let read = |source| InitramfsError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let about = file.metadata().map_err(read)?;
        if !about.is_file() || about.len() > LARGEST_INITRD {
            return Err(InitramfsError::NotAnInitrd {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }
}

/// The modules of a folder by their names, in the order of their numbers.
fn modules(folder: &Path) -> Result<Vec<(String, Input)>, InitramfsError> {
    let fail = |source| InitramfsError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        match entry.file_name().into_string() {
            Ok(name) if is_module_name(&name) => names.push(name),
            _ => return Err(InitramfsError::NotAModule { path: entry.path() }),
        }
        if names.len() > MOST_MODULES {
            return Err(InitramfsError::TooManyModules {
                folder: folder.to_owned(),
            });
        }
    }
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| Ok((name.clone(), Input::open(folder.join(name))?)))
        .collect()
}

fn is_module_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.len() <= 128
        && name.ends_with(".ko")
        && matches!(bytes, [b'0'..=b'9', b'0'..=b'9', b'-', ..])
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
}

struct Archive<W: Write> {
    out: BufWriter<W>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// A directory or device.
    fn node(&mut self, name: &str, mode: u32, device: (u32, u32)) -> io::Result<()> {
        self.inode += 1;
        self.header(name, self.inode, mode, 0, device)
    }

    fn file(&mut self, name: &str, mode: u32, input: Input) -> Result<(), Failure> {
        self.inode += 1;
        self.header(name, self.inode, mode, input.size, (0, 0))?;
        let mut source = input.file.take(u64::from(input.size));
        let copied = io::copy(&mut source, &mut self.out)?;
        if copied != u64::from(input.size) {
            return Err(Failure::Input(InitramfsError::Read {
                path: input.path,
                source: io::ErrorKind::UnexpectedEof.into(),
            }));
        }
        self.pad(input.size as usize)?;
        Ok(())
    }

    /// The end marker. The kernel wants archives in multiples of 4 bytes, which the padding gives; what follows begins
    /// at such a place.
    fn finish(mut self, rest: Option<Rest>) -> Result<(), Failure> {
        self.header("TRAILER!!!", 0, 0, 0, (0, 0))?;
        if let Some(rest) = rest {
            let mut source = rest.file.take(LARGEST_INITRD);
            let copied = io::copy(&mut source, &mut self.out);
            copied.map_err(|source| {
                Failure::Input(InitramfsError::Read {
                    path: rest.path,
                    source,
                })
            })?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// `c_magic` and 13 fields of 8 hexadecimal digits: inode, mode, owner, group, links, time, size, the device it
    /// lies on, the device it is, length of the name, checksum (0 in this form). Owner and time are 0.
    fn header(
        &mut self,
        name: &str,
        inode: u32,
        mode: u32,
        size: u32,
        (major, minor): (u32, u32),
    ) -> io::Result<()> {
        const HEADER: usize = 110;
        let name_size = name.len() + 1;
        write!(
            self.out,
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}\
             {major:08x}{minor:08x}{name_size:08x}{0:08x}{name}\0",
            0, 1
        )?;
        self.pad(HEADER + name_size)
    }

    /// Zeros up to the next multiple of 4 after so many bytes.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            fs::write(folder.at("agent"), b"\x7fELF agent").unwrap();
            fs::create_dir(folder.at("modules")).unwrap();
            folder
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self) -> Result<Vec<u8>, InitramfsError> {
            write(&self.at("out"), &self.at("agent"), &self.at("modules"))?;
            Ok(fs::read(self.at("out")).unwrap())
        }
    }

    /// What cpio(1) makes of an archive.
    fn listed(archive: &[u8]) -> String {
        let mut command = Command::new("cpio");
        let command = command
            .args(["--quiet", "-itvn"])
            .env("TZ", "UTC")
            .env("LC_ALL", "C");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("cpio is installed");
        child.stdin.take().unwrap().write_all(archive).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn it_holds_the_agent_as_init_and_the_modules_in_their_order() {
        let folder = Folder::new();
        fs::write(folder.at("modules/01-virtio.ko"), b"second").unwrap();
        fs::write(folder.at("modules/00-virtio_ring.ko"), b"1st").unwrap();
        let expected = "\
            drwxr-xr-x   1 0        0               0 Jan  1  1970 dev\n\
            crw-------   1 0        0          5,   1 Jan  1  1970 dev/console\n\
            crw-rw-rw-   1 0        0          1,   3 Jan  1  1970 dev/null\n\
            -rwxr-xr-x   1 0        0              10 Jan  1  1970 init\n\
            drwxr-xr-x   1 0        0               0 Jan  1  1970 modules\n\
            -rw-r--r--   1 0        0               3 Jan  1  1970 modules/00-virtio_ring.ko\n\
            -rw-r--r--   1 0        0               6 Jan  1  1970 modules/01-virtio.ko\n\
            drwxr-xr-x   1 0        0               0 Jan  1  1970 proc\n\
            drwxr-xr-x   1 0        0               0 Jan  1  1970 sys\n";
        let archive = folder.write().unwrap();
        assert_eq!(listed(&archive), expected);
        assert_eq!(archive.len() % 4, 0);
        let within = |bytes: &[u8]| archive.windows(bytes.len()).any(|window| window == bytes);
        assert!(
            within(b"init\0\0\x7fELF agent\0\x00070701"),
            "data begins and ends on 4 bytes"
        );
    }

    #[test]
    fn somebody_elses_initrd_follows_as_it_is_and_keeps_its_init() {
        let folder = Folder::new();
        fs::write(folder.at("initrd"), b"\x28\xb5\x2f\xfd packed").unwrap();
        fs::write(folder.at("modules/00-virtio_ring.ko"), b"1st").unwrap();
        let out = folder.at("out");
        write_before(
            &folder.at("initrd"),
            &out,
            &folder.at("agent"),
            &folder.at("modules"),
        )
        .unwrap();
        let archive = fs::read(&out).unwrap();
        let ours = archive.strip_suffix(b"\x28\xb5\x2f\xfd packed").unwrap();
        assert_eq!(ours.len() % 4, 0, "where the kernel looks for it");
        let listed = listed(ours);
        let names: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        assert_eq!(
            names,
            [
                "dev",
                "dev/console",
                "dev/null",
                "banger",
                "banger/init",
                "banger/modules",
                "banger/modules/00-virtio_ring.ko",
                "proc",
                "sys"
            ]
        );
        let missing = folder.at("none");
        let failed = write_before(&missing, &out, &folder.at("agent"), &folder.at("modules"));
        assert!(matches!(failed, Err(InitramfsError::Read { .. })));
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        let (first, second) = (Folder::new(), Folder::new());
        for (folder, names) in [
            (&first, ["00-a.ko", "01-b.ko"]),
            (&second, ["01-b.ko", "00-a.ko"]),
        ] {
            for name in names {
                fs::write(folder.at("modules").join(name), name).unwrap();
            }
        }
        assert_eq!(first.write().unwrap(), second.write().unwrap());
    }

    #[test]
    fn a_kernel_without_modules_needs_no_folder() {
        let folder = Folder::new();
        fs::remove_dir(folder.at("modules")).unwrap();
        assert!(listed(&folder.write().unwrap()).contains(" init\n"));
    }

    #[test]
    fn what_does_not_belong_there_is_refused_and_leaves_nothing() {
        for name in ["virtio.ko", "0-a.ko", "00-a.txt", "00-a b.ko", "00-\u{e4}.ko"] {
            let folder = Folder::new();
            fs::write(folder.at("modules").join(name), b"").unwrap();
            assert!(
                matches!(folder.write(), Err(InitramfsError::NotAModule { .. })),
                "{name}"
            );
            assert!(!folder.at("out").exists());
        }
        let folder = Folder::new();
        fs::create_dir(folder.at("modules/00-a.ko")).unwrap();
        assert!(matches!(folder.write(), Err(InitramfsError::NotAFile { .. })));
        let folder = Folder::new();
        let large = File::create(folder.at("agent")).unwrap();
        large.set_len(LARGEST_FILE + 1).unwrap();
        assert!(matches!(folder.write(), Err(InitramfsError::NotAFile { .. })));
        let folder = Folder::new();
        fs::remove_file(folder.at("agent")).unwrap();
        assert!(matches!(folder.write(), Err(InitramfsError::Read { .. })));
        assert!(!folder.at("out").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = Folder::new();
        let out = folder.at("missing/out");
        let error = write(&out, &folder.at("agent"), &folder.at("modules")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot write the initramfs {}", out.display())
        );
    }
}
