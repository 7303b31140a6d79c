//! `banger df`: what takes space, a line each, and the sum.

use api::{Space, SpaceItem, SpaceKind};

use super::table::{new, print};
use super::{bytes, one_line};

/// Longest name that is shown whole: the line has to fit a terminal.
const LONGEST_NAME: usize = 28;

/// Most VMs that are named in a line.
const MOST_NAMES: usize = 5;

const KEEPS: &str = "keeps on this disk what its guest deletes: Firecracker takes no discards";
const KEEP: &str = "keep on this disk what their guests delete: Firecracker takes no discards";

/// The table, its sum, and what is free.
pub fn space(space: &Space) -> String {
    let mut table = new(["KIND", "NAME", "SIZE", "ON DISK", "USED BY", "RECLAIMABLE"]);
    for item in &space.items {
        table.add_row([
            item.kind.to_string(),
            short(&one_line(&item.name)),
            bytes(item.size),
            bytes(item.used),
            used_by(item),
            reclaimable(item.reclaimable),
        ]);
    }
    let sum = |of: fn(&SpaceItem) -> u64| space.items.iter().map(of).fold(0, u64::saturating_add);
    table.add_row([
        "total".into(),
        String::new(),
        String::new(),
        bytes(sum(|item| item.used)),
        String::new(),
        reclaimable(sum(|item| item.reclaimable)),
    ]);
    format!(
        "{}{} free in {}\n{}",
        print(&table),
        bytes(space.free),
        one_line(&space.state),
        keeping(&space.items)
    )
}

/// A line about the VMs whose disks only grow.
fn keeping(items: &[SpaceItem]) -> String {
    let names: Vec<String> = items
        .iter()
        .filter(|item| item.keeps_deleted)
        .map(|item| short(&one_line(&item.name)))
        .collect();
    let named = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len() {
        0 => String::new(),
        count if count > MOST_NAMES => format!("{named} and {} more {KEEP}\n", count - MOST_NAMES),
        1 => format!("{named} {KEEPS}\n"),
        _ => format!("{named} {KEEP}\n"),
    }
}

fn used_by(item: &SpaceItem) -> String {
    match (item.kind, item.vms) {
        (SpaceKind::Image | SpaceKind::Kernel, 1) => "1 VM".into(),
        (SpaceKind::Image | SpaceKind::Kernel, vms) if vms > 1 => format!("{vms} VMs"),
        _ => "-".into(),
    }
}

fn reclaimable(count: u64) -> String {
    if count == 0 { "-".into() } else { bytes(count) }
}

/// A name cut in the middle, where it is too long: both its ends tell something.
fn short(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let kept = LONGEST_NAME - 1;
    let (first, last) = (kept.div_ceil(2), kept / 2);
    let end = characters.len() - last;
    characters[..first]
        .iter()
        .chain(['…'].iter())
        .chain(&characters[end..])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vms_whose_disks_only_grow_are_named_and_no_more_than_a_line_holds() {
        let items = |count: usize| -> Vec<SpaceItem> {
            let item = |number| SpaceItem {
                kind: SpaceKind::Vm,
                name: format!("vm{number}\u{1b}"),
                size: 0,
                used: 0,
                vms: 1,
                reclaimable: 0,
                keeps_deleted: number < count,
            };
            (0..9).map(item).collect()
        };
        assert_eq!(keeping(&items(0)), "");
        assert_eq!(keeping(&items(1)), format!("vm0\\x1b {KEEPS}\n"));
        assert_eq!(keeping(&items(2)), format!("vm0\\x1b, vm1\\x1b {KEEP}\n"));
        assert!(keeping(&items(5)).contains("vm4\\x1b keep "));
        assert!(keeping(&items(8)).contains("vm4\\x1b and 3 more keep "));
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short("debian-minimal"), "debian-minimal");
        let cut = short("debian-cloud 6.1.0-56-cloud-amd64");
        assert_eq!(cut, "debian-cloud 6…6-cloud-amd64");
        assert_eq!(cut.chars().count(), LONGEST_NAME);
    }
}
