//! Asks passt for the gateway's hardware address: once it answers, it runs behind its sandbox and forwards.
//!
//! The socket carries Ethernet frames, each after its length in 4 bytes, highest first.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::addresses::{GATEWAY, GUEST};

/// The asker's hardware address; the guest's own takes its place with its first frame.
const ASKER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0];
/// An Ethernet header and an ARP packet.
const ARP_FRAME: usize = 14 + 28;
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;

/// Waits for the answer, and gives the socket back as it was, blocking.
pub(crate) async fn until_it_answers(socket: UnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    let request = arp(REQUEST, [0xff; 6], ASKER, (ASKER, GUEST), ([0; 6], GATEWAY));
    // In one write: passt loses its place in the stream if it reads a length alone.
    socket
        .write_all(&[&(ARP_FRAME as u32).to_be_bytes(), &request[..]].concat())
        .await?;
    // Nothing else was asked, so nothing else can come first.
    let mut answer = [0; ARP_FRAME];
    if socket.read_u32().await? as usize != ARP_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    socket.read_exact(&mut answer).await?;
    if !is_answer(&answer) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// An Ethernet frame that holds an ARP packet (RFC 826).
fn arp(
    operation: u8,
    to: [u8; 6],
    from: [u8; 6],
    sender: ([u8; 6], Ipv4Addr),
    target: ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    [
        &to[..],
        &from,
        // ARP: Ethernet and IPv4, addresses of 6 and 4 bytes.
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
        &sender.0,
        &sender.1.octets(),
        &target.0,
        &target.1.octets(),
    ]
    .concat()
}

fn is_answer(frame: &[u8; ARP_FRAME]) -> bool {
    let mut gateway = [0; 6];
    gateway.copy_from_slice(&frame[22..28]);
    frame[..] == arp(ANSWER, ASKER, gateway, (gateway, GATEWAY), (ASKER, GUEST))
}
