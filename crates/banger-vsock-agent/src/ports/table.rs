//! `/proc/net/{tcp,tcp6,udp,udp6}` (proc_pid_net(5)): a line a socket, addresses in hex.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use guest::Protocol;

/// Most bytes read of a table: some hundred thousand sockets.
const MAX_TABLE: u64 = 32 << 20;

/// Most sockets that listen, of each table; they come in no order, and beyond it nobody is interested.
const MAX_SOCKETS: usize = 4096;

/// State of a TCP socket that listens (`TCP_LISTEN`).
const LISTENS: &str = "0A";

/// State of a UDP socket that is not connected (`TCP_CLOSE`).
const UNCONNECTED: &str = "07";

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) protocol: Protocol,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) inode: u64,
}

/// All sockets that listen. A table that cannot be read has none.
pub(super) fn read(proc: &Path) -> Vec<Socket> {
    let tables = [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ];
    let mut sockets = Vec::new();
    for (name, protocol) in tables {
        let Ok(file) = File::open(proc.join("net").join(name)) else {
            continue;
        };
        let lines = BufReader::new(file.take(MAX_TABLE)).lines().map_while(Result::ok);
        sockets.extend(lines.filter_map(|line| parse(&line, protocol)).take(MAX_SOCKETS));
    }
    sockets
}

/// A line, if it is of a socket that listens.
fn parse(line: &str, protocol: Protocol) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1)?;
    let (_remote, state) = (words.next()?, words.next()?);
    let wanted = match protocol {
        Protocol::Tcp => LISTENS,
        Protocol::Udp => UNCONNECTED,
    };
    if state != wanted {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    Some(Socket {
        protocol,
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok().filter(|port| *port != 0)?,
        inode,
    })
}

/// Words of 32 bits, each as the machine has it in memory.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        let word = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_others() {
        for (line, protocol, socket) in [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0",
                Protocol::Tcp,
                Some(("127.0.0.1", 8080, 4711)),
            ),
            (
                "  12: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 99 1 0 100 0 0 10 0",
                Protocol::Tcp,
                Some(("::1", 22, 99)),
            ),
            (
                "  52: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0 0",
                Protocol::Udp,
                Some(("0.0.0.0", 68, 12)),
            ),
            (
                "   1: 0100007F:1F90 0100007F:ABCD 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1",
                Protocol::Tcp,
                None,
            ),
            (
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
                Protocol::Tcp,
                None,
            ),
        ] {
            let socket = socket.map(|(address, port, inode)| Socket {
                protocol,
                address: address.parse().unwrap(),
                port,
                inode,
            });
            assert_eq!(parse(line, protocol), socket, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(
            line in ".{0,80}",
            local in "[0-9A-Fé]{0,33}:?[0-9A-F]{0,5}",
            inode in "[0-9-]{0,22}",
        ) {
            let _ = parse(&line, Protocol::Tcp);
            let _ = parse(&format!("0: {local} 0:0 0A 0:0 0:0 0 0 0 {inode}"), Protocol::Tcp);
            let _ = parse_address(&local);
        }
    }
}
