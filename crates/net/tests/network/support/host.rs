//! A network namespace that stands for a host, with a resolver of its own in `/etc/resolv.conf`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::apart::is_root_of_the_machine;

/// The host's address on its only network.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// An address that is neither the host's nor on a network of its.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// Runs `test` on a thread that lives on a host of its own, as do the processes that it starts.
///
/// Making one takes root. Another user gets it in a user namespace, in a second run of this test.
pub fn on_a_host<F: Future<Output = ()>>(resolver: Ipv4Addr, test: impl FnOnce() -> F + Send + 'static) {
    let name = thread::current()
        .name()
        .expect("a test's thread has its name")
        .to_owned();
    if !rustix::process::geteuid().is_root() {
        let mut again = Command::new("unshare");
        again
            .args(["--user", "--map-root-user"])
            .arg(std::env::current_exe().unwrap());
        assert!(
            again
                .args(["--exact", &name, "--include-ignored"])
                .status()
                .unwrap()
                .success()
        );
        return;
    }
    let on_host = move || {
        enter(resolver);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    };
    let joined = thread::Builder::new().name(name).spawn(on_host).unwrap().join();
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn enter(resolver: Ipv4Addr) {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("needs root or user namespaces");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("nameserver {resolver}\n")).unwrap();
    // passt reads it after it has become nobody.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    mount(
        Some(file.path()),
        "/etc/resolv.conf",
        none,
        MsFlags::MS_BIND,
        none,
    )
    .unwrap();
    ip("link set lo up");
    open_tun();
    // A bridge without ports has an address that is not on the loopback, all by itself.
    ip("link add out type bridge");
    ip(&format!("address add {ADDRESS}/24 dev out"));
    ip("link set out up");
}

/// Lets every user use `/dev/net/tun`, as hosts do. Only root can change that; others need such a host.
fn open_tun() {
    if !is_root_of_the_machine() {
        return;
    }
    let (none, device) = (None::<&str>, "/dev/net/tun");
    mount(none, "/dev/net", Some("tmpfs"), MsFlags::empty(), none).expect("needs /dev/net/tun");
    mknod(device, SFlag::S_IFCHR, Mode::empty(), makedev(10, 200)).unwrap();
    fs::set_permissions(device, fs::Permissions::from_mode(0o666)).unwrap();
}

/// Runs `make` on the other side of the host's only network, where `INTERNET` is; what it makes stays there.
pub fn in_the_internet<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> T {
    let (ready, wait) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let there = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ready.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
        gone.recv().unwrap();
        ip("link set lo up");
        ip("address add 198.51.100.254/24 dev in0");
        ip(&format!("address add {INTERNET}/32 dev in0"));
        ip("link set in0 up");
        make()
    });
    let thread = wait.recv().unwrap();
    ip("link add up0 type veth peer name in0");
    ip(&format!("link set in0 netns {thread}"));
    ip("link set up0 master out up");
    ip(&format!("route add {INTERNET}/32 via 198.51.100.254"));
    go.send(()).unwrap();
    there.join().unwrap()
}

/// What `ip` says in the namespace of this thread.
pub fn ip_says(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `ip` in the namespace of this thread.
pub fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("needs iproute2");
    assert!(status.success(), "ip {arguments}");
}
