//! An operation's stages on stderr: moving while they run on a terminal, one line each when they are done.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use api::{Event, StageState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::timings::Timings;
use super::{milliseconds, note, one_line, spec_line, warning};
use crate::cli::ProgressArgs;

/// Redraws a second.
const REDRAWS: u8 = 15;

/// What ends at so many is counted in bytes, which have a rate; packages are fewer.
const BYTES: u64 = 100_000;

/// The stages of one operation.
pub struct Progress {
    /// Only on a terminal.
    bars: Option<MultiProgress>,
    running: HashMap<String, ProgressBar>,
    /// Whether stages are shown.
    stages: bool,
    /// Whether warnings are.
    warnings: bool,
    /// How long stages took, if that was asked for.
    timings: Option<Timings>,
}

impl Progress {
    /// For the only operation of a command.
    pub fn of(args: ProgressArgs) -> Self {
        let terminal =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let moving = terminal && !args.quiet;
        Self {
            bars: moving
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS))),
            running: HashMap::new(),
            stages: !args.quiet,
            warnings: !args.quiet,
            timings: args.timings.then(|| Timings::of("")),
        }
    }

    /// For one of several operations at once: no stages. `name` is the VM's.
    pub fn one_of_several(args: ProgressArgs, name: &str) -> Self {
        Self {
            bars: None,
            running: HashMap::new(),
            stages: false,
            warnings: !args.quiet,
            timings: args.timings.then(|| Timings::of(name)),
        }
    }

    /// Shows what an event says.
    pub fn event(&mut self, event: &Event) {
        if let Some(timings) = &mut self.timings {
            timings.event(event);
        }
        match event {
            Event::Resolved { vm } if self.stages => self.line(|| note(&spec_line(vm))),
            Event::Warning { message } if self.warnings => self.line(|| warning(message)),
            Event::Stage {
                name,
                state,
                detail,
                done,
                total,
                elapsed_ms,
            } if self.stages => match state {
                StageState::Running => self.advance(name, detail, *done, *total),
                StageState::Done => self.finish(&key(name, detail), &stage_line(name, detail, *elapsed_ms)),
                StageState::Failed => self.finish(
                    &key(name, detail),
                    &stage_line(name, &failed(detail), *elapsed_ms),
                ),
            },
            event if event.is_end() => self.clear_bars(),
            _ => {}
        }
    }

    /// Says something between the stages.
    pub fn say(&self, message: &str) {
        self.line(|| note(&format!("banger: {message}")));
    }

    /// The end: takes whatever still moves off the screen, and tells the timings.
    pub fn clear(&mut self) {
        self.clear_bars();
        if let Some(timings) = self.timings.take() {
            timings.lines().iter().for_each(|line| note(line));
        }
    }

    fn clear_bars(&mut self) {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn advance(&mut self, name: &str, detail: &str, done: Option<u64>, total: Option<u64>) {
        let Some(bars) = &self.bars else { return };
        let bar = self.running.entry(key(name, detail)).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_prefix(format!("{:<6}", one_line(name)));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_style(match (done, total) {
            (Some(_), Some(total)) if total >= BYTES => style(
                "  {prefix}  {wide_msg}  {bytes:>10}  {bytes_per_sec:>12}  [{bar:14}] {percent:>3} %  {elapsed:>4}",
            ),
            (Some(_), Some(_)) => style("  {prefix}  {wide_msg}  [{bar:20}] {percent:>3} %  {elapsed:>4}"),
            _ => style("  {prefix}  {wide_msg}  {spinner}  {elapsed:>4}"),
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
        if let Some(done) = done {
            bar.set_position(total.map_or(done, |total| done.min(total)));
        }
        bar.set_message(one_line(detail));
    }

    fn finish(&mut self, key: &str, line: &str) {
        if let Some(bar) = self.running.remove(key) {
            bar.finish_and_clear();
        }
        self.line(|| note(line));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Which bar a stage moves: one for each name, but one for each layer of an image, since several come at once.
fn key(name: &str, detail: &str) -> String {
    match name {
        "layer" => format!("{name} {}", columns(detail).0),
        _ => name.to_owned(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("|/-\\ ")
        .progress_chars("=> ")
}

fn failed(detail: &str) -> String {
    let (subject, _) = columns(detail);
    format!("{subject}  failed")
}

/// What a stage is about, and what it did: two spaces part them.
fn columns(detail: &str) -> (&str, &str) {
    detail
        .split_once("  ")
        .map_or((detail, ""), |(subject, result)| (subject.trim(), result.trim()))
}

/// `  kernel  debian-cloud 6.1.0-56-cloud-amd64  fetched, 26 MB        1.4 s`.
fn stage_line(name: &str, detail: &str, elapsed_ms: u64) -> String {
    let (subject, result) = columns(detail);
    format!(
        "  {:<6}  {:<33}  {:<19}  {:>6}",
        one_line(name),
        one_line(subject),
        one_line(result),
        milliseconds(elapsed_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_lines_are_columns() {
        let lines = [
            stage_line(
                "kernel",
                "debian-cloud 6.1.0-56-cloud-amd64  fetched, 26 MB",
                1_400,
            ),
            stage_line("image", "debian-bookworm  built from recipe", 94_000),
            stage_line("start", "ready", 2_900),
            stage_line("image", &failed("debian-bookworm  3 of 5"), 100),
            stage_line("evil\x1b[2J", "a\nb", 100),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
