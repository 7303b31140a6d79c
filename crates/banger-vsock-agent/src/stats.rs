//! What the machine uses, out of `/proc`.

use std::fs;
use std::io;

use guest::Stats;
use rustix::fs::statvfs;

/// Clock ticks a second in what the kernel shows to programs (`USER_HZ`), on every architecture that banger runs on.
const TICKS: u64 = 100;

/// Reads all of it. Blocks for as long as `/proc` does.
///
/// # Errors
/// What the system says.
pub(crate) fn read() -> io::Result<Stats> {
    let (memory_total, memory_available) = memory(&fs::read_to_string("/proc/meminfo")?);
    let (network_received, network_sent) = network(&fs::read_to_string("/proc/net/dev")?);
    let root = statvfs("/")?;
    Ok(Stats {
        cpu_busy_ms: cpu_busy_ms(&fs::read_to_string("/proc/stat")?),
        memory_total,
        memory_available,
        disk_total: root.f_blocks.saturating_mul(root.f_frsize),
        disk_used: root
            .f_blocks
            .saturating_sub(root.f_bfree)
            .saturating_mul(root.f_frsize),
        network_received,
        network_sent,
    })
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, …; guest time is in user.
fn cpu_busy_ms(stat: &str) -> u64 {
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else {
        return 0;
    };
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|at| ticks.get(*at))
        .fold(0, |sum: u64, ticks| sum.saturating_add(*ticks))
        .saturating_mul(1000 / TICKS)
}

/// Total and available, in bytes.
fn memory(meminfo: &str) -> (u64, u64) {
    let value = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0).saturating_mul(1024)
    };
    (value("MemTotal:"), value("MemAvailable:"))
}

/// Received and sent, over all devices but the loopback. The layer's container engines bring bridges of their own,
/// whose traffic goes through `eth0`, too, if it leaves the machine: only that is counted where it is there.
fn network(devices: &str) -> (u64, u64) {
    let lines = devices.lines().filter_map(|line| line.split_once(':'));
    let counters: Vec<(&str, u64, u64)> = lines
        .filter_map(|(name, numbers)| {
            let numbers: Vec<&str> = numbers.split_ascii_whitespace().collect();
            let number = |at: usize| numbers.get(at)?.parse::<u64>().ok();
            Some((name.trim(), number(0)?, number(8)?))
        })
        .filter(|(name, ..)| *name != "lo")
        .collect();
    let outer = counters.iter().find(|(name, ..)| *name == "eth0");
    match outer {
        Some((_, received, sent)) => (*received, *sent),
        None => counters
            .iter()
            .fold((0, 0), |(received, sent): (u64, u64), (_, more, out)| {
                (received.saturating_add(*more), sent.saturating_add(*out))
            }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let stat = "cpu  100 10 50 9999 77 3 2 0 40 0\ncpu0 1 1 1 1\n";
        assert_eq!(cpu_busy_ms(stat), 1_650);
        let meminfo = "MemTotal:        2000 kB\nMemFree:  1 kB\nMemAvailable:    1500 kB\n";
        assert_eq!(memory(meminfo), (2_048_000, 1_536_000));
        let devices = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    \
             lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  \
             eth0: 1000 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n docker0: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        assert_eq!(network(devices), (1_000, 200));
        assert_eq!(network(&devices.replace("eth0", "ens3")), (1_007, 207));
    }

    #[test]
    fn this_machine_can_be_read() {
        let stats = read().unwrap();
        assert!(stats.memory_total > stats.memory_available && stats.memory_available > 0);
        assert!(stats.disk_total >= stats.disk_used && stats.cpu_busy_ms > 0);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in any::<String>(), numbers in any::<Vec<u64>>()) {
            let joined = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            for text in [text, format!("cpu {joined}"), format!("eth0: {joined}"), format!("MemTotal: {joined}")] {
                cpu_busy_ms(&text);
                memory(&text);
                network(&text);
            }
        }
    }
}
