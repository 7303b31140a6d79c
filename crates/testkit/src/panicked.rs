/// Whether one of our programs panicked, by what it printed.
///
/// A guest's kernel may panic and be reported in one line: what Rust prints has a place in the source.
#[must_use]
pub fn panicked(output: &str) -> bool {
    output
        .lines()
        .any(|line| line.contains(" panicked at ") && line.contains(".rs:"))
}

#[cfg(test)]
mod tests {
    use super::panicked;

    #[test]
    fn our_panics_are_told_from_those_of_a_guests_kernel() {
        for ours in [
            "\nthread 'main' (28477) panicked at crates/engine/src/start.rs:74:9:\nword",
            "thread '<unnamed>' panicked at src/main.rs:1:1:\nword",
        ] {
            assert!(panicked(ours), "{ours}");
        }
        for other in [
            "banger: cannot start `a`: the guest's kernel panicked: no working init found",
            "its console ends with: Kernel panic - not syncing: no working init found",
            "",
        ] {
            assert!(!panicked(other), "{other}");
        }
    }
}
