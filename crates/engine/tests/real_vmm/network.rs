//! A guest on its network.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::thread::{self, JoinHandle};

use api::{CreateVm, NetworkMode};
use engine::{Engine, Subnet};
use guest::frames::Exit;
use nix::ifaddrs::getifaddrs;

use crate::host::{Host, Vmm, delete, output, run};

/// An address of this host that a guest can reach: not the loopback's, nor the guest's own, which a host that is a VM of
/// banger's has, too.
fn own_address() -> Ipv4Addr {
    let guest = net::user_plan().address;
    getifaddrs()
        .unwrap()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|address| !address.is_loopback() && !address.is_link_local() && *address != guest)
        .expect("needs an address besides the loopback's and the guests'")
}

/// A service on this host that guests may be let reach: answers one of them.
pub struct Service {
    address: SocketAddrV4,
    answering: JoinHandle<String>,
}

impl Service {
    pub fn new() -> Self {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!("it was bound to an IPv4 address");
        };
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            stream.write_all(b"from the host\n").unwrap();
            line
        });
        Self { address, answering }
    }

    /// What a host opens to its guests for it.
    pub fn subnet(&self) -> Subnet {
        Subnet::of((*self.address.ip()).into(), 32).unwrap()
    }

    pub async fn answer_a_guest(self, engine: &Engine) {
        let (address, port) = (self.address.ip(), self.address.port());
        let talk =
            format!("exec bash -c 'exec 3<>/dev/tcp/{address}/{port} && echo from the guest >&3 && cat <&3'");
        assert_eq!(
            output(engine, &talk).await,
            ("from the host\n".into(), Exit::Code(0))
        );
        assert_eq!(self.answering.join().unwrap(), "from the guest\n");
    }
}

pub fn a_guest_reaches_what_is_open_to_it(vmm: Vmm) {
    let (mut host, service) = (Host::new(vmm), Service::new());
    host.open = vec![service.subnet()];
    host.daemon(async |engine| {
        let leaks = host.leaks();
        let request = CreateVm {
            network: Some(NetworkMode::User),
            ..CreateVm::default()
        };
        run(engine, request).await;
        service.answer_a_guest(engine).await;
        delete(engine).await;
        leaks.assert_none_since().await;
    });
}
