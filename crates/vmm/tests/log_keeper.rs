//! The process that keeps the logs, by itself: what it keeps, that it never makes a VMM wait, and when it ends.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs::{self, File};
use std::io::{self, IoSlice, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

const LIMIT: usize = 1 << 20;

/// A keeper, and the daemon's end of its socket.
struct Keeper {
    child: Child,
    socket: OwnedFd,
}

impl Keeper {
    fn new() -> Self {
        let (socket, end) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vm-log-keeper"))
            .args(["banger-vm-logs", "/"])
            .stdin(Stdio::null())
            .stdout(end)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    fn send(&self, name: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        assert!(rights.push(SendAncillaryMessage::ScmRights(descriptors)));
        sendmsg(
            &self.socket,
            &[IoSlice::new(name)],
            &mut rights,
            SendFlags::NOSIGNAL,
        )
        .unwrap();
    }

    /// Has the logs in `folder` kept. Gives the console's pipe, and what the keeper says to it.
    fn keep(&self, folder: &Path) -> (PipeWriter, String) {
        let name = folder.strip_prefix("/").unwrap().as_os_str().as_bytes();
        let (mut answer, answer_end) = io::pipe().unwrap();
        let (console_end, console) = io::pipe().unwrap();
        self.send(name, &[answer_end.as_fd(), console_end.as_fd()]);
        drop((answer_end, console_end));
        let mut said = String::new();
        answer.read_to_string(&mut said).unwrap();
        (console, said)
    }

    /// Lets it end as it does when the daemon is gone.
    fn ends(self) -> bool {
        let Self { mut child, socket } = self;
        drop(socket);
        child.wait().unwrap().success()
    }
}

fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|number| format!("line {number:09}\n").into_bytes())
        .collect()
}

/// Waits until the keeper has read all that was written for the machine of `folder`.
fn until_kept(folder: &Path) {
    flock(File::open(folder).unwrap(), FlockOperation::LockShared).unwrap();
}

#[test]
fn the_newest_part_is_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::new();
    // Of an earlier run of the machine.
    fs::write(folder.path().join("console.log.1"), "old").unwrap();
    for count in [1, 1000, 250_000] {
        let (mut console, said) = keeper.keep(folder.path());
        assert_eq!(said, "ready\n");
        let written = lines(count);
        console.write_all(&written).unwrap();
        drop(console);
        until_kept(folder.path());
        let kept = vmm::console_log(folder.path()).unwrap();
        assert!(written.ends_with(&kept), "{count}");
        assert!(
            kept.len() >= written.len().min(LIMIT) && kept.len() <= 2 * LIMIT,
            "{}",
            kept.len()
        );
    }
    assert!(keeper.ends());
}

#[test]
fn a_writer_never_waits_for_a_folder_that_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("vm");
    fs::create_dir(&folder).unwrap();
    let keeper = Keeper::new();
    let (mut console, _) = keeper.keep(&folder);
    fs::remove_dir_all(&folder).unwrap();
    console.write_all(&lines(250_000)).unwrap();
    drop(console);
    assert!(keeper.ends());
}

#[test]
fn one_keeper_has_many_machines_and_outlives_its_daemon_until_the_last_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let Keeper { mut child, socket } = {
        let keeper = Keeper::new();
        let machines: Vec<_> = (0..200)
            .map(|number| {
                let folder = root.path().join(number.to_string());
                fs::create_dir(&folder).unwrap();
                let (console, said) = keeper.keep(&folder);
                assert_eq!(said, "ready\n");
                (folder, console)
            })
            .collect();
        drop(keeper.socket);
        for (folder, mut console) in machines {
            console.write_all(folder.as_os_str().as_encoded_bytes()).unwrap();
            drop(console);
            until_kept(&folder);
            let kept = vmm::console_log(&folder).unwrap();
            assert_eq!(kept, folder.as_os_str().as_encoded_bytes());
        }
        Keeper {
            child: keeper.child,
            socket: File::open("/dev/null").unwrap().into(),
        }
    };
    drop(socket);
    assert!(child.wait().unwrap().success());
}

#[test]
fn logs_that_cannot_be_kept_are_told_and_the_others_go_on() {
    let root = tempfile::tempdir().unwrap();
    let keeper = Keeper::new();
    let (_console, said) = keeper.keep(Path::new("/proc/self"));
    assert!(!said.is_empty() && said != "ready\n", "{said}");
    // A name, and nothing to keep.
    keeper.send(b"tmp", &[]);
    let (_console, said) = keeper.keep(root.path());
    assert_eq!(said, "ready\n");
    drop(_console);
    assert!(keeper.ends());
}

#[test]
fn a_program_that_was_not_asked_to_keep_logs_goes_its_own_way() {
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_vm-log-keeper"));
    assert_eq!(keeper.status().unwrap().code(), Some(1));
    // Asked to, but not by a daemon.
    let without = keeper.arg("banger-vm-logs").stdout(Stdio::null()).status();
    assert_eq!(without.unwrap().code(), Some(1));
}
