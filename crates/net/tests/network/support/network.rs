//! Networks of user mode for tests, and what a guest on one can do.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use net::{Binaries, HostIpv6, NetError, Subnet, UserNetwork, find_passt};
use process::{Handle, Identity, read_record};

use super::guest::{Answer, Guest};
use super::host::ADDRESS;

/// As where systemd-resolved runs.
pub const LOCAL_RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
pub const GREETING: &[u8] = b"how do you do";

/// passt of this host.
fn passt() -> PathBuf {
    find_passt(None).expect("needs passt: apt-get install passt")
}

/// passt of this host, and of each Debian release that is supported.
pub fn every_passt() -> Vec<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/tools/passt");
    let of_release = |release| fetched.join(release).join("passt");
    let all = vec![passt(), of_release("bookworm"), of_release("trixie")];
    for passt in &all {
        assert!(
            passt.exists(),
            "needs {}: run scripts/setup test",
            passt.display()
        );
    }
    all
}

/// The processes that `folder` tells of: passt, the relay, and the filter before them.
pub fn recorded(folder: &Path) -> Vec<Identity> {
    let records = ["passt.json", "relay.json", "frame-filter.json"]
        .map(|name| read_record(&folder.join(name)).unwrap());
    records.into_iter().flatten().collect()
}

pub fn listen(address: Ipv4Addr) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub fn running(folder: &Path) -> Vec<Handle> {
    recorded(folder)
        .into_iter()
        .map(|identity| identity.open().expect("it runs"))
        .collect()
}

/// Whether somebody has connected; does not wait for it.
pub fn has_a_client(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    match listener.accept() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Has the guest reach what it may reach.
pub fn reach_the_host(guest: &mut Guest) {
    let (listener, port) = listen(ADDRESS);
    let own = guest.connect(ADDRESS, port);
    assert_eq!(guest.wait_for(ADDRESS, own), Answer::Accepted);
    assert!(has_a_client(&listener));

    let socket = bind(ADDRESS, 0);
    let own = guest.send_datagram(ADDRESS, socket.local_addr().unwrap().port(), GREETING);
    answer_in_capitals(&socket);
    assert_eq!(
        guest.wait_for(ADDRESS, own),
        Answer::Datagram(GREETING.to_ascii_uppercase())
    );
}

pub fn answer_in_capitals(socket: &UdpSocket) {
    let mut received = [0; 100];
    let (length, from) = socket.recv_from(&mut received).unwrap();
    socket
        .send_to(&received[..length].to_ascii_uppercase(), from)
        .unwrap();
}

pub fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap().trim().to_owned()
}

/// A network on which a guest may reach the host by its address: it is the only one that there is.
pub async fn start(folder: &Path) -> Result<UserNetwork, NetError> {
    start_open_to(folder, &[Subnet::of(ADDRESS.into(), 32).unwrap()]).await
}

/// A network on which these are open to a guest.
pub async fn start_open_to(folder: &Path, open: &[Subnet]) -> Result<UserNetwork, NetError> {
    start_with(folder, &passt(), open).await
}

/// One of another passt.
pub async fn start_with(folder: &Path, passt: &Path, open: &[Subnet]) -> Result<UserNetwork, NetError> {
    start_with_ipv6(folder, passt, open, None).await
}

/// One with IPv6, if there is any.
pub async fn start_with_ipv6(
    folder: &Path,
    passt: &Path,
    open: &[Subnet],
    ipv6: Option<&HostIpv6>,
) -> Result<UserNetwork, NetError> {
    let own = Some(Path::new(env!("CARGO_BIN_EXE_net-program")));
    net::start_user(folder, Binaries { passt, own }, open, ipv6).await
}

/// A socket for datagrams, of any port where none is named.
pub fn bind(address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}
