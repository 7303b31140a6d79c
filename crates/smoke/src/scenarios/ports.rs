//! Ports of guests.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::Value;

use crate::home::read_until;
use crate::{Home, Scenario};

pub(super) const FORWARD: Scenario = Scenario {
    name: "forward",
    shows: "vm ports finds a server on the guest's loopback, --publish and vm forward reach it, without a network device",
    uses: &[
        "vm run -d --network --publish",
        "vm ports --json",
        "vm forward --json",
        "vm delete",
    ],
    fast: false,
    alone_with: &[],
    run: forward,
};

/// A server of `perl-base`, which each Debian has; it answers each connection with a line.
const SERVER: &str = "use IO::Socket::INET; \
     my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1:8080') or die; \
     fork and exit; open STDOUT, '>/dev/null'; open STDERR, '>/dev/null'; \
     while (my $c = $s->accept) { print $c \"from the guest\\n\"; close $c }";

fn answer(server: SocketAddr) -> String {
    let mut answer = String::new();
    let mut connection = TcpStream::connect(server).unwrap();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn forward(home: &Home) {
    home.succeeds(&[
        "vm",
        "run",
        "-d",
        "--network",
        "none",
        "--publish",
        "0:8080",
        "--name",
        "box",
    ]);
    home.succeeds(&["vm", "exec", "box", "--", "perl", "-e", SERVER]);
    let listed = home.succeeds(&["vm", "ports", "box", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed.as_array().unwrap();
    let server = listed.iter().find(|one| one["port"] == 8080).unwrap();
    let published = server["endpoint"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer(published), "from the guest\n");
    let mut forward = home.start(&["vm", "forward", "box", "0:8080", "--json"]);
    let ports: Value = serde_json::from_str(&read_until(forward.out(), "\n]\n")).unwrap();
    let port = u16::try_from(ports[0]["host"].as_u64().unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(answer((Ipv4Addr::LOCALHOST, port).into()), "from the guest\n");
    }
    drop(forward);
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "it ends with its command"
    );
    home.succeeds(&["vm", "delete", "box"]);
    assert!(
        TcpStream::connect(published).is_err(),
        "a published port goes with its VM"
    );
}
