//! The host API's client: a connection a call, over the daemon's Unix socket.
//!
//! What arrives is not trusted: answers are bounded in size, and those that have an end in time as well.

mod connection;
mod error;
mod files;
mod images;
mod kernels;
mod socket;
mod ssh;
mod stream;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

pub use error::ClientError;
pub use socket::{connect, short_path};
pub use stream::{Chunks, Events, Notices};
pub use trust::{FolderError, Trust};

use crate::{
    Booted, BuildImage, CreateVm, GuestPorts, KillSignal, KillVm, Operation, Pong, PullImage, PullKernel,
    RegisterImage, Report, SetVm, Space, Version, Vm, VmStats,
};
use connection::{Call, expect_status, fetch, send};

/// For answers that a daemon has at hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// For answers that wait for the guest or for other programs.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// For a guest's boot, which the daemon itself gives up some time.
const BOOT_PATIENCE: Duration = Duration::from_secs(1200);

type Headers = &'static [(&'static str, &'static str)];

const STARTS_THE_NEXT: Headers = &[(crate::STARTS_THE_NEXT, "1")];
const EVENTS: Headers = &[("accept", "application/x-ndjson")];
const UPGRADE_EXEC: Headers = &[("connection", "upgrade"), ("upgrade", guest::UPGRADE_EXEC)];
const UPGRADE_FORWARD: Headers = &[("connection", "upgrade"), ("upgrade", guest::UPGRADE_FORWARD)];

/// A call that takes long and therefore becomes an [`Operation`]. VMs are named by any reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a VM, and starts it where the request says so.
    Create(Box<CreateVm>),
    /// Starts a VM.
    Start(String),
    /// Shuts a VM down.
    Stop(String),
    /// Shuts a VM down and starts it anew.
    Restart(String),
    /// Ends a VM's machine.
    Kill(String, KillSignal),
    /// Changes a VM's shape.
    Set(String, SetVm),
    /// Deletes a VM and its disk.
    Delete(String),
    /// Deletes a VM and its disk, unless it runs or is worked on.
    DeleteIdle(String),
    /// Pulls an image, or builds one of the catalog.
    Pull(Box<PullImage>),
    /// Makes an image of a file that stays where it is; the name comes first.
    Register(String, RegisterImage),
    /// Copies the file of a registered image to where images lie.
    Promote(String),
    /// Builds an image by a recipe; the name comes first.
    Build(String, BuildImage),
    /// Fetches a kernel of the catalog.
    PullKernel(PullKernel),
}

impl Action {
    fn call(&self) -> Result<Call, ClientError> {
        match self {
            Self::Create(create) => Call::new(Method::POST, "/v1/vms").json(create),
            Self::Start(vm) => Ok(Call::new(Method::POST, format!("{}/start", vm_path(vm)))),
            Self::Stop(vm) => Ok(Call::new(Method::POST, format!("{}/stop", vm_path(vm)))),
            Self::Restart(vm) => Ok(Call::new(Method::POST, format!("{}/restart", vm_path(vm)))),
            Self::Kill(vm, signal) => {
                let body = KillVm { signal: *signal };
                Call::new(Method::POST, format!("{}/kill", vm_path(vm))).json(&body)
            }
            Self::Set(vm, change) => Call::new(Method::PATCH, vm_path(vm)).json(change),
            Self::DeleteIdle(vm) => Ok(Call::new(Method::DELETE, format!("{}?idle=true", vm_path(vm)))),
            Self::Delete(vm) => Ok(Call::new(Method::DELETE, vm_path(vm))),
            Self::Pull(pull) => Call::new(Method::POST, "/v1/images").json(pull),
            Self::Register(name, register) => {
                Call::new(Method::POST, format!("{}/register", images::image_path(name))).json(register)
            }
            Self::Promote(image) => Ok(Call::new(
                Method::POST,
                format!("{}/promote", images::image_path(image)),
            )),
            Self::Build(name, build) => {
                Call::new(Method::POST, format!("{}/build", images::image_path(name))).json(build)
            }
            Self::PullKernel(pull) => Call::new(Method::POST, "/v1/kernels").json(pull),
        }
    }
}

/// A two-way stream: of [`guest::frames`] to a command, of bytes or datagrams to a port.
pub trait ExecStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ExecStream for T {}

