//! A test that runs itself once more as a child process, to be killed or to crash there.

use std::process::Command;

const VARIABLE: &str = "TESTKIT_AGAIN";

/// One test, in the parent or in the child.
///
/// ```no_run
/// # use testkit::Again;
/// let this = Again::of("module::the_name_of_this_test");
/// if this.is_child() {
///     // what is to be killed
/// }
/// let mut child = this.command().spawn()?;
/// child.kill()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Again {
    test: &'static str,
}

impl Again {
    /// The test of this name, modules and all as `cargo test -- --list` shows it.
    #[must_use]
    pub fn of(test: &'static str) -> Self {
        Self { test }
    }

    /// Whether this is the child.
    #[must_use]
    pub fn is_child(self) -> bool {
        std::env::var(VARIABLE).is_ok_and(|test| test == self.test)
    }

    /// The command that runs the child; its output is not captured.
    ///
    /// # Panics
    /// Where the running executable is not known.
    #[must_use]
    pub fn command(self) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a running test has an executable"));
        command
            .args(["--exact", self.test, "--nocapture"])
            .env(VARIABLE, self.test);
        command
    }
}
