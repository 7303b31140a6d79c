//! A stored VM as the API shows it.

use std::path::Path;

use guest::forward::Usage;
use store::VmRow;

/// What is told of a VM that is in its state from now on.
pub(crate) fn happening(row: &VmRow) -> api::Happening {
    api::Happening::Vm {
        id: row.id.clone(),
        name: row.name.clone(),
        state: row.state,
        reason: row.reason.clone(),
    }
}

/// A row and what its folder holds.
pub(crate) fn vm(
    row: VmRow,
    folder: &Path,
    pid: Option<u32>,
    paused: Option<&str>,
    connections: Option<Usage>,
) -> api::Vm {
    api::Vm {
        disk_used: rootfs::layer::allocated(&super::layer_path(folder)).unwrap_or(0),
        state: row.state,
        kernel: if row.kernel_version.is_empty() {
            row.kernel
        } else {
            format!("{} {}", row.kernel, row.kernel_version)
        },
        network: row.network,
        id: row.id,
        name: row.name,
        reason: row.reason,
        paused: paused.map(str::to_owned),
        image: row.image,
        vcpu: row.vcpu,
        memory_mib: row.memory_mib,
        disk_size: row.disk_size,
        publish: super::publish::of_row(&row.publish),
        address: None,
        // What is known of a release may be newer than the start.
        vmm_reason: vmm::concern(&row.vmm).unwrap_or(row.vmm_reason),
        vmm: row.vmm,
        connections: connections.map(|usage| api::Connections {
            open: u32::try_from(usage.open).unwrap_or(u32::MAX),
            most: u32::try_from(usage.most).unwrap_or(u32::MAX),
            refused: usage.refused,
        }),
        limits: pid.map(|_| vmm::groups::in_force(folder)),
        pid,
        boot_id: row.boot_id,
        ephemeral: row.ephemeral,
        created_at: row.created_at,
        started_at: row.started_at,
        rebooted: row.reboots,
        crashed_at: row.crashed_at,
    }
}
