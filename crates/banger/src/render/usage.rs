//! `banger vm stats`: what VMs use, per VM and in all.

use api::VmStats;
use serde::Serialize;

use super::one_line;
use super::table::rows;

/// What one VM, or all of them, use. What is not known is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// The VM's id; none for all of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The VM's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Processor time on the host; 100 is one processor.
    pub cpu_percent: Option<f64>,
    /// Bytes of memory that the guest uses.
    pub memory_used: Option<u64>,
    /// Bytes of memory that it is given.
    pub memory_given: u64,
    /// Bytes of the host's memory that its VMM takes.
    pub rss: Option<u64>,
    /// Bytes that the guest uses of its disk.
    pub disk_used: Option<u64>,
    /// Bytes that its disk has.
    pub disk_size: u64,
    /// Bytes that its disk takes on the host.
    pub disk_allocated: u64,
    /// Bytes received.
    pub network_received: Option<u64>,
    /// Bytes sent.
    pub network_sent: Option<u64>,
}

impl Usage {
    /// Out of two readings, of which the first may be missing.
    pub fn of(before: Option<&VmStats>, now: &VmStats) -> Self {
        let guest = now.guest.as_ref();
        Self {
            id: now.id.clone(),
            name: now.name.clone(),
            cpu_percent: before.and_then(|before| cpu(before, now)),
            memory_used: guest.map(|guest| guest.memory_total.saturating_sub(guest.memory_available)),
            memory_given: now.memory_mib.saturating_mul(1 << 20),
            rss: now.host.map(|host| host.memory),
            disk_used: guest.map(|guest| guest.disk_used),
            disk_size: now.disk_size,
            disk_allocated: now.disk_allocated,
            network_received: guest.map(|guest| guest.network_received),
            network_sent: guest.map(|guest| guest.network_sent),
        }
    }

    /// All of them together; what is known of one only counts.
    pub fn total(all: &[Self]) -> Self {
        let known = |value: fn(&Self) -> Option<u64>| {
            all.iter()
                .filter_map(value)
                .reduce(|sum, more| sum.saturating_add(more))
        };
        let sum = |value: fn(&Self) -> u64| all.iter().map(value).fold(0, u64::saturating_add);
        Self {
            id: String::new(),
            name: String::new(),
            cpu_percent: all
                .iter()
                .filter_map(|usage| usage.cpu_percent)
                .reduce(|sum, more| sum + more),
            memory_used: known(|usage| usage.memory_used),
            memory_given: sum(|usage| usage.memory_given),
            rss: known(|usage| usage.rss),
            disk_used: known(|usage| usage.disk_used),
            disk_size: sum(|usage| usage.disk_size),
            disk_allocated: sum(|usage| usage.disk_allocated),
            network_received: known(|usage| usage.network_received),
            network_sent: known(|usage| usage.network_sent),
        }
    }
}

/// Percent of one processor between two readings; none after a restart, whose counters begin anew.
fn cpu(before: &VmStats, now: &VmStats) -> Option<f64> {
    let spent = now.host?.cpu_ms.checked_sub(before.host?.cpu_ms)? as f64;
    let passed = now.sampled_at.duration_since(before.sampled_at).as_millis_f64();
    let percent = spent / passed * 100.0;
    (passed > 0.0 && percent.is_finite()).then(|| (percent * 10.0).round() / 10.0)
}

/// A line each, under a head line; the last is for all together where there are several.
pub fn usage(all: &[Usage], total: &Usage) -> String {
    let line = |name: &str, usage: &Usage| {
        [
            one_line(name),
            usage
                .cpu_percent
                .map_or_else(dash, |percent| format!("{percent:.1} %")),
            of(usage.memory_used, usage.memory_given),
            usage.rss.map_or_else(dash, bytes),
            of(usage.disk_used, usage.disk_size),
            bytes(usage.disk_allocated),
            usage.network_received.map_or_else(dash, bytes),
            usage.network_sent.map_or_else(dash, bytes),
        ]
    };
    let mut lines: Vec<_> = all.iter().map(|usage| line(&usage.name, usage)).collect();
    if all.len() > 1 {
        lines.push(line("(all)", total));
    }
    rows(["NAME", "CPU", "MEM", "RSS", "DISK", "ALLOC", "IN", "OUT"], lines)
}

fn dash() -> String {
    "-".to_owned()
}

fn of(used: Option<u64>, size: u64) -> String {
    format!("{}/{}", used.map_or_else(dash, bytes), bytes(size))
}

/// Short, since eight columns fit a terminal: `812K`, `1.5G`, `20G`. Units are of 1024.
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G", "T"] {
        // What would be rounded to 1024 is one of the next unit.
        if value < 1023.5 || unit == "T" {
            let whole = value >= 9.95 || unit == "B" || value.fract() == 0.0;
            return if whole {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.0}P")
}

#[cfg(test)]
mod tests {
    use api::{HostUse, VmState};
    use jiff::Timestamp;

    use super::*;

    fn stats(name: &str, second: i64, cpu_ms: u64) -> VmStats {
        VmStats {
            id: "a".repeat(32),
            name: name.into(),
            state: VmState::Running,
            sampled_at: Timestamp::from_second(second).unwrap(),
            vcpu: 2,
            memory_mib: 2048,
            disk_size: 8 << 30,
            disk_allocated: 120 << 20,
            host: Some(HostUse {
                cpu_ms,
                memory: 700 << 20,
            }),
            guest: Some(guest::Stats {
                cpu_busy_ms: 1,
                memory_total: 2 << 30,
                memory_available: 3 << 29,
                disk_total: 8 << 30,
                disk_used: 90 << 20,
                network_received: 1_234_567,
                network_sent: 999,
            }),
        }
    }

    #[test]
    fn a_line_each_and_one_for_all_fit_a_terminal() {
        let running = Usage::of(
            Some(&stats("quick-otter", 10, 1_000)),
            &stats("quick-otter", 12, 4_000),
        );
        let off = VmStats {
            host: None,
            guest: None,
            ..stats("web\x1b[2J", 12, 0)
        };
        let all = [running, Usage::of(None, &off)];
        let text = usage(&all, &Usage::total(&all));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn cpu_is_what_was_spent_between_two_readings() {
        let percent = |before: &VmStats, now: &VmStats| Usage::of(Some(before), now).cpu_percent;
        assert_eq!(
            percent(&stats("a", 10, 1_000), &stats("a", 12, 4_000)),
            Some(150.0)
        );
        assert_eq!(
            percent(&stats("a", 10, 5_000), &stats("a", 12, 4_000)),
            None,
            "a new run"
        );
        assert_eq!(
            percent(&stats("a", 10, 1_000), &stats("a", 10, 1_000)),
            None,
            "no time has passed"
        );
        assert_eq!(
            percent(&stats("a", 10, 1_000), &stats("a", 8, 4_000)),
            None,
            "the clock was set back"
        );
        assert_eq!(Usage::of(None, &stats("a", 1, 1)).cpu_percent, None);
    }

    #[test]
    fn sizes_are_short() {
        for (size, text) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_536, "1.5K"),
            (10 << 10, "10K"),
            ((1 << 20) - 1, "1.0M"),
            (8 << 30, "8G"),
            (u64::MAX, "16777216T"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
