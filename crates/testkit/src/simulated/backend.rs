//! The backend of simulated machines.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use process::{Ending, Handle, Launch, ProcessError, Signal, read_record, remove_record};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use vmm::{Backend, Channel, End, How, Machine, MachineSpec, NetworkDevice, VmmError};

use super::{AGENT_SOCKET, CONSOLE_LOG, MachineFaults, PORT_SOCKET, PROCESS_RECORD, RESET, VMM_LOG};
use crate::Program;

/// Starts machines as host processes, with the faults that a test asks for.
#[derive(Clone, Debug)]
pub struct SimulatedBackend {
    binary: PathBuf,
    plans: Arc<Mutex<Plans>>,
    has_built_in_network: bool,
    name: &'static str,
}

#[derive(Debug, Default)]
struct Plans {
    next: VecDeque<MachineFaults>,
    of_vm: HashMap<String, MachineFaults>,
    of_all: MachineFaults,
    starts: Vec<String>,
}

impl SimulatedBackend {
    /// One whose machines do nothing wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::with_binary(Program::Binary("testkit", "simulated-vmm").locate())
    }

    /// One that executes something else: a path that does not exist stands for a VMM that is not installed.
    #[must_use]
    pub fn with_binary(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            plans: Arc::default(),
            has_built_in_network: true,
            name: "simulated",
        }
    }

    /// One of that name, for what goes by names alone.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// One without a network of its own, as Firecracker is.
    #[must_use]
    pub fn without_built_in_network(self) -> Self {
        Self {
            has_built_in_network: false,
            ..self
        }
    }

    /// The faults of the next machine that starts, once; several calls queue up.
    pub fn fault_next(&self, faults: MachineFaults) {
        self.plan(|plans| plans.next.push_back(faults));
    }

    /// The faults of the VM of this id, whenever it starts.
    pub fn fault_vm(&self, id: &str, faults: MachineFaults) {
        self.plan(|plans| plans.of_vm.insert(id.to_owned(), faults));
    }

    /// The faults of every machine that has no others.
    pub fn fault_all(&self, faults: MachineFaults) {
        self.plan(|plans| plans.of_all = faults);
    }

    /// Ids of the VMs that were to be started so far, in order.
    #[must_use]
    pub fn starts(&self) -> Vec<String> {
        self.plan(|plans| plans.starts.clone())
    }

    fn plan<T>(&self, change: impl FnOnce(&mut Plans) -> T) -> T {
        change(&mut self.plans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn faults_of(&self, id: &str) -> MachineFaults {
        self.plan(|plans| {
            plans.starts.push(id.to_owned());
            let faults = plans.next.pop_front().or_else(|| plans.of_vm.get(id).cloned());
            faults.unwrap_or_else(|| plans.of_all.clone())
        })
    }

    async fn launch(&self, spec: &MachineSpec) -> Result<SimulatedMachine, VmmError> {
        if !self.binary.is_file() {
            return Err(VmmError::BinaryMissing {
                binary: self.binary.display().to_string(),
            });
        }
        let folder = &spec.folder;
        let log = folder.join(VMM_LOG);
        let cannot_write = |path: &Path| {
            let path = path.to_owned();
            move |source| VmmError::File {
                action: "write",
                path,
                source,
            }
        };
        self.faults_of(&spec.id)
            .write(folder)
            .map_err(cannot_write(folder))?;
        let output = File::create(&log).map_err(cannot_write(&log))?;
        let spawn = |source| VmmError::Spawn {
            binary: self.binary.clone(),
            source,
        };
        let (ready, signal) = io::pipe().map_err(spawn)?;

        let mut launch = Launch::new(&self.binary, folder, folder.join(PROCESS_RECORD));
        launch.argument("--folder").argument(folder).output(output.into());
        let number = launch.pass(signal.into());
        launch.argument("--ready-descriptor").argument(number.to_string());
        if let Some(NetworkDevice::Socket { socket, .. }) = &spec.network {
            // It says nothing, and holds its end as others do.
            launch.pass(socket.0.try_clone().map_err(spawn)?);
        }
        if let Some(path) = std::env::var_os("PATH") {
            launch.variable("PATH", path);
        }
        let started = launch.start().await.map_err(|error| self.spawn_error(error))?;

        let mut ready = pipe::Receiver::from_owned_fd(ready.into()).map_err(spawn)?;
        let mut byte = [0];
        if ready.read(&mut byte).await.map_err(spawn)? == 0 {
            // Dropping what was started ends it, if it has not ended, and takes its record away.
            let _ = started.handle().kill(Signal::KILL);
            let _ = started.handle().wait().await;
            return Err(VmmError::DiedAtStart {
                binary: self.binary.clone(),
                log: last_line(&log),
            });
        }
        Ok(SimulatedMachine {
            folder: folder.clone(),
            handle: started.keep(),
        })
    }

    fn spawn_error(&self, error: ProcessError) -> VmmError {
        VmmError::Spawn {
            binary: self.binary.clone(),
            source: io::Error::other(error),
        }
    }
}

impl Default for SimulatedBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for SimulatedBackend {
    fn name(&self) -> &str {
        self.name
    }

    fn has_built_in_network(&self) -> bool {
        self.has_built_in_network
    }

    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        Box::pin(async move { Ok(Arc::new(self.launch(spec).await?) as Arc<dyn Machine>) })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, VmmError>> {
        Box::pin(async move {
            let record = folder.join(PROCESS_RECORD);
            let cannot_read = |error| VmmError::File {
                action: "read",
                path: record.clone(),
                source: io::Error::other(error),
            };
            let Some(identity) = read_record(&record).map_err(cannot_read)? else {
                return Ok(None);
            };
            let machine = |handle| {
                Arc::new(SimulatedMachine {
                    folder: folder.to_owned(),
                    handle,
                }) as Arc<dyn Machine>
            };
            Ok(identity.open().map(machine))
        })
    }
}

/// A machine that was started, by this daemon or an earlier one.
struct SimulatedMachine {
    folder: PathBuf,
    handle: Handle,
}

impl fmt::Debug for SimulatedMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedMachine")
            .field("folder", &self.folder)
            .field("pid", &self.pid())
            .finish()
    }
}

