//! Types of the host API and its client.
//!
//! HTTP/1.1 with JSON over the daemon's Unix socket; `curl --unix-socket` is a full client.
//!
//! | route | body → answer |
//! |---|---|
//! | `GET /v1/version` | → [`Version`] |
//! | `GET /v1/doctor` | → [`Report`] |
//! | `GET /v1/df` | → [`Space`] |
//! | `GET /v1/vms` | → `[`[`Vm`]`]` |
//! | `POST /v1/vms` | [`CreateVm`] → operation |
//! | `GET /v1/vms/{ref}` | → [`Vm`] |
//! | `DELETE /v1/vms/{ref}` | → operation; with `?idle=true` refused for a VM that runs or is worked on |
//! | `POST /v1/vms/{ref}/start`, `/stop`, `/restart` | → operation |
//! | `POST /v1/vms/{ref}/kill` | [`KillVm`] or nothing → operation |
//! | `PATCH /v1/vms/{ref}` | [`SetVm`] → operation |
//! | `GET /v1/vms/{ref}/stats` | → [`VmStats`] |
//! | `GET /v1/vms/{ref}/boot` | waits for the image's init → [`Booted`] |
//! | `GET /v1/vms/{ref}/ping` | → [`Pong`] |
//! | `POST /v1/vms/{ref}/exec` | [`guest::Exec`] → 101, [`guest::frames`] |
//! | `POST /v1/vms/{ref}/forward` | [`guest::Forward`] → 101, bytes, or [`guest::forward::datagram`]s |
//! | `GET /v1/vms/{ref}/ports` | → [`GuestPorts`] |
//! | `GET /v1/vms/{ref}/files?path=…` | → tar stream; [`guest::files::ReadFiles`] |
//! | `PUT /v1/vms/{ref}/files?path=…` | tar stream → [`guest::files::Written`]; [`guest::files::WriteFiles`] |
//! | `GET /v1/vms/{ref}/ssh` | → [`SshAccess`] |
//! | `POST /v1/vms/{ref}/ssh` | → 101, the SSH protocol |
//! | `GET /v1/ssh` | → [`SshFiles`] |
//! | `GET /v1/vms/{ref}/logs` | → text; `?source=vmm` for the VMM's own, `?follow=true` until the VM stops |
//! | `GET /v1/images` | → `[`[`Image`]`]` |
//! | `POST /v1/images` | [`PullImage`] → operation |
//! | `GET /v1/images/{ref}` | → [`Image`]; `ref` is its name, or its full name in a registry, percent-encoded |
//! | `PUT /v1/images/{name}` | query [`UploadImage`], the archive → operation |
//! | `DELETE /v1/images/{ref}` | → 204 |
//! | `POST /v1/images/{name}/register` | [`RegisterImage`] → operation |
//! | `POST /v1/images/{name}/build` | [`BuildImage`] → operation |
//! | `POST /v1/images/{ref}/promote` | → operation |
//! | `GET /v1/images/{ref}/bundle` | → the image as a bundle, `docs/image-catalog.md` |
//! | `GET /v1/kernels` | → `[`[`Kernel`]`]` |
//! | `POST /v1/kernels` | [`PullKernel`] → operation |
//! | `GET /v1/kernels/{name}` | → [`Kernel`] |
//! | `PUT /v1/kernels/{name}` | query [`ImportKernel`], the kernel's files → 201, [`Kernel`] |
//! | `DELETE /v1/kernels/{name}` | → 204 |
//! | `GET /v1/catalog/kernels` | → `[`[`CatalogKernel`]`]` |
//! | `DELETE /v1/cache?dry_run=…` | → [`Pruned`] |
//! | `GET /v1/events` | → NDJSON of [`Notice`], from now on |
//! | `GET /v1/operations`, `GET /v1/operations/{id}` | → [`Operation`] |
//! | `DELETE /v1/operations/{id}` | cancels; → 202 |
//! | `GET /v1/operations/{id}/events` | → NDJSON of [`Event`], from the first one on |
//!
//! A call that takes long answers 202 with an [`Operation`]. With `Accept: application/x-ndjson` it answers 200
//! with the operation's [`Event`]s instead, and the operation is the caller's: closing the connection before its
//! end cancels and undoes it. For a VM created with [`CreateVm::ephemeral`] that stream stays open after the end as
//! the VM's lease: when it closes, the VM is deleted.
//!
//! A failure is a status of 400 or more with [`ErrorBody`].

pub mod client;
mod error;
mod host_address;
mod image;
mod kernel;
mod notice;
mod operation;
mod ports;
mod report;
mod space;
mod ssh;
mod verbs;
mod vm;

/// Header of a client that starts the next daemon where this one ends: a daemon that waits for that may close the
/// connection without an answer.
pub const STARTS_THE_NEXT: &str = "banger-starts-the-next";

pub use error::{ApiError, ErrorBody, ErrorCode};
pub use host_address::HostAddress;
pub use image::{
    BuildImage, Image, ImageConfig, Pruned, PullImage, RegisterImage, RegistryAccess, RegistryLogin,
    UploadFormat, UploadImage,
};
pub use kernel::{CatalogKernel, ImportKernel, Kernel, KernelKind, PullKernel};
pub use model::{BootWay, ImageKind, NetworkMode, OperationState, Reboots, VmState};
pub use notice::{Happening, Notice};
pub use operation::{Event, Operation, StageState};
pub use ports::{GuestPort, GuestPorts, PortForward, PortForwardError, PortUse, Refusal};
pub use report::{Check, CheckState, Report, Version};
pub use space::{Space, SpaceItem, SpaceKind};
pub use ssh::{SshAccess, SshFiles};
pub use verbs::{Booted, HostUse, KillSignal, KillVm, Pong, SetVm, VmStats};
pub use vm::{Connections, CreateVm, Vm};
