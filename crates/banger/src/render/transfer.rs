//! Bytes on their way: a line on the terminal that says how many and how fast, once a copy takes more than a moment.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A copy that takes less is done before a line about it can be read.
const MOMENT: Duration = Duration::from_millis(400);

/// Redraws a second.
const REDRAWS: u8 = 10;

/// The line; clones count together.
#[derive(Clone)]
pub struct Transfer {
    bar: ProgressBar,
    shown: bool,
}

impl Transfer {
    /// A copy of `total` bytes, where that is known.
    pub fn new(quiet: bool, total: Option<u64>) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = match total {
            Some(_) => "  copying  {bytes:>11}  {bytes_per_sec:>13}  [{bar:20}] {percent:>3} %  {elapsed:>4}",
            None => "  copying  {bytes:>11}  {bytes_per_sec:>13}  {elapsed:>4}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Self {
            bar,
            shown: !quiet && !dumb && std::io::stderr().is_terminal(),
        }
    }

    /// Counts bytes.
    pub fn add(&mut self, bytes: usize) {
        if self.shown && self.bar.is_hidden() && self.bar.elapsed() > MOMENT {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        }
        self.bar.inc(bytes as u64);
    }

    /// Takes the line off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
