//! A network namespace that stands for a host, with a resolver of its own in `/etc/resolv.conf`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The host's address on its only network.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

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
    // A bridge without ports has an address that is not on the loopback, all by itself.
    ip("link add out type bridge");
    ip(&format!("address add {ADDRESS}/24 dev out"));
    ip("link set out up");
}

/// Runs `ip` in the namespace of this thread.
pub fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("needs iproute2");
    assert!(status.success(), "ip {arguments}");
}
