//! The daemon's routes. An operation's events are streamed, and a client that leaves early cancels it, as the real
//! daemon does.

use std::convert::Infallible;
use std::sync::Arc;

use api::{
    ApiError, Check, CheckState, CreateVm, ErrorBody, ErrorCode, Event, Report, StageState, Version, Vm,
    VmState,
};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use ::guest as guest_api;

use super::daemon::{State, vm};
use super::{files, forward, guest, images, kernels, ssh};

type App = Arc<State>;

/// A body that is there, or still comes.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Answers a request.
pub async fn answer(state: App, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let words: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    Ok(match (request.method(), words.as_slice()) {
        (&Method::GET, ["version"]) => version(&state),
        (&Method::GET, ["doctor"]) => doctor(),
        (&Method::GET, ["df"]) => json(&space()),
        (&Method::GET, ["vms"]) => {
            state.note("list");
            json(&*state.vms())
        }
        (&Method::POST, ["vms"]) => create(state, &body(request).await),
        (&Method::GET, ["vms", reference]) => match find(&state, reference) {
            Ok(vm) => json(&vm),
            Err(failure) => *failure,
        },
        (&Method::DELETE, ["vms", reference]) => {
            let verb = match request.uri().query() {
                Some("idle=true") => "prune",
                _ => "delete",
            };
            operate(state, verb, reference, None)
        }
        (&Method::POST, ["vms", reference, "start"]) => {
            operate(state, "start", reference, Some(VmState::Running))
        }
        (&Method::POST, ["vms", reference, "stop"]) => {
            operate(state, "stop", reference, Some(VmState::Stopped))
        }
        (&Method::POST, ["vms", reference, "restart"]) => {
            operate(state, "restart", reference, Some(VmState::Running))
        }
        (&Method::POST, ["vms", reference, "kill"]) => {
            let reference = (*reference).to_owned();
            let kill: api::KillVm = body(request).await;
            state.note(format!("kill by {}", kill.signal));
            operate(state, "kill", &reference, Some(VmState::Stopped))
        }
        (&Method::GET, ["vms", reference, "ping"]) => ping(&state, reference),
        (&Method::POST, ["vms", reference, "exec"]) => guest::exec(state, reference, request).await,
        (&Method::POST, ["vms", reference, "forward"]) => forward::forward(state, reference, request).await,
        (&Method::GET, ["vms", reference, "ports"]) => match find(&state, reference) {
            Ok(_) => json(&forward::listeners()),
            Err(failure) => *failure,
        },
        (&Method::GET, ["ssh"]) => json(&ssh::files(&state)),
        (&Method::GET, ["vms", reference, "ssh"]) => ssh::access(&state, reference),
        (&Method::POST, ["vms", reference, "ssh"]) => ssh::connect(&state, reference, request),
        (method, ["vms", reference, "files"]) => {
            let (method, reference) = (method.clone(), (*reference).to_owned());
            files::answer(state, &method, &reference, request).await
        }
        (&Method::GET, ["vms", reference, "logs"]) => match find(&state, reference) {
            Ok(_) => {
                let query = request.uri().query().unwrap_or_default().to_owned();
                state.note(format!("logs {query}"));
                Response::new(whole("\x1b[32mbooted\x1b[0m\r\n\x1b]0;title\x07end\n"))
            }
            Err(failure) => *failure,
        },
        (&Method::PATCH, ["vms", reference]) => {
            let reference = (*reference).to_owned();
            let change: api::SetVm = body(request).await;
            state.note(format!("change {}", serde_json::to_string(&change).unwrap()));
            let after = find(&state, &reference).map(|vm| vm.state).ok();
            operate(state, "set", &reference, after)
        }
        (&Method::GET, ["vms", reference, "stats"]) => stats(&state, reference),
        (&Method::GET, ["vms", reference, "boot"]) => match find(&state, reference) {
            Ok(vm) => json(&api::Booted {
                state: if vm.name == "web" { "degraded" } else { "running" }.into(),
                id: vm.id,
                name: vm.name,
            }),
            Err(failure) => *failure,
        },
        (&Method::GET, ["catalog", "kernels"]) => kernels::catalog(),
        (_, ["kernels", ..]) => kernels::answer(state, request).await,
        (_, ["images" | "cache", ..]) => images::answer(state, request).await,
        (&Method::DELETE, ["operations", id]) => {
            state.note(format!("cancel {id}"));
            let mut response = Response::new(whole(""));
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        _ => failure(ErrorCode::NotFound, "no such route", None),
    })
}

/// A failure as the API tells it.
pub fn failure(code: ErrorCode, message: impl Into<String>, hint: Option<&str>) -> Answer {
    let error = ApiError {
        code,
        message: message.into(),
        hint: hint.map(str::to_owned),
        operation: None,
    };
    let mut response = json(&ErrorBody { error });
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// A body that is there.
pub fn whole(bytes: impl Into<Bytes>) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes.into()).boxed()
}

