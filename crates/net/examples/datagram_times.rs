//! For `make bench`: how long a guest's datagrams take to a host and back, without a guest: its frames are made here.
//!
//! `PASST EXCHANGES` prints the microseconds of each way, a line per way: `NAME ROUND-TRIPS WINDOWED`. Round trips are one
//! after the other; of the windowed ones several are under way. The ways are two sockets of the host's, the network as a VM
//! has it, and passt by itself as it was used before.
#![expect(clippy::unwrap_used, reason = "a measurement ends at what fails")]
#![expect(clippy::print_stdout, reason = "what it has measured is what it prints")]

#[path = "../tests/network/support/guest.rs"]
#[expect(dead_code, reason = "the tests' guest can do more")]
mod guest;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use guest::Guest;
use net::{Binaries, Subnet, UserNetwork, start_user, stop, user_plan};
use process::Launch;

/// As much as fits into a packet of the internet's.
const PAYLOAD: [u8; 1400] = [7; 1400];
/// How many are under way.
const WINDOW: usize = 16;
/// After this a datagram is taken for lost, and sent once more.
const LOST: Duration = Duration::from_millis(200);
/// The guest's port.
const OWN: u16 = 20_000;

/// One end of a way to the host.
trait Way {
    fn send(&mut self, payload: &[u8]);
    /// Whether an answer came in time.
    fn receive(&mut self) -> bool;
}

impl Way for UdpSocket {
    fn send(&mut self, payload: &[u8]) {
        UdpSocket::send(self, payload).unwrap();
    }

    fn receive(&mut self) -> bool {
        self.recv(&mut [0; 2000]).is_ok()
    }
}

struct OfGuest {
    guest: Guest,
    to: Ipv4Addr,
    port: u16,
}

impl Way for OfGuest {
    fn send(&mut self, payload: &[u8]) {
        self.guest.send_datagram_from(OWN, self.to, self.port, payload);
    }

    fn receive(&mut self) -> bool {
        self.guest.next_of(self.to, OWN).is_some()
    }
}

fn main() -> ExitCode {
    if let Some(code) = net::serve_network_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [passt, exchanges] = &arguments[..] else {
        eprintln!("datagram_times: PASST EXCHANGES");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(Path::new(passt), exchanges.parse().unwrap()));
    ExitCode::SUCCESS
}

async fn measure(passt: &Path, exchanges: usize) {
    let address = own_address();
    let port = answer_all(address);
    let folder = tempfile::tempdir().unwrap();

    let mut plain = UdpSocket::bind((address, 0)).unwrap();
    plain.set_read_timeout(Some(LOST)).unwrap();
    plain.connect((address, port)).unwrap();
    tell("sockets", &mut plain, exchanges);

    let open = Subnet::of(address.into(), 32).unwrap();
    let network = start_user(folder.path(), Binaries { passt, own: None }, &[open], None)
        .await
        .unwrap();
    tell("relay", &mut of_guest(network, address, port), exchanges);
    stop(folder.path()).await.unwrap();

    let (socket, passts) = UnixStream::pair().unwrap();
    let mut launch = Launch::unrecorded(passt, folder.path());
    let number = launch.pass(passts.into());
    let plan = user_plan();
    launch
        .arguments(["--fd", &number.to_string(), "--mtu", &plan.mtu.to_string()])
        .arguments(["--address", &plan.address.to_string()])
        .arguments(["--gateway", &plan.gateway.to_string()])
        .arguments(["--netmask", &plan.prefix.to_string()])
        .arguments(["--mac-addr", "52:55:0a:00:02:02", "--interface", "lo"])
        .arguments(["--foreground", "--ipv4-only", "--no-map-gw", "--no-dhcp"])
        .arguments(["--tcp-ports", "none", "--udp-ports", "none"]);
    let _passt = launch.start().await.unwrap();
    let network = UserNetwork {
        socket: socket.into(),
    };
    tell("passt", &mut of_guest(network, address, port), exchanges);
}

fn of_guest(network: UserNetwork, to: Ipv4Addr, port: u16) -> OfGuest {
    OfGuest {
        guest: Guest::new(network),
        to,
        port,
    }
}

/// An address of this host that is not the loopback's, which no guest reaches.
fn own_address() -> Ipv4Addr {
    nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|address| !address.is_loopback() && !address.is_link_local())
        .expect("needs an address besides the loopback's")
}

/// Answers all datagrams with themselves, until this process ends; gives the port.
fn answer_all(address: Ipv4Addr) -> u16 {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut received = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut received) {
            let _ = socket.send_to(&received[..length], from);
        }
    });
    port
}

fn tell(name: &str, way: &mut impl Way, exchanges: usize) {
    // The first opens what there is to open.
    take(way, 10, 1);
    let (single, windowed) = (take(way, exchanges, 1), take(way, exchanges, WINDOW));
    println!("{name} {} {}", single.as_micros(), windowed.as_micros());
}

/// Makes so many exchanges, of which so many are under way at once.
fn take(way: &mut impl Way, exchanges: usize, window: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..window {
        way.send(&PAYLOAD);
    }
    for number in 0..exchanges {
        while !way.receive() {
            way.send(&PAYLOAD);
        }
        if number + window < exchanges {
            way.send(&PAYLOAD);
        }
    }
    start.elapsed()
}
