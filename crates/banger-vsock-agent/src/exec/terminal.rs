//! The pseudo-terminal of a command.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use guest::WindowSize;
use rustix::fs::{Gid, Uid, fchown};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

/// Both ends of a new terminal.
pub(super) struct Terminal {
    /// The agent's end.
    pub(super) ours: OwnedFd,
    /// The command's end.
    pub(super) theirs: OwnedFd,
}

/// Opens a terminal of this size that belongs to the user.
pub(super) fn open(size: WindowSize, owner: Option<u32>) -> io::Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    unlockpt(&ours)?;
    // Not by its name: /dev/pts may be another than the one that /dev/ptmx opened.
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    resize(&ours, size)?;
    let mut modes = tcgetattr(&theirs)?;
    // Backspace over a character, not over a byte of it.
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    if let Some(uid) = owner {
        fchown(&theirs, Some(Uid::from_raw(uid)), None::<Gid>)?;
    }
    Ok(Terminal { ours, theirs })
}

/// Gives the terminal a size; the kernel tells its foreground processes.
pub(super) fn resize(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// What to write for end-of-file, after input whose last byte was `last`. A program that reads raw bytes is not
/// given any: there they would be input.
pub(super) fn end_of_file(terminal: impl AsFd, last: Option<u8>) -> Vec<u8> {
    let Ok(modes) = tcgetattr(terminal) else {
        return Vec::new();
    };
    if !modes.local_modes.contains(LocalModes::ICANON) {
        return Vec::new();
    }
    let end = modes.special_codes[SpecialCodeIndex::VEOF];
    // The first one after a line without its end only hands over that line.
    let unfinished = last.is_some_and(|byte| byte != b'\n' && byte != b'\r');
    vec![end; if unfinished { 2 } else { 1 }]
}
