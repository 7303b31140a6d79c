//! A host whose disk fills up: imports stop and guests stand still before it is full, and go on when there is room.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{ErrorCode, KillSignal, PullImage, RegistryAccess, Vm, VmState};
use engine::Engine;
use serde_json::json;
use support::registry::Registry;
use support::{Host, becomes, delete, run, vm};
use testkit::MachineFaults;
use testkit::container::{TestImage, layer};

const MIB: u64 = 1 << 20;
/// Of a disk of 64 MiB.
const RESERVE: u64 = 24 * MIB;
const PAUSED: &str = "paused: the host's disk is full";

/// Runs `test` on a host whose state lies on a disk of 64 MiB.
fn on_a_little_disk<W: Future<Output = ()>>(name: &str, test: impl FnOnce(Host, PathBuf) -> W) {
    let Some(disk) = testkit::with_a_little_disk(name, 64 << 10) else {
        return;
    };
    let mut host = Host::at(&disk);
    host.free_space_reserve = Some(RESERVE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(test(host, disk.clone()));
    testkit::end_processes_of(&disk);
}

/// Takes so much of the disk that less than the reserve is left, but not nothing.
fn fill(disk: &Path) -> PathBuf {
    let filler = disk.join("filler");
    fs::write(&filler, vec![1; 48 << 20]).unwrap();
    filler
}

/// Whether the process is stopped.
fn stands_still(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// A guest that writes for as long as it runs and this is kept.
struct Writer(Arc<AtomicBool>);

impl Writer {
    fn of(host: &Host, vm: &Vm) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let layer = File::options()
            .write(true)
            .open(host.paths.vm(&vm.id).join("layer.ext4"))
            .unwrap();
        let (pid, until) = (vm.pid.unwrap(), Arc::clone(&ended));
        std::thread::spawn(move || {
            for block in 0.. {
                std::thread::sleep(Duration::from_millis(10));
                if until.load(Ordering::Acquire) {
                    return;
                }
                if !stands_still(pid) {
                    // Beyond what the file system's own data takes.
                    layer.write_all_at(&[7; 4096], 200 * MIB + block * 4096).unwrap();
                }
            }
        });
        Self(ended)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Waits until a VM is paused, or is not any more.
async fn is_paused(engine: &Engine, name: &str, paused: bool) -> Vm {
    let waiting = async {
        loop {
            let vm = engine.vms().show(name).await.unwrap();
            if vm.paused.is_some() == paused {
                return vm;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect("it comes within 30 s")
}

async fn exec(engine: &Engine, name: &str) -> api::ApiError {
    let exec = guest::Exec {
        argv: vec!["true".into()],
        ..guest::Exec::default()
    };
    engine.vms().exec(name, &exec).await.unwrap_err().to_api()
}

#[test]
fn a_vm_that_writes_is_paused_before_the_disk_is_full_and_goes_on_by_itself() {
    let name = "a_vm_that_writes_is_paused_before_the_disk_is_full_and_goes_on_by_itself";
    on_a_little_disk(name, async |host, disk| {
        let engine = host.engine().await;
        let (writing, idle) = (run(&engine, "a").await, run(&engine, "b").await);
        let mut listener = engine.listen();
        let writer = Writer::of(&host, &writing);
        let filler = fill(&disk);

        let shown = is_paused(&engine, "a", true).await;
        assert_eq!(shown.paused.as_deref(), Some(PAUSED));
        assert_eq!(shown.state, VmState::Running);
        // The signal is sent by then; on a busy host its process gets to it later.
        while !stands_still(writing.pid.unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!stands_still(idle.pid.unwrap()));
        assert_eq!(engine.vms().show("b").await.unwrap().paused, None);
        loop {
            let notice = listener.next().await.unwrap();
            if let api::Happening::Vm {
                name, state, reason, ..
            } = &notice.what
            {
                assert_eq!(
                    (name.as_str(), *state, reason.as_deref()),
                    ("a", VmState::Running, Some(PAUSED))
                );
                break;
            }
        }

        // What would have to wait for it is refused in one line.
        let refused = exec(&engine, "a").await;
        assert_eq!(
            refused.message,
            "cannot run a command in `a`: it is paused: the host's disk is full"
        );
        assert_eq!(refused.code, ErrorCode::HostResource);
        assert!(refused.hint.unwrap().contains("goes on by itself"));
        assert!(engine.vms().ping("a").await.is_err());
        let change = api::SetVm {
            disk_size: Some(512 * MIB),
            ..api::SetVm::default()
        };
        let changed = engine
            .vms()
            .set("a", change)
            .await
            .unwrap()
            .wait()
            .await
            .unwrap_err();
        assert!(
            changed.message.starts_with("cannot change `a`: it is paused"),
            "{changed:?}"
        );
        assert!(engine.vms().stats("a").await.unwrap().guest.is_none());
        engine.vms().ping("b").await.unwrap();

        // The next daemon knows, and lets it go on.
        drop(engine);
        let engine = host.engine().await;
        is_paused(&engine, "a", true).await;
        fs::remove_file(filler).unwrap();
        is_paused(&engine, "a", false).await;
        assert!(!stands_still(writing.pid.unwrap()));
        engine.vms().ping("a").await.unwrap();
        drop(writer);
        delete(&engine, "a").await;
        delete(&engine, "b").await;
    });
}

#[test]
fn a_paused_vm_is_stopped_killed_and_deleted_like_any_other() {
    let name = "a_paused_vm_is_stopped_killed_and_deleted_like_any_other";
    on_a_little_disk(name, async |host, disk| {
        let engine = host.engine().await;
        let mut writers = Vec::new();
        for name in ["stopped", "ended", "killed", "deleted"] {
            writers.push(Writer::of(&host, &run(&engine, name).await));
        }
        let filler = fill(&disk);
        for name in ["stopped", "ended", "killed", "deleted"] {
            is_paused(&engine, name, true).await;
        }
        drop(writers);
        let vms = engine.vms();
        vms.stop("stopped").await.unwrap().wait().await.unwrap();
        let stopped = becomes(&engine, "stopped", VmState::Stopped).await;
        assert_eq!((stopped.paused, stopped.reason), (None, None));
        for (name, signal) in [("ended", KillSignal::Term), ("killed", KillSignal::Kill)] {
            vms.kill(name, signal).await.unwrap().wait().await.unwrap();
            becomes(&engine, name, VmState::Stopped).await;
        }
        delete(&engine, "deleted").await;

        // It does not start where it would be paused at once, and says why.
        let refused = vms.start("stopped").await.unwrap().wait().await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::HostResource);
        assert!(
            refused.message.contains(" free, and 24 MiB are kept free"),
            "{refused:?}"
        );
        fs::remove_file(filler).unwrap();
        vms.start("stopped").await.unwrap().wait().await.unwrap();
        for name in ["stopped", "ended", "killed"] {
            delete(&engine, name).await;
        }
    });
}

#[test]
fn a_vm_that_was_to_end_and_stayed_is_paused_like_any_other() {
    let name = "a_vm_that_was_to_end_and_stayed_is_paused_like_any_other";
    on_a_little_disk(name, async |host, disk| {
        let engine = host.engine().await;
        host.backend.fault_next(MachineFaults {
            ignores_term: true,
            ..MachineFaults::default()
        });
        let vm = run(&engine, "a").await;
        let vms = engine.vms();
        let kill = vms.kill("a", KillSignal::Term).await.unwrap();
        kill.cancel();
        assert_eq!(kill.wait().await.unwrap_err().code, ErrorCode::Cancelled);
        let writer = Writer::of(&host, &vm);
        let filler = fill(&disk);
        is_paused(&engine, "a", true).await;
        drop(writer);

        // While it is on its way out it goes on, and is killed if it takes half the reserve.
        let kill = vms.kill("a", KillSignal::Term).await.unwrap();
        is_paused(&engine, "a", false).await;
        let more = disk.join("more");
        fs::write(&more, vec![1; 8 << 20]).unwrap();
        let writer = Writer::of(&host, &vm);
        tokio::time::timeout(Duration::from_secs(15), kill.wait())
            .await
            .expect("it does not wait until the signal is given up")
            .unwrap();
        becomes(&engine, "a", VmState::Stopped).await;
        drop(writer);
        for file in [filler, more] {
            fs::remove_file(file).unwrap();
        }
        delete(&engine, "a").await;
    });
}

#[test]
fn what_is_being_made_is_given_up_below_the_reserve_and_leaves_nothing() {
    let name = "what_is_being_made_is_given_up_below_the_reserve_and_leaves_nothing";
    on_a_little_disk(name, async |host, disk| {
        let engine = host.engine().await;
        let registry = Registry::new();
        let (large, small) = (layer(&[("large", &"x".repeat(1 << 20))]), layer(&[("small", "")]));
        registry.put("app", TestImage::new(&[small, large], &json!({})));
        let request = PullImage {
            reference: registry.reference("app"),
            name: None,
            kernel: None,
            registry: RegistryAccess {
                plain_http: true,
                ..RegistryAccess::default()
            },
        };
        let leaks = host.leaks();

        // A VM whose disk is being made.
        let hold = host.points.hold("create.image");
        let operation = engine.vms().create(vm("a", true)).await.unwrap();
        hold.reached().await;
        let filler = fill(&disk);
        let given_up = operation.wait().await.unwrap_err();
        assert_eq!(given_up.code, ErrorCode::HostResource, "{given_up:?}");
        let line = format!("the disk of {}", disk.display());
        assert!(
            given_up.message.starts_with(&line)
                && given_up.message.ends_with(" free, and 24 MiB are kept free"),
            "{given_up:?}"
        );
        assert!(engine.vms().list().await.unwrap().is_empty());

        // Nothing is begun.
        let refused = engine.vms().create(vm("a", true)).await.unwrap_err().to_api();
        assert_eq!(refused.code, ErrorCode::HostResource, "{refused:?}");
        let refused = engine
            .images()
            .pull(request.clone())
            .await
            .unwrap()
            .wait()
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::HostResource, "{refused:?}");

        fs::remove_file(&filler).unwrap();
        leaks.assert_none_since().await;

        // A pull that is under way, of which a part has come.
        let mut asked = registry.fall_silent();
        let operation = engine.images().pull(request).await.unwrap();
        let _connection = asked.recv().await.unwrap();
        fill(&disk);
        let given_up = operation.wait().await.unwrap_err();
        assert_eq!(given_up.code, ErrorCode::HostResource, "{given_up:?}");
        assert!(
            engine
                .images()
                .list()
                .await
                .unwrap()
                .iter()
                .all(|image| image.name != "app")
        );
        let nothing = async {
            while fs::read_dir(host.paths.blobs()).unwrap().count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), nothing)
            .await
            .expect("nothing of it is kept");
    });
}

#[tokio::test]
async fn without_a_reserve_nothing_is_held_back() {
    let mut host = Host::new();
    host.free_space_reserve = Some(u64::MAX);
    let engine = host.engine().await;
    assert!(engine.vms().create(vm("a", true)).await.is_err());
    drop(engine);
    host.free_space_reserve = Some(0);
    let engine = host.engine().await;
    run(&engine, "a").await;
    delete(&engine, "a").await;
}
