//! One VM in words.

use api::{Connections, Vm};
use jiff::Timestamp;

use super::table::pairs;
use super::{disk, memory, one_line, state};

/// What was asked for, as it was resolved: `quick-otter · debian-minimal · 2 vcpu · 2 GiB · …`.
pub fn spec_line(vm: &Vm) -> String {
    let disk = model::Size::from_bytes(vm.disk_size);
    let mut line = format!(
        "{} · {} · {} vcpu · {} · {disk} disk · {}",
        vm.name,
        vm.image,
        vm.vcpu,
        memory(vm.memory_mib),
        vm.vmm
    );
    if !vm.vmm_reason.is_empty() {
        line.push_str(&format!(" ({})", vm.vmm_reason));
    }
    for port in &vm.publish {
        line.push_str(&format!(" · {port}"));
    }
    one_line(&line)
}

/// Said when the user leaves a VM that goes on.
pub fn keeps_running(name: &str) -> String {
    let name = one_line(name);
    format!("{name} keeps running: banger vm stop {name}, banger vm delete {name}")
}

/// The ports that it is published on.
fn ports(vm: &Vm) -> String {
    let ports: Vec<String> = vm.publish.iter().map(ToString::to_string).collect();
    if ports.is_empty() {
        "-".into()
    } else {
        ports.join(", ")
    }
}

/// `3 of at most 512`, and how many were refused where some were.
fn connections_of(connections: Connections) -> String {
    let Connections { open, most, refused } = connections;
    match refused {
        0 => format!("{open} of at most {most}"),
        refused => format!("{open} of at most {most}, {refused} refused"),
    }
}

/// Everything about a VM, a line each.
pub fn show(vm: &Vm, now: Timestamp) -> String {
    let some = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let mut lines = vec![
        ("name", vm.name.clone()),
        ("id", vm.id.clone()),
        ("state", state(vm, now)),
        ("image", vm.image.clone()),
        ("kernel", vm.kernel.clone()),
        ("vcpu", vm.vcpu.to_string()),
        ("memory", memory(vm.memory_mib)),
        ("disk", disk(vm.disk_used, vm.disk_size)),
        ("network", vm.network.to_string()),
        ("address", some(&vm.address)),
        ("ports", ports(vm)),
        ("vmm", vm.vmm.clone()),
        ("pid", vm.pid.map_or_else(|| "-".into(), |pid| pid.to_string())),
        ("limits", some(&vm.limits)),
        ("boot id", some(&vm.boot_id)),
        ("created", vm.created_at.to_string()),
        (
            "started",
            vm.started_at.map_or_else(|| "-".into(), |at| at.to_string()),
        ),
    ];
    // What one that runs has lost is beside its state.
    if let Some(reason) = vm.reason.as_ref().filter(|_| vm.state != api::VmState::Running) {
        lines.insert(3, ("reason", reason.clone()));
    }
    if let Some(connections) = vm.connections
        && let Some(at) = lines.iter().position(|(name, _)| *name == "ports")
    {
        lines.insert(at + 1, ("connections", connections_of(connections)));
    }
    if !vm.vmm_reason.is_empty()
        && let Some(line) = lines.iter_mut().find(|(name, _)| *name == "vmm")
    {
        line.1.push_str(&format!(" ({})", vm.vmm_reason));
    }
    if vm.ephemeral {
        lines.push(("ephemeral", "deleted when the command that made it ends".into()));
    }
    pairs(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shown_with_their_bound_and_how_many_were_refused() {
        for (refused, shown) in [(0, "3 of at most 512"), (7, "3 of at most 512, 7 refused")] {
            let connections = Connections {
                open: 3,
                most: 512,
                refused,
            };
            assert_eq!(connections_of(connections), shown);
            let mut vm = crate::testing::vm("box", "b");
            let shown_now = |vm: &Vm| show(vm, Timestamp::UNIX_EPOCH);
            assert!(!shown_now(&vm).contains("connections"));
            vm.connections = Some(connections);
            assert!(
                shown_now(&vm).contains(&format!("\nconnections  {shown}\n")),
                "{}",
                shown_now(&vm)
            );
        }
    }
}
