//! `--timings`: how long each stage of an operation took, and the whole of it.

use std::time::Instant;

use api::{Event, StageState};

use super::one_line;

/// As many as are kept; an operation has a handful.
const MOST: usize = 100;

/// What is known so far of one operation.
pub struct Timings {
    /// The VM's name, where several are worked on.
    name: String,
    since: Instant,
    taken: Vec<(String, u64)>,
}

impl Timings {
    /// Begins to measure.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            since: Instant::now(),
            taken: Vec::new(),
        }
    }

    /// Notes what an event says.
    pub fn event(&mut self, event: &Event) {
        let (name, elapsed_ms) = match event {
            Event::Stage {
                name,
                state: StageState::Done | StageState::Failed,
                elapsed_ms,
                ..
            } => (name, *elapsed_ms),
            Event::Timing { name, elapsed_ms } => (name, *elapsed_ms),
            _ => return,
        };
        if self.taken.len() < MOST {
            self.taken.push((name.clone(), elapsed_ms));
        }
    }

    /// A line each, in the order in which they ended; the last is what the user has waited in all.
    pub fn lines(&self) -> Vec<String> {
        let total = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let total = ("total".to_owned(), total);
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!("{}  ", one_line(name)),
        };
        let line =
            |(stage, ms): &(String, u64)| format!("  timing  {name}{:<16}  {ms:>8} ms", one_line(stage));
        self.taken.iter().chain([&total]).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_steps_come_in_the_order_in_which_they_ended() {
        let mut timings = Timings::of("web");
        let stage = |state, elapsed_ms| Event::Stage {
            name: "start".into(),
            state,
            detail: String::new(),
            done: None,
            total: None,
            elapsed_ms,
        };
        timings.event(&stage(StageState::Running, 1));
        timings.event(&Event::Timing {
            name: "start.agent".into(),
            elapsed_ms: 2_700,
        });
        timings.event(&stage(StageState::Done, 2_900));
        timings.event(&Event::Cancelled);
        let lines = timings.lines();
        assert_eq!(lines[0], "  timing  web  start.agent           2700 ms");
        assert_eq!(lines[1], "  timing  web  start                 2900 ms");
        assert!(lines[2].starts_with("  timing  web  total  "), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }
}
