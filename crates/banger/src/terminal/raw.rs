//! The terminal's raw mode, which ends with the value that stands for it.

use std::io;

use guest::WindowSize;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Raw mode of the terminal on stdin. Dropping it, by a panic as well, restores what was before.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters raw mode: every key goes to the guest, Ctrl-C too.
    ///
    /// # Errors
    /// Stdin is no terminal, or the terminal refuses.
    pub fn enter() -> io::Result<Self> {
        let raw = Self {
            before: tcgetattr(stdin())?,
        };
        raw.apply()?;
        Ok(raw)
    }

    /// Enters it again: a shell that had stopped this program has set its own modes meanwhile.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn apply(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(stdin(), OptionalActions::Now, &raw)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Not `Flush`: what was typed ahead is for whoever reads next. If the terminal is gone there is nothing to do.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Size of the terminal on stdin. Terminals that do not know theirs have the usual one.
pub fn window_size() -> WindowSize {
    match tcgetwinsize(stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => WindowSize {
            rows: size.ws_row,
            columns: size.ws_col,
        },
        _ => WindowSize {
            rows: 24,
            columns: 80,
        },
    }
}
