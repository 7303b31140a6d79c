//! A terminal with `banger` on it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::client::read_until;
use super::{Client, FakeDaemon};

/// The user's side of a pseudo-terminal.
pub struct Terminal {
    user: File,
    /// The program's side, kept open so that its modes can be looked at.
    program: OwnedFd,
}

impl Terminal {
    /// A terminal of 24 rows and 80 columns.
    pub fn open() -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let program = rustix::fs::open(
            &name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();
        let terminal = Self {
            user: user.into(),
            program,
        };
        terminal.resize(24, 80);
        terminal
    }

    /// Runs `banger` on it, in a session that this terminal controls, as a terminal emulator does.
    pub fn run(&self, daemon: &FakeDaemon, arguments: &[&str]) -> Client {
        self.run_with(daemon, arguments, &[])
    }

    /// The same, with these variables too.
    pub fn run_with(&self, daemon: &FakeDaemon, arguments: &[&str], variables: &[(&str, &str)]) -> Client {
        let mut banger = daemon.command(arguments);
        banger.envs(variables.iter().copied());
        let side = || Stdio::from(self.program.try_clone().unwrap());
        // `setsid` makes the session and takes the terminal before it becomes banger.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(banger.get_program())
            .args(banger.get_args())
            .env_clear();
        for (name, value) in banger.get_envs() {
            command.env(name, value.unwrap());
        }
        Client::of(command.stdin(side()).stdout(side()).stderr(side()))
    }

    pub fn type_keys(&mut self, keys: &[u8]) {
        std::io::Write::write_all(&mut self.user, keys).unwrap();
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.user, size).unwrap();
    }

    /// What is on the screen up to a text.
    pub fn read_until(&mut self, text: &str) -> String {
        read_until(&mut self.user, text)
    }

    /// All its modes.
    pub fn modes(&self) -> String {
        format!("{:?}", tcgetattr(&self.program).unwrap())
    }
}
