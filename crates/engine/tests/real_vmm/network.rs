//! A guest on its network.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use api::{CreateVm, NetworkMode};
use engine::Subnet;
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

pub fn a_guest_reaches_what_is_open_to_it(vmm: Vmm) {
    let address = own_address();
    let mut host = Host::new(vmm);
    host.open = vec![Subnet::of(address, 32).unwrap()];
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut line)
            .unwrap();
        stream.write_all(b"from the host\n").unwrap();
        line
    });
    host.daemon(async |engine| {
        let leaks = host.leaks();
        let request = CreateVm {
            network: Some(NetworkMode::User),
            ..CreateVm::default()
        };
        run(engine, request).await;
        let talk =
            format!("exec bash -c 'exec 3<>/dev/tcp/{address}/{port} && echo from the guest >&3 && cat <&3'");
        assert_eq!(
            output(engine, &talk).await,
            ("from the host\n".into(), Exit::Code(0))
        );
        delete(engine).await;
        leaks.assert_none_since().await;
    });
    assert_eq!(answering.join().unwrap(), "from the guest\n");
}
