//! The sockets of a host, as the kernel lists them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One of them (`/proc/net/udp` and its like).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    pub local: SocketAddrV4,
    pub peer: SocketAddrV4,
    pub is_connected: bool,
    pub inode: String,
}

/// All of a kind in the namespace of this thread: `udp`, `icmp`, `raw`, `udplite`.
pub fn sockets(kind: &str) -> Vec<Socket> {
    table(kind).map(|words| socket(&words)).collect()
}

/// Ports that connections are awaited at.
pub fn listening() -> Vec<u16> {
    let listening = table("tcp").chain(table("tcp6")).filter(|words| words[3] == "0A");
    listening
        .map(|words| u16::from_str_radix(words[1].rsplit(':').next().unwrap(), 16).unwrap())
        .collect()
}

fn table(kind: &str) -> impl Iterator<Item = Vec<String>> {
    // Some kinds come as modules that a host need not have.
    let text = fs::read_to_string(format!("/proc/thread-self/net/{kind}")).unwrap_or_default();
    let lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    lines
        .into_iter()
        .map(|line| line.split_ascii_whitespace().map(str::to_owned).collect())
}

fn socket(words: &[String]) -> Socket {
    Socket {
        local: address(&words[1]),
        peer: address(&words[2]),
        is_connected: words[3] == "01",
        inode: words[9].clone(),
    }
}

/// `0100007F:0035`: an address as it lies in memory, and a port.
fn address(text: &str) -> SocketAddrV4 {
    let (address, port) = text.split_once(':').unwrap();
    let address = u32::from_str_radix(address, 16).unwrap().to_ne_bytes();
    SocketAddrV4::new(Ipv4Addr::from(address), u16::from_str_radix(port, 16).unwrap())
}

/// Watches for sockets that take what anybody sends.
#[derive(Debug, Default)]
pub struct Watch {
    /// Those of the test.
    own: Vec<Socket>,
    suspects: Vec<Socket>,
}

impl Watch {
    /// What is there now is the test's own.
    pub fn start() -> Self {
        Self {
            own: Self::open(),
            suspects: Vec::new(),
        }
    }

    /// Looks once more. The kernel connects a socket a moment after it has given it a port: only what was there the last
    /// time too stays so.
    pub fn look(&mut self) {
        let open: Vec<_> = Self::open()
            .into_iter()
            .filter(|socket| !self.own.contains(socket))
            .collect();
        let staying: Vec<_> = open
            .iter()
            .filter(|socket| self.suspects.contains(socket))
            .collect();
        assert!(staying.is_empty(), "they take what anybody sends: {staying:?}");
        self.suspects = open;
    }

    /// Sockets that are not connected.
    fn open() -> Vec<Socket> {
        let all = ["udp", "icmp", "raw", "udplite"].into_iter().flat_map(sockets);
        all.filter(|socket| !socket.is_connected).collect()
    }
}
