//! The host in words that say what the figures depend on, and nothing about whose it is.

use std::fs;
use std::process::Command;

use config::HostShape;

use crate::command::run;

/// What the figures depend on.
#[derive(Debug)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: u32,
    /// Memory in GiB, rounded.
    pub memory_gib: u64,
    /// The x86-64 level that the processor's flags reach.
    pub level: &'static str,
    /// Whether the processor offers virtualisation to this system.
    pub virtualisation: bool,
    /// `uname -r` without what a vendor adds.
    pub kernel: String,
    /// First line of QEMU's version.
    pub qemu: String,
    /// Version of erofs-utils.
    pub erofs: String,
}

impl Machine {
    /// This host.
    pub fn of_host() -> Self {
        let flags = processor_flags();
        let has = |flag: &str| flags.iter().any(|have| have == flag);
        let shape = HostShape::of_host();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self {
            cores: shape.cpus,
            memory_gib: (shape.memory_mib + 512) / 1024,
            level: level(&has),
            virtualisation: has("vmx") || has("svm"),
            kernel: release.split(['-', '+']).next().unwrap_or_default().to_owned(),
            qemu: version("qemu-system-x86_64", "--version"),
            erofs: version("mkfs.erofs", "-V"),
        }
    }
}

fn level(has: &impl Fn(&str) -> bool) -> &'static str {
    let all = |flags: &[&str]| flags.iter().all(|flag| has(flag));
    if all(&["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]) {
        "x86-64-v4"
    } else if all(&["avx2", "bmi1", "bmi2", "fma", "movbe"]) {
        "x86-64-v3"
    } else if all(&["sse4_2", "ssse3", "popcnt"]) {
        "x86-64-v2"
    } else {
        "x86-64"
    }
}

fn processor_flags() -> Vec<String> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("flags"))
        .unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// The first line, up to what a distribution adds in brackets.
fn version(program: &str, flag: &str) -> String {
    let output = run(Command::new(program).arg(flag))
        .map(|ended| ended.stdout)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    let line = text.lines().next().unwrap_or("unknown");
    line.split(" (").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_needs_all_of_its_flags() {
        assert_eq!(level(&|flag: &str| flag != "avx512vl"), "x86-64-v3");
        assert_eq!(level(&|_: &str| true), "x86-64-v4");
        assert_eq!(level(&|_: &str| false), "x86-64");
    }
}
