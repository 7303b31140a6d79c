//! A shell through a pseudo-terminal.

use std::fs::File;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Home;
use crate::home::read_until;

#[test]
fn a_shell_has_a_terminal_with_its_size_and_its_signals() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let side = || Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
    let resize = |ws_row, ws_col| {
        tcsetwinsize(
            &user,
            Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
    };
    resize(33, 77);
    let banger = home.command(&["vm", "shell", "a"]);
    // `setsid` makes the session and takes the terminal before it becomes banger.
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .arg(banger.get_program())
        .args(banger.get_args())
        .env_clear();
    command.envs(banger.get_envs().map(|(name, value)| (name, value.unwrap())));
    let mut client = command
        .stdin(side())
        .stdout(side())
        .stderr(side())
        .spawn()
        .unwrap();

    let mut screen = File::from(user.try_clone().unwrap());
    let type_line = |line: &str| rustix::io::write(&user, line.as_bytes()).map(drop).unwrap();
    read_until(&mut screen, "# ");
    type_line("stty size; tty\n");
    read_until(&mut screen, "33 77");
    read_until(&mut screen, "/dev/pts/");
    resize(40, 100);
    type_line("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo resi''zed\n");
    read_until(&mut screen, "resized");
    type_line("sleep 4321; echo interrup''ted $?\n");
    read_until(&mut screen, "4321");
    let mut sleeps = || home.run(&["vm", "exec", "a", "--", "pgrep", "-x", "sleep"]).code == Some(0);
    crate::home::wait_for("the sleep", &mut sleeps);
    type_line("\x03");
    crate::home::wait_for("its end", || !sleeps());
    type_line("exit\n");
    assert_eq!(client.wait().unwrap().code(), Some(0));
    home.succeeds(&["vm", "delete", "a"]);
}
