//! Lies below any request: the frames of sessions, and those of the multiplexer.

use std::convert::Infallible;
use std::io;
use std::sync::{Mutex, PoisonError};

use guest::link::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::Notify;

use super::Lie;

/// Length of a multiplexer's header.
const MUX_HEADER: usize = 12;
/// Kinds of its frames, by yamux' specification.
const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const FAREWELL: u8 = 3;
/// Flags of its frames.
const SYN: u8 = 1;
const ACK: u8 = 2;
const RST: u8 = 8;
/// What a stream may hold at first.
const CREDIT: usize = 256 << 10;

/// What the host has said so far.
#[derive(Debug, Default)]
struct Heard {
    session: Option<u64>,
    /// Whether the session waits for its ACK.
    unanswered: bool,
    /// Streams that the host has opened.
    streams: Vec<u32>,
    /// Bytes of the multiplexer, less than a header, and how many to skip before that.
    rest: Vec<u8>,
    skip: usize,
}

/// Tells a lie on a port for as long as it holds; returns with what the port failed with, or at its end.
pub(super) async fn tell(lie: Lie, port: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let (from_host, to_host) = split(port);
    let (heard, news) = (Mutex::new(Heard::default()), Notify::new());
    tokio::select! {
        ended = hear(lie, from_host, &heard, &news) => ended,
        failed = say(lie, to_host, &heard, &news) => failed.map(|never| match never {}),
    }
}

/// Follows what the host says, up to the port's end.
async fn hear(
    lie: Lie,
    mut port: impl AsyncRead + Unpin,
    heard: &Mutex<Heard>,
    news: &Notify,
) -> io::Result<()> {
    let mut decoder = Decoder::new();
    loop {
        decoder.input().reserve(MAX_PAYLOAD);
        match port.read_buf(decoder.input()).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // No host for a while; the next one says HELLO.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                *lock(heard) = Heard::default();
                continue;
            }
            Err(error) => return Err(error),
        }
        while let Some((header, payload)) = decoder.next_frame() {
            let mut heard = lock(heard);
            match header.kind {
                Kind::Hello => {
                    *heard = Heard {
                        session: Some(header.session),
                        unanswered: true,
                        ..Heard::default()
                    };
                }
                Kind::Data if heard.session == Some(header.session) => heard.read(&payload),
                _ => {}
            }
            news.notify_one();
        }
        if lie == Lie::WireUnread && lock(heard).session.is_some() {
            std::future::pending::<()>().await;
        }
    }
}

impl Heard {
    /// Reads what the multiplexer says: which streams it opens.
    fn read(&mut self, payload: &[u8]) {
        self.rest.extend_from_slice(payload);
        loop {
            let skipped = self.skip.min(self.rest.len());
            self.rest.drain(..skipped);
            self.skip -= skipped;
            let Some(header) = self.rest.first_chunk::<MUX_HEADER>() else {
                return;
            };
            let [_, kind, _, flags, a, b, c, d, length @ ..] = *header;
            if flags & SYN != 0 && matches!(kind, DATA | WINDOW) {
                self.streams.push(u32::from_be_bytes([a, b, c, d]));
            }
            self.skip = MUX_HEADER;
            if kind == DATA {
                self.skip += u32::from_be_bytes(length) as usize;
            }
        }
    }
}

