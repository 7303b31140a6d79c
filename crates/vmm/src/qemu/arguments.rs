//! QEMU's command line. Names, paths and addresses travel as JSON or as whole arguments, never between commas.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Acceleration;
use crate::command_line::command_line;
use crate::{Drive, MachineSpec, NetworkDevice, RateLimit};

/// In emulation, besides: the timer works, and each processor is told how long a loop of its delays takes. It would
/// measure that against a clock that emulation slows down, for seconds and with a wrong result. The figure is of a
/// processor of 3 GHz at 250 ticks a second; one that is too high makes delays longer, never too short.
///
/// `norandmaps`: QEMU keeps translated code by its virtual address. Where each new process has its libraries elsewhere,
/// all of their code is translated again: starting one takes four times as long.
/// `mitigations=off`: what they do slows the guest and reaches no processor that speculates, since it is translated too.
const COMMAND_LINE_EMULATED: &str = "no_timer_check lpj=12000000 norandmaps mitigations=off";

/// Name of the agent's virtio-serial port, as the guest sees it.
const PORT: &str = "banger.agent";

/// Numbers under which QEMU opens descriptors as files (`-add-fd`): the console's, and the first of the disks'.
const CONSOLE_SET: usize = 1;
const FIRST_DISK_SET: usize = 2;

/// What QEMU finds: descriptors that are open, and files by the paths that it sees them under.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The kernel, read by its path only.
    pub(super) kernel: PathBuf,
    /// The initramfs, read by its path only.
    pub(super) initramfs: PathBuf,
    /// The files of the spec's drives, in its order.
    pub(super) drives: Vec<RawFd>,
    /// Takes what the serial console prints.
    pub(super) console: RawFd,
    /// Listens; the agent's port.
    pub(super) agent: RawFd,
    /// Listens; QMP.
    pub(super) control: RawFd,
    /// What a network device is attached to, if there is one.
    pub(super) network: Card,
}

/// The host's side of a network device, as QEMU finds it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Card {
    /// The end of a [`NetworkDevice::Socket`].
    Stream(RawFd),
    /// A tap called [`process::CARD`].
    Tap,
    /// QEMU itself.
    BuiltIn,
}

/// The arguments for `spec`.
pub(super) fn arguments(spec: &MachineSpec, acceleration: Acceleration, found: &Found) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    confine(&mut arguments);
    shape(&mut arguments, spec, acceleration);
    boot(&mut arguments, spec, acceleration, found);
    control(&mut arguments, found);
    for (number, (drive, descriptor)) in spec.drives.iter().zip(&found.drives).enumerate() {
        disk(&mut arguments, number, drive, *descriptor);
    }
    if let Some(network) = &spec.network {
        self::network(&mut arguments, network, found);
    }
    arguments.0
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, option: &str) {
        self.0.push(option.into());
    }

    fn option(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "`json!` at the call reads best by value"
    )]
    fn json(&mut self, option: &str, value: Value) {
        self.option(option, value.to_string());
    }
}

/// Nothing that was not asked for, and system calls that QEMU needs only to become something else denied.
fn confine(to: &mut Arguments) {
    to.flag("-nodefaults");
    to.flag("-no-user-config");
    to.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    to.option("-display", "none");
    to.option("-vga", "none");
    to.option("-monitor", "none");
    to.option("-parallel", "none");
}

fn shape(to: &mut Arguments, spec: &MachineSpec, acceleration: Acceleration) {
    // Commas separate what stands in this one option; doubled, they are part of the name.
    to.option("-name", format!("banger-{}", spec.id.replace(',', ",,")));
    let (machine, processor) = match acceleration {
        // `rep movsb` is emulated a byte at a time: without these two, guests copy memory by other means, ten times
        // as fast.
        Acceleration::Tcg => ("tcg", "max,-erms,-fsrm"),
        Acceleration::Kvm => ("kvm", "host"),
    };
    to.option(
        "-machine",
        format!("q35,accel={machine},usb=off,vmport=off,dump-guest-core=off"),
    );
    to.option("-cpu", processor);
    to.option("-smp", spec.vcpu.to_string());
    to.option("-m", format!("{}M", spec.memory_mib));
    to.json("-object", json!({"qom-type": "rng-builtin", "id": "entropy"}));
    to.json("-device", json!({"driver": "virtio-rng-pci", "rng": "entropy"}));
    // Never inflated: the guest tells of pages that it has no use for, and they are the host's again.
    to.json(
        "-device",
        json!({"driver": "virtio-balloon-pci", "free-page-reporting": true}),
    );
}

/// Kernel, initramfs and command line; and one boot a process. A guest that resets its machine ends it: who drives the
/// machine decides whether it boots again, as on a VMM that has no other way.
fn boot(to: &mut Arguments, spec: &MachineSpec, acceleration: Acceleration, found: &Found) {
    to.option("-kernel", &found.kernel);
    to.option("-initrd", &found.initramfs);
    let emulated = match acceleration {
        Acceleration::Tcg => COMMAND_LINE_EMULATED,
        Acceleration::Kvm => "",
    };
    to.option("-append", command_line(emulated, &spec.command_line));
    to.flag("-no-reboot");
}