/// A daemon at a socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
    /// A connection without a call on it, if the daemon is to stay.
    hold: Option<Arc<UnixStream>>,
}

impl Client {
    /// A client of the daemon that listens at `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            patience: PATIENCE,
            hold: None,
        }
    }

    /// The same, which keeps the daemon from ending for want of work while it, or a clone, exists: between two calls
    /// nobody would be connected.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn hold(self) -> Result<Self, ClientError> {
        let stream = connect(&self.socket).await?;
        Ok(Self {
            hold: Some(Arc::new(stream)),
            ..self
        })
    }

    /// The process that listens, by the kernel's word and as this process's pid namespace calls it; none without
    /// [`Self::hold`].
    #[must_use]
    pub fn listener(&self) -> Option<i32> {
        self.hold.as_ref()?.peer_cred().ok()?.pid()
    }

    /// The same, which gives up on an ordinary answer after `patience`.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it connects to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/version`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get("/v1/version").await
    }

    /// `GET /v1/version`, by a client that starts the next daemon: one that waits for that, since it could not read the
    /// configuration and can now, ends instead of answering.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Broke`] where it ends.
    pub async fn version_or_end(&self) -> Result<Version, ClientError> {
        let call = Call::new(Method::GET, "/v1/version").headers(STARTS_THE_NEXT);
        fetch(&self.socket, call, StatusCode::OK, self.patience).await
    }

    /// `GET /v1/doctor`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn doctor(&self) -> Result<Report, ClientError> {
        let call = Call::new(Method::GET, "/v1/doctor");
        fetch(
            &self.socket,
            call,
            StatusCode::OK,
            LONG_PATIENCE.max(self.patience),
        )
        .await
    }

    /// `GET /v1/df`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn space(&self) -> Result<Space, ClientError> {
        self.get("/v1/df").await
    }

    /// `GET /v1/vms`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn vms(&self) -> Result<Vec<Vm>, ClientError> {
        self.get("/v1/vms").await
    }

    /// `GET /v1/vms/{ref}`.
    ///
    /// # Errors
    /// [`ClientError`]; `vm_not_found` and `vm_ambiguous` among the daemon's own.
    pub async fn vm(&self, vm: &str) -> Result<Vm, ClientError> {
        self.get(&vm_path(vm)).await
    }

    /// `GET /v1/vms/{ref}/ping`.
    ///
    /// # Errors
    /// [`ClientError`]; `agent_silent` among the daemon's own.
    pub async fn ping(&self, vm: &str) -> Result<Pong, ClientError> {
        self.get(&format!("{}/ping", vm_path(vm))).await
    }

    /// `GET /v1/vms/{ref}/stats`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stats(&self, vm: &str) -> Result<VmStats, ClientError> {
        self.get(&format!("{}/stats", vm_path(vm))).await
    }

    /// `GET /v1/vms/{ref}/boot`: waits until the image's init has finished booting.
    ///
    /// # Errors
    /// [`ClientError`]; `vm_state` and `agent_silent` among the daemon's own.
    pub async fn boot(&self, vm: &str) -> Result<Booted, ClientError> {
        let call = Call::new(Method::GET, format!("{}/boot", vm_path(vm)));
        fetch(
            &self.socket,
            call,
            StatusCode::OK,
            BOOT_PATIENCE.max(self.patience),
        )
        .await
    }

    /// Starts an operation that goes on whether or not somebody watches it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn begin(&self, action: &Action) -> Result<Operation, ClientError> {
        fetch(&self.socket, action.call()?, StatusCode::ACCEPTED, self.patience).await
    }

    /// Starts an operation that is this caller's: dropping the [`Events`] before the operation's end cancels it, and
    /// dropping those of an ephemeral VM's creation deletes the VM.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lease(&self, action: &Action) -> Result<Events, ClientError> {
        self.events(action.call()?.headers(EVENTS)).await
    }

    /// `GET /v1/operations`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operations(&self) -> Result<Vec<Operation>, ClientError> {
        self.get("/v1/operations").await
    }

    /// `GET /v1/operations/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation(&self, id: &str) -> Result<Operation, ClientError> {
        self.get(&operation_path(id)).await
    }

    /// `GET /v1/operations/{id}/events`: all of them, from the first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation_events(&self, id: &str) -> Result<Events, ClientError> {
        let path = format!("{}/events", operation_path(id));
        self.events(Call::new(Method::GET, path).headers(EVENTS)).await
    }

    /// `GET /v1/events`: what happens to VMs and operations from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn listen(&self) -> Result<Notices, ClientError> {
        let call = Call::new(Method::GET, "/v1/events").headers(EVENTS);
        let answer = send(&self.socket, call, self.patience).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Notices::new(answer))
    }

    /// `DELETE /v1/operations/{id}`: asks for it to be cancelled and undone, and does not wait for that.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, operation_path(id));
        let answer = send(&self.socket, call, self.patience).await?;
        expect_status(&answer.response, StatusCode::ACCEPTED)
    }

    /// `GET /v1/vms/{ref}/logs`: the serial console, or what the `vmm` said; with `follow` until the VM stops.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn logs(&self, vm: &str, vmm: bool, follow: bool) -> Result<Chunks, ClientError> {
        let source = if vmm { "vmm" } else { "console" };
        let path = format!("{}/logs?source={source}&follow={follow}", vm_path(vm));
        let call = Call::new(Method::GET, path);
        let answer = send(&self.socket, call, self.patience).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Chunks::new(answer))
    }

    /// `POST /v1/vms/{ref}/exec`: runs a command; what is returned carries [`guest::frames`] both ways. Dropping it
    /// hangs the command up.
    ///
    /// # Errors
    /// [`ClientError`]; `command_not_found` and `command_not_executable` among the daemon's own.
    pub async fn exec(&self, vm: &str, exec: &guest::Exec) -> Result<impl ExecStream + use<>, ClientError> {
        self.upgrade(vm, "exec", exec, UPGRADE_EXEC).await
    }

    /// `POST /v1/vms/{ref}/forward`: connects to a port that the guest can reach. What is returned carries what is
    /// said there: bytes as they are, each half closed on its own, or [`guest::forward::datagram`]s.
    ///
    /// # Errors
    /// [`ClientError`]; `cannot_connect` among the daemon's own.
    pub async fn forward(
        &self,
        vm: &str,
        forward: &guest::Forward,
    ) -> Result<impl ExecStream + use<>, ClientError> {
        self.upgrade(vm, "forward", forward, UPGRADE_FORWARD).await
    }

    /// `GET /v1/vms/{ref}/ports`: what listens in the guest, as the guest tells it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ports(&self, vm: &str) -> Result<GuestPorts, ClientError> {
        self.get(&format!("{}/ports", vm_path(vm))).await
    }

    async fn upgrade(
        &self,
        vm: &str,
        verb: &str,
        body: &impl serde::Serialize,
        headers: Headers,
    ) -> Result<TokioIo<hyper::upgrade::Upgraded>, ClientError> {
        let call = Call::new(Method::POST, format!("{}/{verb}", vm_path(vm)))
            .json(body)?
            .headers(headers);
        let mut answer = send(&self.socket, call, LONG_PATIENCE.max(self.patience)).await?;
        expect_status(&answer.response, StatusCode::SWITCHING_PROTOCOLS)?;
        let upgraded = hyper::upgrade::on(&mut answer.response)
            .await
            .map_err(ClientError::Broke)?;
        Ok(TokioIo::new(upgraded))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        fetch(
            &self.socket,
            Call::new(Method::GET, path),
            StatusCode::OK,
            self.patience,
        )
        .await
    }

    async fn events(&self, call: Call) -> Result<Events, ClientError> {
        let answer = send(&self.socket, call, self.patience).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Events::new(answer))
    }
}

fn vm_path(vm: &str) -> String {
    format!("/v1/vms/{}", segment(vm))
}

fn operation_path(id: &str) -> String {
    format!("/v1/operations/{}", segment(id))
}

/// One path segment (RFC 3986, 3.3): all but the unreserved characters are percent-encoded, and so are the dots of `.`
/// and `..`, which would name another path.
fn segment(text: &str) -> String {
    let dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'.' if !dots => encoded.push('.'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_stays_one_path_segment_whatever_is_in_it() {
        assert_eq!(segment("quick-otter"), "quick-otter");
        assert_eq!(segment("../operations?x=1#y"), "..%2Foperations%3Fx%3D1%23y");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("é\n"), "%C3%A9%0A");
    }
}