/// The request's JSON.
pub async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> T {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

pub fn json(value: &impl Serialize) -> Answer {
    Response::new(whole(serde_json::to_vec(value).unwrap()))
}

/// The VM of that name or id.
pub fn find(state: &State, reference: &str) -> Result<Vm, Box<Answer>> {
    let found = state
        .vms()
        .iter()
        .find(|vm| vm.name == reference || vm.id == reference)
        .cloned();
    found.ok_or_else(|| {
        let message = format!("no VM is called `{reference}`");
        Box::new(failure(
            ErrorCode::VmNotFound,
            message,
            Some("`banger ps -a` lists all"),
        ))
    })
}

fn ping(state: &State, reference: &str) -> Answer {
    match find(state, reference) {
        Ok(vm) if vm.state == VmState::Running => json(&api::Pong {
            id: vm.id,
            name: vm.name,
            round_trip_us: 1_250,
            agent_version: "0.1.0\x1b[2J".into(),
            generation: 1,
            boot_id: "5f1b5b0e".into(),
            uptime_ms: 60_000,
        }),
        Ok(vm) => failure(
            ErrorCode::VmState,
            format!("cannot ping `{}`: it is {}", vm.name, vm.state),
            Some(&format!("start it first: banger vm start {}", vm.name)),
        ),
        Err(failure) => *failure,
    }
}

/// The same of one that runs.
pub fn find_running(state: &State, reference: &str, to: &str) -> Result<Vm, Box<Answer>> {
    let vm = find(state, reference)?;
    match vm.state {
        VmState::Running => Ok(vm),
        _ => Err(Box::new(failure(
            ErrorCode::VmState,
            format!("cannot {to} `{}`: it is {}", vm.name, vm.state),
            Some(&format!("start it first: banger vm start {}", vm.name)),
        ))),
    }
}

fn stats(state: &State, reference: &str) -> Answer {
    let vm = match find(state, reference) {
        Ok(vm) => vm,
        Err(failure) => return *failure,
    };
    state.note(format!("stats {}", vm.name));
    let running = vm.state == VmState::Running;
    json(&api::VmStats {
        id: vm.id,
        name: vm.name,
        state: vm.state,
        sampled_at: jiff::Timestamp::now(),
        vcpu: vm.vcpu,
        memory_mib: vm.memory_mib,
        disk_size: vm.disk_size,
        disk_allocated: vm.disk_used,
        host: running.then_some(api::HostUse {
            cpu_ms: 1_000,
            memory: 700 << 20,
        }),
        guest: running.then_some(guest_api::Stats {
            memory_total: 2 << 30,
            memory_available: 3 << 29,
            disk_used: 90 << 20,
            network_received: 1_234_567,
            network_sent: 999,
            ..guest_api::Stats::default()
        }),
    })
}

fn version(state: &State) -> Answer {
    let (version, socket) = (state.version(), "/run/bangerd.sock".into());
    json(&Version {
        version,
        pid: 77,
        socket,
        state: "/state".into(),
    })
}

fn doctor() -> Answer {
    let check = |name: &str, state, message: &str, hint: Option<&str>| Check {
        name: name.into(),
        state,
        message: message.into(),
        hint: hint.map(str::to_owned),
    };
    let checks = vec![
        check(
            "kvm",
            CheckState::Warn,
            "the CPU offers no virtualisation",
            Some("turn it on in the firmware"),
        ),
        check("qemu", CheckState::Pass, "qemu-system-x86_64 7.2.22", None),
        check(
            "passt",
            CheckState::Fail,
            "passt is missing\x1b[2J",
            Some("apt-get install passt"),
        ),
    ];
    json(&Report { checks })
}

fn create(state: App, request: &CreateVm) -> Answer {
    let name = request.name.clone().unwrap_or_else(|| "quick-otter".into());
    state.note(format!("create {name}"));
    if request.registry.plain_http {
        state.note("without TLS");
    }
    if find(&state, &name).is_ok() {
        let hint = format!("choose another name, or delete it: banger vm delete {name}");
        return failure(
            ErrorCode::VmExists,
            format!("a VM is called `{name}` already"),
            Some(&hint),
        );
    }
    let mut made = vm(&name, 'f', VmState::Created);
    made.id = format!("{:032x}", 0xf000 + state.calls());
    made.ephemeral = request.ephemeral;
    made.publish = request.publish.clone();
    made.vcpu = request.vcpu.unwrap_or(made.vcpu);
    made.memory_mib = request.memory_mib.unwrap_or(made.memory_mib);
    state.vms().push(made.clone());
    let state_after = if request.start {
        VmState::Running
    } else {
        VmState::Created
    };
    let operation = Operation {
        state,
        verb: "create",
        vm: made,
        state_after: Some(state_after),
        done: false,
        outcome: None,
    };
    operation.stream()
}

fn operate(state: App, verb: &'static str, reference: &str, state_after: Option<VmState>) -> Answer {
    match find(&state, reference) {
        Ok(vm) if state.refuses(verb) => {
            let message = format!("cannot {verb} `{}`: the test wants it so", vm.name);
            failure(ErrorCode::Internal, message, None)
        }
        Ok(vm) => {
            state.note(format!("{verb} {}", vm.name));
            Operation {
                state,
                verb,
                vm,
                state_after,
                done: false,
                outcome: None,
            }
            .stream()
        }
        Err(failure) => *failure,
    }
}

/// An operation that its client follows; dropped when the client leaves.
struct Operation {
    state: App,
    verb: &'static str,
    vm: Vm,
    /// None: the VM is gone.
    state_after: Option<VmState>,
    done: bool,
    /// Its end, between its last stage and its being told.
    outcome: Option<Event>,
}

impl Operation {
    fn stream(self) -> Answer {
        let lines = futures::stream::unfold((self, 0), |(mut operation, step)| async move {
            let event = operation.event(step).await?;
            let line = format!("{}\n", serde_json::to_string(&event).unwrap());
            Some((Ok(Frame::data(Bytes::from(line))), (operation, step + 1)))
        });
        Response::new(BodyExt::boxed(StreamBody::new(lines)))
    }

    async fn event(&mut self, step: u32) -> Option<Event> {
        let stage = |state, detail: &str, elapsed_ms| Event::Stage {
            name: if detail.starts_with("debian") {
                "image".into()
            } else {
                "start".into()
            },
            state,
            detail: detail.into(),
            done: None,
            total: None,
            elapsed_ms,
        };
        match (self.verb, step) {
            (_, 0) => Some(Event::Started {
                operation: format!("{}-{}", self.verb, self.vm.name),
            }),
            ("create", 1) => Some(Event::Resolved {
                vm: Box::new(self.vm.clone()),
            }),
            (_, 1) => Some(Event::Warning {
                message: format!("{} is a test\x1b[2J", self.verb),
            }),
            ("create", 2) => Some(stage(
                StageState::Done,
                "debian-minimal  built from recipe",
                94_000,
            )),
            ("create", 3) | (_, 2) => Some(stage(StageState::Running, "booting", 10)),
            ("start", 3) => Some(Event::Timing {
                name: "start.agent".into(),
                elapsed_ms: 2_700,
            }),
            _ if !self.done => {
                self.outcome = Some(self.finish().await);
                Some(match &self.outcome {
                    Some(Event::Succeeded { .. }) => stage(StageState::Done, "ready", 2_900),
                    _ => stage(StageState::Failed, "ready", 2_900),
                })
            }
            _ if self.outcome.is_some() => self.outcome.take(),
            // The lease of a VM that is its client's.
            _ if self.vm.ephemeral && self.state_after.is_some() => std::future::pending().await,
            _ => None,
        }
    }

    async fn finish(&mut self) -> Event {
        let (state, name) = (Arc::clone(&self.state), self.vm.name.clone());
        let cancelled = format!("cancel {}-{name}", self.verb);
        let hangs = state.hangs(self.verb);
        state
            .until(|state| state.has_call(&cancelled) || (!hangs && state.is_next(&name)))
            .await;
        self.done = true;
        state.ended(&name);
        if state.has_call(&cancelled) {
            self.undo();
            return Event::Cancelled;
        }
        if name == "broken" {
            let error = ApiError {
                code: ErrorCode::VmmFailed,
                message: "cannot start `broken`: QEMU ended at once: no such machine".into(),
                hint: Some("`banger vm logs broken` says more".into()),
                operation: None,
            };
            return Event::Failed { error };
        }
        match self.state_after {
            Some(after) => {
                state.change(&self.vm.id, |vm| vm.state = after);
                Event::Succeeded {
                    vm: find(&state, &self.vm.id).ok().map(Box::new),
                }
            }
            None => {
                self.remove();
                Event::Succeeded { vm: None }
            }
        }
    }

    fn undo(&self) {
        if self.verb == "create" {
            self.remove();
        }
    }

    fn remove(&self) {
        self.state.vms().retain(|vm| vm.id != self.vm.id);
        self.state.changed();
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.done {
            self.state.note(format!("left {} {}", self.verb, self.vm.name));
            self.undo();
        } else if self.verb == "create" && self.vm.ephemeral {
            self.remove();
        }
    }
}

/// A disk with one of each kind.
fn space() -> api::Space {
    let item = |kind, name: &str, size, used, vms, reclaimable| api::SpaceItem {
        kind,
        name: name.to_owned(),
        size,
        used,
        vms,
        reclaimable,
        keeps_deleted: name == "quick-otter",
    };
    let (image, old) = (231_800_000, 90_000_000);
    api::Space {
        items: vec![
            item(api::SpaceKind::Image, "debian-minimal", image, image, 2, 0),
            item(api::SpaceKind::Image, "\x1b[2Jold", old, old, 0, old),
            item(
                api::SpaceKind::Kernel,
                "debian-cloud 6.1.0-56-cloud-amd64",
                145_832_000,
                145_832_000,
                2,
                0,
            ),
            item(api::SpaceKind::Vm, "box", 8 << 30, 1_448_000, 1, 0),
            item(api::SpaceKind::Vm, "quick-otter", 8 << 30, 3 << 30, 1, 3 << 30),
            item(
                api::SpaceKind::Cache,
                "initramfs",
                2_000_000,
                2_000_000,
                0,
                2_000_000,
            ),
            item(api::SpaceKind::Daemon, "database and log", 90_000, 94_208, 0, 0),
        ],
        free: 66 << 30,
        state: "/home/a/.local/state/banger".into(),
        cache: "/home/a/.cache/banger".into(),
    }
}
