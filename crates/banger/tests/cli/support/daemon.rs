//! A daemon that keeps its VMs in memory and notes what it was asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use api::{NetworkMode, Vm, VmState};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::routes;

/// Everything that the daemon knows.
pub struct State {
    vms: Mutex<Vec<Vm>>,
    calls: Mutex<Vec<String>>,
    /// Counts the calls, and the changes of VMs, for whoever waits for one.
    changes: watch::Sender<u64>,
    /// Machines that have died: their commands' streams end.
    dead: watch::Sender<Vec<String>>,
    /// Verbs that go no further than their first stage, until they are cancelled.
    hanging: Mutex<Vec<&'static str>>,
    /// Verbs that fail.
    refused: Mutex<Vec<&'static str>>,
    /// Versions differ on purpose.
    version: Mutex<String>,
    /// Where its files lie.
    folder: PathBuf,
    /// VMs in the order in which their operations are to end.
    order: Mutex<Vec<String>>,
}

impl State {
    pub fn vms(&self) -> MutexGuard<'_, Vec<Vm>> {
        self.vms.lock().unwrap()
    }

    pub fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
        self.changed();
    }

    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        while !condition(self) {
            changes.changed().await.unwrap();
        }
    }

    /// How often it was asked something.
    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub fn has_call(&self, call: &str) -> bool {
        self.calls.lock().unwrap().iter().any(|made| made == call)
    }

    pub fn hangs(&self, verb: &str) -> bool {
        self.hanging.lock().unwrap().contains(&verb)
    }

    pub fn refuses(&self, verb: &str) -> bool {
        self.refused.lock().unwrap().contains(&verb)
    }

    /// A path in a guest on this host: root's home lies in a folder of the daemon's.
    pub fn inside(&self, path: &str) -> String {
        let below = path.strip_prefix("/root");
        match below.filter(|below| below.is_empty() || below.starts_with("/")) {
            Some(below) => format!("{}/guest/root{below}", self.folder.display()),
            None => path.to_owned(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn version(&self) -> String {
        self.version.lock().unwrap().clone()
    }

    /// The name that must end before `name` may, if any.
    pub fn is_next(&self, name: &str) -> bool {
        self.order.lock().unwrap().first().is_none_or(|next| next == name)
    }

    pub fn ended(&self, name: &str) {
        self.order.lock().unwrap().retain(|next| next != name);
        self.changed();
    }

    /// Ends when the machine dies.
    pub async fn death(&self, id: &str) {
        let _ = self
            .dead
            .subscribe()
            .wait_for(|dead| dead.iter().any(|one| one == id))
            .await;
    }

    pub fn change(&self, id: &str, change: impl FnOnce(&mut Vm)) {
        if let Some(vm) = self.vms().iter_mut().find(|vm| vm.id == id) {
            change(vm);
        }
        self.changed();
    }
}

/// The daemon; ends with this value.
pub struct FakeDaemon {
    state: Arc<State>,
    folder: TempDir,
    runtime: Option<Runtime>,
}

impl FakeDaemon {
    /// A daemon with these VMs.
    pub fn with(vms: Vec<Vm>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State {
            vms: Mutex::new(vms),
            calls: Mutex::default(),
            changes: watch::channel(0).0,
            dead: watch::channel(Vec::new()).0,
            hanging: Mutex::default(),
            refused: Mutex::default(),
            version: Mutex::new(env!("CARGO_PKG_VERSION").to_owned()),
            order: Mutex::default(),
            folder: folder.path().to_owned(),
        });
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(folder.path().join("bangerd.sock")).unwrap()
        };
        runtime.spawn(serve(listener, Arc::clone(&state)));
        Self {
            state,
            folder,
            runtime: Some(runtime),
        }
    }

    /// A daemon with one running VM, `box`.
    pub fn with_box() -> Self {
        Self::with(vec![vm("box", 'b', VmState::Running)])
    }

    /// A verb that goes no further than its first stage.
    pub fn hang(&self, verb: &'static str) {
        self.state.hanging.lock().unwrap().push(verb);
    }

    /// A verb that fails.
    pub fn refuse(&self, verb: &'static str) {
        self.state.refused.lock().unwrap().push(verb);
    }

    /// Another version than banger's.
    pub fn pretend_version(&self, version: &str) {
        *self.state.version.lock().unwrap() = version.into();
    }

    /// Operations on these VMs end in this order, and none before all have begun.
    pub fn end_in_order(&self, names: &[&str]) {
        *self.state.order.lock().unwrap() = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// The machine of a VM dies.
    pub fn kill_machine(&self, name: &str) {
        let id = self.vm(name).unwrap().id;
        self.state.change(&id, |vm| {
            vm.state = VmState::Stopped;
            vm.reason = Some("its QEMU was ended by signal 9".into());
        });
        self.state.dead.send_modify(|dead| dead.push(id));
    }

    /// Ends the daemon, with all its connections.
    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    pub fn vm(&self, name: &str) -> Option<Vm> {
        self.state.vms().iter().find(|vm| vm.name == name).cloned()
    }

    pub fn names(&self) -> Vec<String> {
        self.state.vms().iter().map(|vm| vm.name.clone()).collect()
    }

    /// What it was asked so far, but for its version.
    pub fn calls(&self) -> Vec<String> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Waits until it has been asked this.
    pub fn wait_for_call(&self, call: &str) {
        self.wait(|state| state.has_call(call));
    }

    /// Waits until it has no VM.
    pub fn wait_until_empty(&self) {
        self.wait(|state| state.vms().is_empty());
    }

    fn wait(&self, condition: impl Fn(&State) -> bool) {
        self.runtime
            .as_ref()
            .unwrap()
            .block_on(self.state.until(condition));
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("bangerd.sock")
    }

    /// Where its socket is, and where tests may put other things.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.die();
    }
}

async fn serve(listener: UnixListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| routes::answer(Arc::clone(&state), request));
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// A VM whose id is 32 times `digit`, three days old.
pub fn vm(name: &str, digit: char, state: VmState) -> Vm {
    let created = Timestamp::now() - SignedDuration::from_hours(3 * 24 + 1);
    let running = state == VmState::Running;
    Vm {
        id: digit.to_string().repeat(32),
        name: name.into(),
        state,
        reason: None,
        paused: None,
        image: "debian-minimal".into(),
        kernel: "debian-cloud 6.1.192".into(),
        vcpu: 2,
        memory_mib: 2048,
        disk_size: 8 << 30,
        disk_used: 107_374_182,
        network: NetworkMode::User,
        publish: Vec::new(),
        address: None,
        vmm: "qemu/tcg".into(),
        vmm_reason: "no KVM: the CPU offers no virtualisation".into(),
        pid: running.then_some(4242),
        limits: running.then(|| "process limits, system calls".into()),
        connections: None,
        boot_id: running.then(|| "5f1b5b0e-7a3c-4f0e-9a55-0d6f4b1f2a33".into()),
        ephemeral: false,
        created_at: created,
        started_at: running.then_some(created),
        rebooted: None,
        crashed_at: None,
    }
}
