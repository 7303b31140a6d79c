//! Listings: columns without borders.

use std::net::SocketAddr;

use api::{GuestPort, Vm};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::{age, disk, memory, one_line, state};

/// The VMs, a line each, under a head line. `workspace` tells what of the user's repositories a VM has; the column is
/// there where one has any.
pub fn vms(vms: &[Vm], workspace: impl Fn(&Vm) -> Option<String>, now: Timestamp) -> String {
    let workspaces: Vec<Option<String>> = vms.iter().map(workspace).collect();
    let shown = workspaces.iter().any(Option::is_some);
    let head = [
        "NAME", "STATE", "IMAGE", "ADDRESS", "VCPU", "MEMORY", "DISK", "AGE",
    ];
    let mut table = plain();
    table.set_header(head.into_iter().chain(shown.then_some("WORKSPACE")));
    pad(&mut table);
    for (vm, workspace) in vms.iter().zip(workspaces) {
        let row = [
            one_line(&vm.name),
            state(vm, now),
            one_line(&vm.image),
            address(vm),
            vm.vcpu.to_string(),
            memory(vm.memory_mib),
            disk(vm.disk_used, vm.disk_size),
            age(vm.created_at, now),
        ];
        let last = shown.then(|| workspace.map_or_else(|| "-".into(), |workspace| one_line(&workspace)));
        table.add_row(row.into_iter().chain(last));
    }
    print(&table)
}

/// Where the host reaches it: its address, or the first of its ports and how many more there are.
fn address(vm: &Vm) -> String {
    match (&vm.address, vm.publish.as_slice()) {
        (Some(address), _) => one_line(address),
        (None, []) => "-".into(),
        (None, [port]) => port.address.with_port(port.host),
        (None, [port, more @ ..]) => format!("{} +{}", port.address.with_port(port.host), more.len()),
    }
}

/// What listens in a guest, a line each, under a head line.
pub fn ports(ports: &[GuestPort]) -> String {
    let mut table = new(["PROTO", "GUEST", "ENDPOINT", "PROCESS", "URL"]);
    for port in ports {
        let listener = &port.listener;
        table.add_row([
            listener.protocol.to_string(),
            SocketAddr::new(listener.address, listener.port).to_string(),
            port.endpoint
                .map_or_else(|| "-".into(), |endpoint| endpoint.to_string()),
            listener.process.as_ref().map_or_else(
                || "-".into(),
                |process| format!("{} ({})", one_line(&process.name), process.pid),
            ),
            match &port.url {
                Some(url) => one_line(url),
                None if listener.http => "http".into(),
                None => "-".into(),
            },
        ]);
    }
    print(&table)
}

/// Any rows under a head line.
pub fn rows<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = new(head);
    for row in rows {
        table.add_row(row);
    }
    print(&table)
}

/// Names and values, a line each, without a head line.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = plain();
    for (name, value) in pairs {
        table.add_row([name, &one_line(&value)]);
    }
    pad(&mut table);
    print(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

pub(super) fn new<const N: usize>(head: [&str; N]) -> Table {
    let mut table = plain();
    table.set_header(head);
    pad(&mut table);
    table
}

/// Two spaces between columns, none before the first.
fn pad(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

pub(super) fn print(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
