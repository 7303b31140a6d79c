//! One question to one resolver of the host's, over a socket of its own that is connected to it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send, socket_with,
};

/// Length of the length before each message of a connection (RFC 1035, 4.2.2).
const PREFIX: usize = 2;

/// How it is asked: as the guest has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Datagrams,
    Connection,
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Ask {
    socket: OwnedFd,
    over: Over,
    /// Of a connection: what is left to be sent, and what has come.
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// What has become of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing yet.
    Nothing,
    /// A message has come.
    Message(Vec<u8>),
    /// No message will come.
    Failed,
}

impl Ask {
    pub(super) fn open(over: Over, server: &SocketAddr, question: &[u8]) -> Result<Self, Errno> {
        let family = match server {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let (kind, protocol) = match over {
            Over::Datagrams => (SocketType::DGRAM, ipproto::UDP),
            Over::Connection => (SocketType::STREAM, ipproto::TCP),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, kind, flags, Some(protocol))?;
        match connect(&socket, server) {
            Err(Errno::INPROGRESS) if over == Over::Connection => {}
            outcome => outcome?,
        }
        let unsent = match over {
            Over::Datagrams => {
                send(&socket, question, SendFlags::NOSIGNAL)?;
                Vec::new()
            }
            Over::Connection => {
                let length = u16::try_from(question.len()).map_err(|_| Errno::MSGSIZE)?;
                [&length.to_be_bytes(), question].concat()
            }
        };
        Ok(Self {
            socket,
            over,
            unsent,
            received: Vec::new(),
        })
    }

    /// Whether another message may come after one that is no answer.
    pub(super) fn is_datagrams(&self) -> bool {
        self.over == Over::Datagrams
    }

    /// Whether it waits until something can be sent.
    pub(super) fn sends(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Goes on as far as it can; `buffer` is as long as any message.
    pub(super) fn go_on(&mut self, buffer: &mut [u8]) -> Heard {
        while self.sends() {
            match send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN | Errno::INTR) => return Heard::Nothing,
                Err(_) => return Heard::Failed,
            }
        }
        loop {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((received, _)) => received,
                Err(Errno::AGAIN | Errno::INTR) => return Heard::Nothing,
                Err(_) => return Heard::Failed,
            };
            match self.over {
                Over::Datagrams => return Heard::Message(buffer[..received].to_vec()),
                Over::Connection if received == 0 => return Heard::Failed,
                Over::Connection => {
                    self.received.extend(&buffer[..received]);
                    if let Some((length, message)) = self.received.split_first_chunk::<PREFIX>()
                        && let Some(message) = message.get(..usize::from(u16::from_be_bytes(*length)))
                    {
                        return Heard::Message(message.to_vec());
                    }
                }
            }
        }
    }
}

impl AsFd for Ask {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
