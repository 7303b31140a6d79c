//! What a VMM may take of the host and ask of its kernel, however it was started: a guest that has broken into it meets
//! these where it meets nothing else.
//!
//! ```text
//!                    QEMU                              Firecracker
//!  address space     the guest's memory, the code      the guest's memory, 1 GiB
//!                    that emulation makes of the
//!                    guest's, 2 GiB, 16 MiB a processor
//!  longest file      the largest disk there is         the same
//!  open files        4096                              the same
//!  threads           one a processor, 96               one a processor, 16
//!  system calls      all but process::Kind::OF_VMM     the same, and memfd; in a jail, those that the jailer makes stay
//! ```
//!
//! Address space is what a process has mapped, not what it uses: these are bounds on what has been broken into, with much
//! room for what has not. Memory itself is bounded by [control groups](crate::groups), where there are any.

use model::DiskSize;
use process::{Kind, Launch, Limits, SystemCalls};

use crate::MachineSpec;
use crate::qemu::Acceleration;

const MIB: u64 = 1 << 20;
/// What QEMU makes of the guest's code, in emulation, at most, in MiB (`tb-size` of `-accel tcg`): its own default, on a
/// host that has memory for it.
pub(crate) const TRANSLATED_MIB: u64 = 1024;
/// Programs, libraries and heaps, the stacks of QEMU's 64 threads for disks among them.
const QEMU_OWN: u64 = 2048 * MIB;
const FIRECRACKER_OWN: u64 = 1024 * MIB;
/// The stack of a processor's thread.
const PROCESSOR: u64 = 16 * MIB;
/// With these, QEMU's heaps are eight at most, each of which reserves 64 MiB. (The C library would have eight a processor
/// of the host.)
const HEAPS: (&str, &str) = ("MALLOC_ARENA_MAX", "8");

/// Threads beside one a processor.
pub(crate) const QEMU_THREADS: u32 = 96;
pub(crate) const FIRECRACKER_THREADS: u32 = 16;
const OPEN_FILES: u64 = 4096;

/// Firecracker keeps the queue of its vsock in a file without a name.
const OF_FIRECRACKER: [Kind; 6] = [
    Kind::Kernel,
    Kind::Processes,
    Kind::Mounts,
    Kind::Namespaces,
    Kind::Sockets,
    Kind::Unmapped,
];

/// Whose the threads of a VMM are, for the host to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Its own: it is in a user namespace of its own, or a user of its own.
    Apart,
    /// Its user's, with all that the user runs.
    WithUser,
}

/// Puts the launch of a QEMU under its limits.
pub(crate) fn limit_qemu(
    launch: &mut Launch,
    spec: &MachineSpec,
    acceleration: Acceleration,
    counted: Counted,
) {
    let translated = match acceleration {
        Acceleration::Tcg => TRANSLATED_MIB * MIB,
        Acceleration::Kvm => 0,
    };
    let own = QEMU_OWN + translated + u64::from(spec.vcpu) * PROCESSOR;
    launch
        .variable(HEAPS.0, HEAPS.1)
        .limit(limits(spec, own, QEMU_THREADS, counted))
        .filter(SystemCalls::deny(&Kind::OF_VMM));
}

/// Puts the launch of a Firecracker under its limits.
pub(crate) fn limit_firecracker(launch: &mut Launch, spec: &MachineSpec, counted: Counted) {
    let own = FIRECRACKER_OWN + u64::from(spec.vcpu) * PROCESSOR;
    launch
        .limit(limits(spec, own, FIRECRACKER_THREADS, counted))
        .filter(SystemCalls::deny(&OF_FIRECRACKER));
}

/// Puts the launch of a jailer, and so of the Firecracker that it becomes, under its limits. The jailer mounts, changes
/// roots and makes namespaces; Firecracker's own filters, which come after that, allow none of it.
pub(crate) fn limit_jailer(launch: &mut Launch, spec: &MachineSpec) {
    let own = FIRECRACKER_OWN + u64::from(spec.vcpu) * PROCESSOR;
    launch
        .limit(limits(spec, own, FIRECRACKER_THREADS, Counted::Apart))
        .filter(SystemCalls::deny(&[
            Kind::Kernel,
            Kind::Processes,
            Kind::Sockets,
            Kind::Unmapped,
        ]));
}

fn limits(spec: &MachineSpec, own: u64, threads: u32, counted: Counted) -> Limits {
    let threads = u64::from(spec.vcpu) + u64::from(threads);
    Limits {
        address_space: Some(spec.memory_mib.saturating_mul(MIB).saturating_add(own)),
        file_size: Some(DiskSize::LARGEST),
        open_files: Some(OPEN_FILES),
        processes: Some(threads).filter(|_| counted == Counted::Apart),
        ..Limits::default()
    }
}
