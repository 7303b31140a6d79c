//! `banger df`: what takes space, a line each, and the sum.

use api::{Space, SpaceItem, SpaceKind};

use super::table::{new, print};
use super::{bytes, one_line};

/// Longest name that is shown whole: the line has to fit a terminal.
const LONGEST_NAME: usize = 28;

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
        "{}{} free in {}\n",
        print(&table),
        bytes(space.free),
        one_line(&space.state)
    )
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
    fn long_names_keep_both_ends() {
        assert_eq!(short("debian-minimal"), "debian-minimal");
        let cut = short("debian-cloud 6.1.0-56-cloud-amd64");
        assert_eq!(cut, "debian-cloud 6…6-cloud-amd64");
        assert_eq!(cut.chars().count(), LONGEST_NAME);
    }
}
