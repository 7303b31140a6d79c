//! A VM for unit tests.

use api::{NetworkMode, Vm, VmState};
use jiff::Timestamp;

/// A running VM of that name, whose id begins with `id`.
pub fn vm(name: &str, id: &str) -> Vm {
    Vm {
        id: id.into(),
        name: name.into(),
        state: VmState::Running,
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
        pid: Some(4242),
        limits: Some("process limits, system calls".into()),
        connections: None,
        boot_id: Some("5f1b5b0e-7a3c-4f0e-9a55-0d6f4b1f2a33".into()),
        ephemeral: false,
        created_at: Timestamp::from_second(1_800_000_000).unwrap(),
        started_at: Timestamp::from_second(1_800_000_001).ok(),
        rebooted: None,
        crashed_at: None,
    }
}
