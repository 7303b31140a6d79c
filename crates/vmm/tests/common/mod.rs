//! A folder with all that a machine needs, and the ends that tests wait for.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use process::Identity;
use tempfile::TempDir;
use vmm::qemu::Acceleration;
use vmm::{Channel, Drive, Firecracker, Machine, MachineSpec, Qemu, RateLimit};

/// Far more than anything here takes, also on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);

/// What QEMU runs its guests on in these tests: software emulation, unless `BANGER_TEST_QEMU_KVM` is set.
pub fn acceleration() -> Acceleration {
    match std::env::var_os("BANGER_TEST_QEMU_KVM") {
        Some(_) => Acceleration::Kvm,
        None => Acceleration::Tcg,
    }
}

/// The backend with that binary.
pub fn qemu_at(binary: impl Into<PathBuf>) -> Qemu {
    qemu_with(binary, acceleration())
}

/// The same, whatever these tests run guests on.
pub fn qemu_with(binary: impl Into<PathBuf>, acceleration: Acceleration) -> Qemu {
    Qemu::new(binary, acceleration).with_log_keeper(env!("CARGO_BIN_EXE_vm-log-keeper"))
}

/// The Firecracker that `scripts/get-firecracker` fetches, or another one.
pub fn firecracker_binary() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/tools/firecracker/firecracker");
    let binary = std::env::var_os("BANGER_TEST_FIRECRACKER").map_or(fetched, PathBuf::from);
    assert!(
        binary.is_file(),
        "{} is not there: run scripts/get-firecracker, or set BANGER_TEST_FIRECRACKER",
        binary.display()
    );
    binary
}

/// The backend with that binary, which is taken to be of the version of the fetched one.
pub fn firecracker_at(binary: impl Into<PathBuf>) -> Firecracker {
    let version = vmm::firecracker::version(&firecracker_binary()).unwrap();
    Firecracker::new(binary, version).with_log_keeper(env!("CARGO_BIN_EXE_vm-log-keeper"))
}

/// The real one, as the product runs it.
pub fn firecracker() -> Firecracker {
    firecracker_at(firecracker_binary())
}

/// Where the agent of a machine in Firecracker is reached.
pub fn vsock(machine: &dyn Machine) -> PathBuf {
    match machine.channel() {
        Channel::Vsock { socket } => socket,
        other @ Channel::VirtioSerial { .. } => panic!("Firecracker has no {other:?}"),
    }
}

/// Runs an ignored test of this program once more, prepared by a script for that shell; `$@` in it is the test.
pub fn run_again(shell: &[&str], how: &str, test: &str) {
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-euc", how, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// The processes in a control group. KVM has a kernel thread for each machine in its VMM's group, which has no program.
pub fn processes_in(group: &Path) -> Vec<u32> {
    let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    let pids = pids.lines().map(|pid| pid.parse().unwrap());
    let has_program = |pid: &u32| match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    pids.filter(has_program).collect()
}

/// A VM's folder, and beside it a kernel and an initramfs.
pub struct Lab {
    root: PathBuf,
    pub folder: PathBuf,
    owned: Option<TempDir>,
}

impl Lab {
    pub fn new() -> Self {
        Self::at("vm")
    }

    /// One whose folder has this name, or path.
    pub fn at(name: &str) -> Self {
        let owned = tempfile::tempdir().unwrap();
        Self::of(owned.path(), name).owning(owned)
    }

    /// One whose root somebody else owns.
    pub fn of(root: &Path, name: &str) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join("initramfs"), "none").unwrap();
        Self {
            root: root.to_owned(),
            folder,
            owned: None,
        }
    }

    fn owning(mut self, root: TempDir) -> Self {
        self.owned = Some(root);
        self
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A machine with that kernel and nothing else.
    pub fn spec(&self, kernel: &[u8]) -> MachineSpec {
        let path = self.root().join("kernel");
        fs::write(&path, kernel).unwrap();
        MachineSpec {
            id: "a-test,of vmm".into(),
            folder: self.folder.clone(),
            vcpu: 1,
            memory_mib: 64,
            kernel: path,
            initramfs: self.root().join("initramfs"),
            command_line: "banger.test=1,2".into(),
            drives: Vec::new(),
            network: None,
        }
    }

    /// A disk of a page of its own.
    pub fn drive(&self, name: &str, read_only: bool) -> Drive {
        let path = self.root().join(name);
        fs::write(&path, [1; 4096]).unwrap();
        Drive {
            path,
            read_only,
            limit: RateLimit::default(),
        }
    }

    /// What lies in the VM's folder beside the logs.
    pub fn left(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.contains(".log")).collect()
    }

    /// The process that `record` tells of.
    pub fn process(&self, record: &str) -> Option<Identity> {
        process::read_record(&self.folder.join(record)).unwrap()
    }
}

impl Drop for Lab {
    /// A test that fails leaves no machine behind, and none leaves the control groups of one that ended by itself.
    fn drop(&mut self) {
        if self.owned.is_none() {
            return;
        }
        let record = process::read_record(&self.folder.join("process.json"));
        if std::thread::panicking()
            && let Some(handle) = record.ok().flatten().and_then(|machine| machine.open())
        {
            let _ = handle.kill(process::Signal::KILL);
        }
        let groups = fs::read_to_string(self.folder.join("control-groups")).unwrap_or_default();
        for group in groups.lines().map(Path::new) {
            // A process that was just killed leaves it a moment later.
            for _ in 0..100 {
                match fs::remove_dir(group) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
            if let Some(parent) = group.parent().filter(|parent| parent.ends_with("banger")) {
                let _ = fs::remove_dir(parent);
            }
        }
    }
}

/// Asks until there is an answer.
pub async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    in_time(async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Fails where something never ends.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it never ended")
}
