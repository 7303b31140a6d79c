//! What can fail between the kernel's hand-over and the image's init.

use std::io;
use std::time::Duration;

/// Why a machine did not come up. Ends as one line on its console.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `/proc/cmdline` cannot be read.
    #[error("cannot read the kernel's command line")]
    CommandLine(#[source] io::Error),
    /// A parameter of ours that means nothing.
    #[error("bad kernel parameter `{parameter}`: {problem}")]
    Parameter {
        /// The parameter as it was given.
        parameter: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file system cannot be mounted.
    #[error("cannot mount {what}")]
    Mount {
        /// Which, and from where.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The initramfs's module folder cannot be read.
    #[error("cannot list {folder}")]
    Modules {
        /// The folder.
        folder: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file among the modules that is none.
    #[error("`{file}` among the modules is not named NN-name.ko")]
    ModuleName {
        /// The file's name.
        file: String,
    },
    /// The kernel refused a module.
    #[error("cannot load the module {name}{}", missing(.symbol.as_deref()))]
    Module {
        /// The module.
        name: String,
        /// The symbol that no module loaded before it brings, where that is the reason.
        symbol: Option<String>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A disk did not appear.
    #[error("{what} {device} did not appear within {waited:?}")]
    Disk {
        /// What the disk holds.
        what: &'static str,
        /// The device's path.
        device: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A file or folder cannot be made, opened or read.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The image's initrd cannot take over.
    #[error("cannot execute /init of the image's initrd")]
    Initrd(#[source] io::Error),
    /// The new root cannot be entered.
    #[error("cannot make the overlay the root ({step})")]
    Switch {
        /// The step that failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The agent cannot be started.
    #[error("cannot start the agent ({step})")]
    Agent {
        /// The step that failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// PID 1 cannot wait for signals.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
}

fn missing(symbol: Option<&str>) -> String {
    symbol
        .map(|symbol| format!(": nothing loaded before it has `{symbol}`"))
        .unwrap_or_default()
}

/// One line: the failure and its causes.
pub(super) fn line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    // Parameters and file names come from outside: no control character reaches the console.
    line.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_cause() {
        let error = InitError::Mount {
            what: "the image /dev/vda".to_owned(),
            source: io::Error::from_raw_os_error(2),
        };
        assert_eq!(
            line(&error),
            "cannot mount the image /dev/vda: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_module_that_lacks_a_symbol_says_which() {
        let error = InitError::Module {
            name: "virtio".to_owned(),
            symbol: Some("vring_new".to_owned()),
            source: io::Error::from_raw_os_error(2),
        };
        let line = line(&error);
        assert!(
            line.contains("virtio: nothing loaded before it has `vring_new`"),
            "{line}"
        );
    }

    #[test]
    fn a_failure_stays_on_its_line_whatever_was_in_a_name() {
        let error = InitError::ModuleName {
            file: "a\n\u{1b}[2Jb".to_owned(),
        };
        assert_eq!(
            line(&error),
            "`a??[2Jb` among the modules is not named NN-name.ko"
        );
    }
}