/// The serial console, the agent's port and QMP.
fn control(to: &mut Arguments, found: &Found) {
    let Found {
        console,
        agent,
        control,
        ..
    } = found;
    to.option("-add-fd", format!("fd={console},set={CONSOLE_SET}"));
    to.option(
        "-chardev",
        format!("file,id=console,path=/dev/fdset/{CONSOLE_SET},append=on"),
    );
    to.option("-serial", "chardev:console");
    to.option(
        "-chardev",
        format!("socket,id=control,fd={control},server=on,wait=off"),
    );
    to.option("-mon", "chardev=control,mode=control");
    to.option(
        "-chardev",
        format!("socket,id=agent,fd={agent},server=on,wait=off"),
    );
    to.json("-device", json!({"driver": "virtio-serial-pci", "id": "ports"}));
    to.json(
        "-device",
        json!({"driver": "virtserialport", "bus": "ports.0", "nr": 1, "chardev": "agent", "name": PORT}),
    );
}

/// QEMU's name for a disk.
pub(super) fn disk_node(number: usize) -> String {
    format!("disk{number}")
}

/// A raw file behind the host's page cache, handed over open: QEMU needs no right to the file, and no way to it.
///
/// The cache is write-back, and the guest is told so: its flushes reach the disk (`no-flush` stays off), so what
/// a guest has synced survives the host, and what it has not is as safe as on any disk with a cache. QEMU's locks on
/// the file stay on: readers share it, and no two machines ever write one layer.
fn disk(to: &mut Arguments, number: usize, drive: &Drive, descriptor: RawFd) {
    let node = disk_node(number);
    let set = FIRST_DISK_SET + number;
    to.option("-add-fd", format!("fd={descriptor},set={set}"));
    let filename = format!("/dev/fdset/{set}");
    let cache = json!({"direct": false, "no-flush": false});
    let mut file = json!({
        "driver": "file", "filename": filename, "read-only": drive.read_only,
        "auto-read-only": false, "cache": cache,
    });
    let mut raw = json!({
        "driver": "raw", "node-name": node, "read-only": drive.read_only,
        "auto-read-only": false, "cache": cache,
    });
    if !drive.read_only {
        // What the guest frees, or fills with zeros, is given back to the host.
        file["discard"] = "unmap".into();
        raw["discard"] = "unmap".into();
        raw["detect-zeroes"] = "unmap".into();
    }
    raw["file"] = file;
    if drive.limit != RateLimit::default() {
        raw = throttled(to, number, drive, raw);
    }
    to.json("-blockdev", raw);
    // A full disk of the host is an error in the guest. By default the machine would stand still, and nobody knows.
    to.json(
        "-device",
        json!({"driver": "virtio-blk-pci", "drive": node, "werror": "report", "rerror": "report"}),
    );
}

/// The disk behind a throttle, which has its name then.
fn throttled(to: &mut Arguments, number: usize, drive: &Drive, mut raw: Value) -> Value {
    let group = format!("limit{number}");
    let mut limits = json!({});
    if let Some(bytes) = drive.limit.bytes_per_second {
        limits["bps-total"] = bytes.get().into();
    }
    if let Some(operations) = drive.limit.operations_per_second {
        limits["iops-total"] = operations.get().into();
    }
    to.json(
        "-object",
        json!({"qom-type": "throttle-group", "id": group, "limits": limits}),
    );
    if let Some(fields) = raw.as_object_mut() {
        fields.remove("node-name");
    }
    let mut throttle = json!({
        "driver": "throttle", "node-name": disk_node(number), "throttle-group": group,
        "read-only": drive.read_only, "auto-read-only": false,
        "cache": {"direct": false, "no-flush": false}, "file": raw,
    });
    if !drive.read_only {
        throttle["discard"] = "unmap".into();
    }
    throttle
}

fn network(to: &mut Arguments, network: &NetworkDevice, found: &Found) {
    let (NetworkDevice::Socket { mac, .. } | NetworkDevice::BuiltIn { mac }) = network;
    match found.network {
        Card::Stream(socket) => to.json(
            "-netdev",
            json!({"type": "stream", "id": "network", "server": false,
                   "addr": {"type": "fd", "str": socket.to_string()}}),
        ),
        Card::Tap => to.json(
            "-netdev",
            json!({"type": "tap", "id": "network", "ifname": process::CARD, "script": "no", "downscript": "no"}),
        ),
        Card::BuiltIn => to.json(
            "-netdev",
            // No filter stands before it, and what is not said is on.
            json!({"type": "user", "id": "network", "restrict": false, "ipv6": false}),
        ),
    }
    // Nothing boots from the network: without its option ROM the firmware is through sooner.
    to.json(
        "-device",
        json!({"driver": "virtio-net-pci", "netdev": "network", "mac": mac, "romfile": ""}),
    );
}

#[cfg(test)]
mod tests;
