//! The bodies of the API's requests, as much of them as is used here.
//!
//! <https://github.com/firecracker-microvm/firecracker/blob/v1.12.1/src/firecracker/swagger/firecracker.yaml>. What
//! not every supported release has is a [`super::features::Feature`], and sent only where it is known.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::world;
use crate::command_line::command_line;
use crate::{Drive, MachineSpec, NetworkDevice, RateLimit};

/// What `GET /` answers, as much of it as is used here.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    /// `Not started`, `Running` or `Paused`.
    pub(super) state: String,
}

/// `PUT /machine-config`. No CPU template: the guest sees the host's processor, as with QEMU, and upstream has
/// deprecated the field.
#[derive(Debug, Serialize)]
pub(super) struct MachineConfig {
    vcpu_count: u32,
    mem_size_mib: u64,
    /// Processors are threads of the host like any others; told that two are one core, a guest would schedule by what
    /// is not so.
    smt: bool,
}

/// `PUT /boot-source`
#[derive(Debug, Serialize)]
pub(super) struct BootSource {
    kernel_image_path: &'static str,
    initrd_path: &'static str,
    boot_args: String,
}

/// `PUT /drives/{drive_id}`
#[derive(Debug, Serialize)]
pub(super) struct NewDrive {
    drive_id: String,
    path_on_host: String,
    is_root_device: bool,
    is_read_only: bool,
    /// Told of a cache that flushes reach through, the guest's syncs reach the disk. By default they end at the
    /// host's page cache.
    cache_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limiter: Option<RateLimiter>,
}

/// What goes through a drive: a bucket for each kind, full at first.
#[derive(Debug, Serialize)]
struct RateLimiter {
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<TokenBucket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ops: Option<TokenBucket>,
}

/// So many bytes or operations, there again after so many milliseconds.
#[derive(Debug, Serialize)]
struct TokenBucket {
    size: u64,
    refill_time: u64,
}

/// `PATCH /drives/{drive_id}`: the file is opened anew, and its size told to the guest.
#[derive(Debug, Serialize)]
pub(super) struct ChangedDrive {
    drive_id: String,
    path_on_host: String,
}

/// `PUT /network-interfaces/{iface_id}`
#[derive(Debug, Serialize)]
pub(super) struct NetworkInterface {
    iface_id: &'static str,
    /// The same in every machine, each in a network of its own, so that a snapshot fits any.
    host_dev_name: &'static str,
    guest_mac: String,
}

/// `PUT /vsock`
#[derive(Debug, Serialize)]
pub(super) struct Vsock {
    guest_cid: u32,
    uds_path: &'static str,
}

/// `PUT /entropy`
#[derive(Debug, Serialize)]
pub(super) struct Entropy {}

/// `PUT /balloon`, from 1.14 on: never inflated; the guest tells of pages that it has no use for, and they are the
/// host's again.
#[derive(Debug, Serialize)]
pub(super) struct Balloon {
    amount_mib: u32,
    deflate_on_oom: bool,
    free_page_reporting: bool,
}

/// `PUT /actions`
#[derive(Debug, Serialize)]
pub(super) struct Action {
    action_type: &'static str,
}

/// `PATCH /vm`
#[derive(Debug, Serialize)]
pub(super) struct VmState {
    pub(super) state: &'static str,
}

/// `PUT /snapshot/create`
#[derive(Debug, Serialize)]
pub(super) struct CreateSnapshot {
    pub(super) snapshot_type: &'static str,
    pub(super) snapshot_path: String,
    pub(super) mem_file_path: String,
}

/// `PUT /snapshot/load`
#[derive(Debug, Serialize)]
pub(super) struct LoadSnapshot {
    pub(super) snapshot_path: &'static str,
    pub(super) mem_backend: MemoryBackend,
    pub(super) resume_vm: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct MemoryBackend {
    pub(super) backend_type: &'static str,
    pub(super) backend_path: &'static str,
}

/// What every failed request is answered with.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub(super) fault_message: String,
}

/// Firecracker's name for a machine's card.
pub(super) const GUEST_CARD: &str = "eth0";

/// Beside 0 to 2, which mean something to vsock itself. No two machines can meet: each has its own socket.
const GUEST_CID: u32 = 3;

impl MachineConfig {
    pub(super) fn of(spec: &MachineSpec) -> Self {
        Self {
            vcpu_count: spec.vcpu,
            mem_size_mib: spec.memory_mib,
            smt: false,
        }
    }
}

/// The guest's `/init` and agent ask for a reset where the power is to go off: the one way for a guest to end this VMM.
const NO_POWER_BUTTON: &str = "banger.power_off=reset";

impl BootSource {
    pub(super) fn of(spec: &MachineSpec) -> Self {
        Self {
            kernel_image_path: world::KERNEL,
            initrd_path: world::INITRAMFS,
            boot_args: command_line(NO_POWER_BUTTON, &spec.command_line),
        }
    }
}

impl NewDrive {
    pub(super) fn of(number: usize, drive: &Drive) -> Self {
        let name = world::drive(number);
        Self {
            drive_id: name.clone(),
            path_on_host: name,
            is_root_device: false,
            is_read_only: drive.read_only,
            cache_type: if drive.read_only { "Unsafe" } else { "Writeback" },
            rate_limiter: RateLimiter::of(drive.limit),
        }
    }
}

impl RateLimiter {
    fn of(limit: RateLimit) -> Option<Self> {
        let a_second = |size: NonZeroU64| TokenBucket {
            size: size.get(),
            refill_time: 1000,
        };
        let limiter = Self {
            bandwidth: limit.bytes_per_second.map(a_second),
            ops: limit.operations_per_second.map(a_second),
        };
        (limit != RateLimit::default()).then_some(limiter)
    }
}

impl ChangedDrive {
    pub(super) fn of(number: usize) -> Self {
        let name = world::drive(number);
        Self {
            drive_id: name.clone(),
            path_on_host: name,
        }
    }
}

impl NetworkInterface {
    pub(super) fn of(device: &NetworkDevice) -> Self {
        let (NetworkDevice::Socket { mac, .. } | NetworkDevice::BuiltIn { mac }) = device;
        Self {
            iface_id: GUEST_CARD,
            host_dev_name: process::CARD,
            guest_mac: mac.clone(),
        }
    }
}

impl Vsock {
    pub(super) const AGENT: Self = Self {
        guest_cid: GUEST_CID,
        uds_path: world::AGENT,
    };
}

impl Balloon {
    pub(super) const REPORTING: Self = Self {
        amount_mib: 0,
        deflate_on_oom: true,
        free_page_reporting: true,
    };
}

impl Action {
    pub(super) const START: Self = Self {
        action_type: "InstanceStart",
    };
}

impl VmState {
    pub(super) const PAUSED: Self = Self { state: "Paused" };
    pub(super) const RESUMED: Self = Self { state: "Resumed" };
}
