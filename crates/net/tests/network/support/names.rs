//! Questions for names, and a resolver of the host's that answers them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use net::user_plan;

use super::guest::{Answer, Guest};

/// For the address of `good.example`.
pub const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04good\x07example\0\0\x01\0\x01";

/// The resolver of the plan.
pub fn resolver() -> Ipv4Addr {
    let [IpAddr::V4(resolver)] = user_plan().dns[..] else {
        panic!("one resolver, of IPv4")
    };
    resolver
}

/// The answer to a question: that there is none such.
pub fn answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    (answer[2], answer[3]) = (0x81, 0x83);
    answer
}

/// Answers one question; gives what it was.
pub fn answer_a_question(socket: &UdpSocket) -> Vec<u8> {
    let mut received = [0; 1000];
    let (length, from) = socket.recv_from(&mut received).unwrap();
    socket.send_to(&answer(&received[..length]), from).unwrap();
    received[..length].to_vec()
}

/// Answers one question of a connection, with as many bytes more.
pub fn answer_at_length(listener: &TcpListener, more: usize) {
    let (mut connection, _) = listener.accept().unwrap();
    let mut length = [0; 2];
    connection.read_exact(&mut length).unwrap();
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    connection.read_exact(&mut question).unwrap();
    let answer = [answer(&question), vec![7; more]].concat();
    connection
        .write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat())
        .unwrap();
}

/// Has the guest ask the resolver of the plan, and `socket` answer it.
pub fn ask_the_resolver(guest: &mut Guest, socket: &UdpSocket) {
    let own = guest.send_datagram(resolver(), 53, QUESTION);
    let asked = answer_a_question(socket);
    assert_eq!(asked[2..], QUESTION[2..], "but for its number");
    assert_eq!(
        guest.wait_for(resolver(), own),
        Answer::Datagram(answer(QUESTION))
    );
}
