//! `banger vm forward`: ports of a guest that is this host.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use api::VmState;
use nix::sys::signal::Signal;

use crate::support::{Client, FakeDaemon, vm};

/// The first line says what is bound.
fn endpoint(client: &mut Client) -> SocketAddr {
    let line = client.read_out_until("\n");
    let host = line.split_once("->").unwrap().0;
    host.replace("localhost", "127.0.0.1").parse().unwrap()
}

fn server() -> (TcpListener, u16) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    (server, port)
}

#[test]
fn a_port_of_the_guest_is_reached_until_ctrl_c() {
    let daemon = FakeDaemon::with_box();
    let (server, port) = server();
    let mut client = daemon.start(&["vm", "forward", "box", &format!("0:{port}")]);
    let bound = endpoint(&mut client);
    assert_eq!(bound.ip(), Ipv4Addr::LOCALHOST);
    for _ in 0..2 {
        let mut near = TcpStream::connect(bound).unwrap();
        let mut far = server.accept().unwrap().0;
        let sent = vec![9; 1 << 20];
        let echo = std::thread::spawn(move || {
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).unwrap();
            far.write_all(&heard).unwrap();
        });
        near.write_all(&sent).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).unwrap();
        assert!(heard == sent, "{} bytes", heard.len());
        echo.join().unwrap();
    }
    client.signal(Signal::SIGINT);
    let finished = client.finish();
    assert_eq!((finished.code, finished.err.as_str()), (128 + 2, ""));
    assert!(TcpStream::connect(bound).is_err());
}

#[test]
fn datagrams_of_each_peer_come_back_to_it() {
    let daemon = FakeDaemon::with_box();
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut client = daemon.start(&["vm", "forward", "box", &format!("0:{port}/udp")]);
    let bound = endpoint(&mut client);
    let peers = [0, 1].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let mut buffer = [0; 100];
    for peer in &peers {
        peer.send_to(&peer.local_addr().unwrap().port().to_be_bytes(), bound)
            .unwrap();
    }
    for _ in &peers {
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], from).unwrap();
    }
    for peer in &peers {
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(from, bound);
        assert_eq!(buffer[..length], peer.local_addr().unwrap().port().to_be_bytes());
    }
    client.signal(Signal::SIGTERM);
    assert_eq!(client.finish().code, 128 + 15);
}

#[test]
fn a_port_that_nothing_listens_on_resets_the_connection_and_is_said_once() {
    let daemon = FakeDaemon::with_box();
    let (server, port) = server();
    drop(server);
    let mut client = daemon.start(&["vm", "forward", "box", &format!("0:{port}")]);
    let bound = endpoint(&mut client);
    for _ in 0..3 {
        let mut near = TcpStream::connect(bound).unwrap();
        assert!(near.read(&mut [0]).is_err(), "reset");
    }
    client.signal(Signal::SIGINT);
    let said = client.finish().err;
    assert_eq!(
        said,
        format!("banger: warning: nothing listens on port {port} in the guest\n")
    );
}

#[test]
fn a_taken_port_is_refused_before_anything_is_bound() {
    let daemon = FakeDaemon::with_box();
    let (_server, port) = server();
    let finished = daemon.run(&["vm", "forward", "box", "0:80", &format!("{port}:80")]);
    assert_eq!((finished.code, finished.out.as_str()), (1, ""));
    assert_eq!(
        finished.err,
        format!(
            "banger: cannot forward port {port}: it is taken on this host\n\
             hint: choose another, for example {}:80\n",
            port + 1
        )
    );
}

#[test]
fn a_vm_that_stops_ends_it_and_one_that_is_off_is_refused() {
    let daemon = FakeDaemon::with(vec![
        vm("box", 'b', VmState::Running),
        vm("off", 'c', VmState::Stopped),
    ]);
    let refused = daemon.run(&["vm", "forward", "off", "0:80"]);
    insta::assert_snapshot!(refused.screen());
    let mut client = daemon.start(&["vm", "forward", "box", "0:80"]);
    let bound = endpoint(&mut client);
    daemon.kill_machine("box");
    let _near = TcpStream::connect(bound).unwrap();
    let finished = client.finish();
    assert_eq!(finished.code, 1);
    insta::assert_snapshot!("forward_of_a_vm_that_stopped", finished.err);
}

#[test]
fn json_tells_the_real_ports() {
    let daemon = FakeDaemon::with_box();
    let mut client = daemon.start(&["vm", "forward", "box", "0:80", "--json"]);
    let ports: Vec<api::PortForward> = serde_json::from_str(&client.read_out_until("]\n")).unwrap();
    assert_eq!((ports.len(), ports[0].guest), (1, 80));
    assert!(TcpStream::connect(ports[0].reachable()).is_ok());
    client.signal(Signal::SIGINT);
    client.finish();
}

#[test]
fn published_ports_are_said_listed_and_shown() {
    let daemon = FakeDaemon::with(Vec::new());
    let made = daemon.run(&[
        "vm",
        "create",
        "--name",
        "web",
        "--publish",
        "8080:80",
        "--publish",
        "0.0.0.0:53:53/udp",
    ]);
    assert_eq!((made.code, made.out.as_str()), (0, "web\n"));
    assert!(made.err.contains("localhost:8080->80/tcp"), "{}", made.err);
    let listed = daemon.run(&["ps"]).out;
    assert!(listed.contains(" localhost:8080 +1 "), "{listed}");
    let shown = daemon.run(&["vm", "show", "web"]).out;
    assert!(
        shown.contains("localhost:8080->80/tcp, 0.0.0.0:53->53/udp\n"),
        "{shown}"
    );
}