/// Says what the lie has to say, over and over.
async fn say(
    lie: Lie,
    mut port: impl AsyncWrite + Unpin,
    heard: &Mutex<Heard>,
    news: &Notify,
) -> io::Result<Infallible> {
    // As an agent begins that finds the port as another one left it.
    port.write_all(&[0; MAX_PAYLOAD + HEADER]).await?;
    port.write_all(&frame(Kind::Reset, 0, &[])).await?;
    let mut turn = 0_u32;
    loop {
        let (session, unanswered, streams) = {
            let mut heard = lock(heard);
            let unanswered = std::mem::take(&mut heard.unanswered);
            (heard.session, unanswered, heard.streams.clone())
        };
        let Some(session) = session else {
            news.notified().await;
            continue;
        };
        if unanswered {
            turn = 0;
            if lie != Lie::WireUnanswered {
                port.write_all(&frame(Kind::Ack, session, &[])).await?;
            }
        }
        let bytes = bytes(lie, session, &streams, turn);
        port.write_all(&bytes).await?;
        port.flush().await?;
        turn = turn.wrapping_add(1);
        if bytes.is_empty() {
            news.notified().await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// What is said at this turn of a session; nothing until the host says something more.
fn bytes(lie: Lie, session: u64, streams: &[u32], turn: u32) -> Vec<u8> {
    // Ids as a guest's streams have them.
    let own = |count: u32| {
        let first = turn.wrapping_mul(count);
        (1..=count).map(move |number| first.wrapping_add(number).wrapping_mul(2))
    };
    let of_streams = |frame: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        let each = streams.iter().flat_map(|id| frame(*id));
        each.collect()
    };
    let payload: Vec<u8> = match lie {
        Lie::WireJunk => {
            let mut odd = frame(Kind::Data, session, &[]);
            odd[5] = 77;
            return odd.repeat(1000);
        }
        Lie::WireUnanswered => return frame(Kind::Data, session, &[7; MAX_PAYLOAD]),
        Lie::WireHalfFrame if turn == 0 => {
            return frame(Kind::Data, session, &[7; MAX_PAYLOAD])[..100].to_vec();
        }
        Lie::WireOtherSessions => {
            let other = frame(Kind::Data, !session, &[7; MAX_PAYLOAD]);
            return [other, frame(Kind::Ack, !session, &[])].concat();
        }
        Lie::WireResets => {
            return [frame(Kind::Hello, !session, &[]), frame(Kind::Reset, 0, &[])].concat();
        }
        Lie::WirePings => mux(PING, SYN, 0, 7, &[]).repeat(2000),
        Lie::WirePongs => mux(PING, ACK, 0, turn, &[]).repeat(2000),
        Lie::WireStreams => own(2000).flat_map(|id| mux(WINDOW, SYN, id, 0, &[])).collect(),
        Lie::WireFullStreams => own(1).flat_map(|id| data(SYN, id, &[7; CREDIT])).collect(),
        Lie::WireCredit => of_streams(&|id| mux(WINDOW, 0, id, u32::MAX, &[]).repeat(10)),
        Lie::WireUnknownStreams => own(2)
            .flat_map(|id| data(0, id | 0x8000_0001, &[7; 16384]))
            .collect(),
        Lie::WireGiantFrame => [mux(DATA, 0, 1, u32::MAX, &[]), vec![7; MAX_PAYLOAD]].concat(),
        Lie::WireStreamResets => {
            let every = (0..2000).flat_map(|id| mux(WINDOW, RST, id, 0, &[]));
            every.collect()
        }
        Lie::WireFarewells if turn == 0 => mux(FAREWELL, 0, 0, 0, &[]),
        Lie::WireMotes => of_streams(&|id| data(0, id, b"x").repeat(1000)),
        Lie::WireOverrun => of_streams(&|id| data(0, id, &[7; 16384])),
        _ => Vec::new(),
    };
    payload
        .chunks(MAX_PAYLOAD)
        .flat_map(|piece| frame(Kind::Data, session, piece))
        .collect()
}

/// A frame of a session.
fn frame(kind: Kind, session: u64, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let header = Header {
        kind,
        session,
        length,
    };
    [&header.encode(), payload].concat()
}

/// A frame of the multiplexer; `last` is its length, its credit or what a ping holds.
fn mux(kind: u8, flags: u8, stream: u32, last: u32, body: &[u8]) -> Vec<u8> {
    let head = [0, kind, 0, flags];
    [&head, &stream.to_be_bytes()[..], &last.to_be_bytes(), body].concat()
}

fn data(flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    mux(DATA, flags, stream, length, body)
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