impl Machine for SimulatedMachine {
    fn pid(&self) -> u32 {
        self.handle.identity().pid
    }

    fn channel(&self) -> Channel {
        let port = self.folder.join(PORT_SOCKET);
        match port.exists() {
            true => Channel::VirtioSerial { socket: port },
            false => Channel::Vsock {
                socket: self.folder.join(AGENT_SOCKET),
            },
        }
    }

    fn wait(&self) -> BoxFuture<'_, End> {
        Box::pin(async {
            let how = |how| move |reason: String| End { how, reason };
            match self.handle.wait().await {
                Ok(Ending::Exited(RESET)) => how(How::Reset)("the simulated guest reset its machine".into()),
                Ok(Ending::Exited(0)) => how(How::PoweredOff)("the simulated guest powered off".into()),
                // As of a real one that is not its finder's child.
                Ok(Ending::Unknown) => End::unknown("the simulated machine ended"),
                Ok(ending) => {
                    let log = last_line(&self.folder.join(VMM_LOG));
                    let log = if log.is_empty() {
                        last_line(&self.folder.join(CONSOLE_LOG))
                    } else {
                        log
                    };
                    format!("the simulated machine ended ({ending}): {log}").into()
                }
                Err(error) => format!("the simulated machine cannot be watched: {error}").into(),
            }
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), VmmError> {
        self.handle.kill(signal).map_err(|error| VmmError::Control {
            message: error.to_string(),
        })
    }

    fn grow_drive(&self, _number: usize, size: u64) -> BoxFuture<'_, Result<(), VmmError>> {
        let path = self.folder.join("layer.ext4");
        let grown = File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(size));
        let outcome = grown.map_err(|source| VmmError::File {
            action: "grow",
            path,
            source,
        });
        Box::pin(std::future::ready(outcome))
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(std::future::ready(self.signal(Signal::STOP)))
    }

    fn is_paused(&self) -> BoxFuture<'_, Result<bool, VmmError>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let stopped = stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'));
        Box::pin(std::future::ready(Ok(stopped)))
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(std::future::ready(self.signal(Signal::CONT)))
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(async {
            let failed = |error: ProcessError| VmmError::Control {
                message: error.to_string(),
            };
            self.handle.kill(Signal::KILL).map_err(failed)?;
            self.handle.wait().await.map_err(failed)?;
            remove_record(&self.folder.join(PROCESS_RECORD), self.handle.identity()).map_err(failed)
        })
    }
}

fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}
