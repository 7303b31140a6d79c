//! A guest whose TCP is the kernel's, in a network namespace of its own, behind a wire that the test slows down or breaks.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::guest::{Guest, MAC};
use super::host::ip;
use super::vmm::attach;

/// Runs `work` in such a guest. `wire` gets each frame to the guest, may block, and returns `false` to lose the frame.
pub fn in_a_guest<T: Send>(
    mut card: Guest,
    mut wire: impl FnMut(&[u8]) -> bool,
    work: impl FnOnce() -> T + Send,
) -> T {
    thread::scope(|scope| {
        let (ready, wait) = mpsc::channel();
        let worker = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let tap = tap("eth0");
            ip("link set lo up");
            let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
            let (plan, mtu) = (net::user_plan(), net::user_plan().mtu);
            ip(&format!("link set eth0 address {mac} mtu {mtu} up"));
            ip(&format!("address add {}/24 dev eth0", plan.address));
            ip(&format!("route add default via {}", plan.gateway));
            ready.send(tap).unwrap();
            work()
        });
        let mut tap = wait.recv().unwrap();
        let mut buffer = vec![0; 1 << 17];
        while !worker.is_finished() {
            let moment = Timespec::try_from(Duration::from_millis(20)).unwrap();
            let mut watched = [card.watched(), PollFd::new(&tap, PollFlags::IN)];
            poll(&mut watched, Some(&moment)).unwrap();
            let [from_card, from_guest] = watched.map(|watched| !watched.revents().is_empty());
            if from_card {
                let frame = card.receive();
                if wire(&frame) {
                    assert_eq!(tap.write(&frame).unwrap(), frame.len());
                }
            }
            if from_guest {
                match tap.read(&mut buffer) {
                    Ok(length) => card.send(&buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        worker.join().unwrap()
    })
}

fn tap(name: &str) -> File {
    let tap = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .unwrap();
    attach(&tap, name);
    tap
}
