//! A port and the session that it carries at the moment.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::codec::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};

/// Bytes that may wait to be written. Two frames: what waits here is in nobody's queue but the first's, so it is
/// what a small request waits for while others send much.
const MAX_WAITING_OUT: usize = 2 * (MAX_PAYLOAD + HEADER);

/// Received bytes that may wait at the agent while the session does not read: as much as the streams of one session may
/// have on their way by the windows that they were given. So an agent always reads in the end, and its host's writes go on.
const MAX_WAITING_AT_AGENT: usize = crate::mux::MAX_IN_FLIGHT;

/// The same at the host. Less than a guest may have on its way: an agent that waits for the host to read is still reading
/// itself, so that the host gets to. Reached only by a guest that does not: what it sends is not read any more, then.
const MAX_WAITING_AT_HOST: usize = 1 << 20;

/// An inbox that was larger than this is given back when it is empty.
const KEPT_INBOX: usize = 128 << 10;

/// One end of a port.
///
/// The agent's end is asked for sessions with [`Port::accept`]; the host's end is made with its session by
/// [`super::connect`]. Port and session are polled by one task: only its waker is kept.
#[derive(Debug)]
pub struct Port<T> {
    state: Arc<Mutex<State<T>>>,
}

/// The bytes of one session. Reads end and writes fail once another session has taken its place, or the port ended.
#[derive(Debug)]
pub struct Session<T> {
    state: Arc<Mutex<State<T>>>,
    id: u64,
}

#[derive(Debug)]
struct State<T> {
    io: T,
    decoder: Decoder,
    /// Bytes of the session, not read yet. A copy and not the frames: many small ones would each keep a buffer.
    inbox: BytesMut,
    most_waiting_in: usize,
    /// Whole frames, not written yet; of the first, `head_written` bytes are.
    outbox: VecDeque<BytesMut>,
    waiting_out: usize,
    head_written: usize,
    session: Option<u64>,
    /// A HELLO that no session was made for yet.
    hello: Option<u64>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Port<T> {
    /// The agent's end of a port.
    ///
    /// A read of `io` that fails with [`io::ErrorKind::ConnectionAborted`] means that the host seems to be gone: it
    /// ends the session, not the port. End-of-file ends both.
    pub fn new(io: T) -> Self {
        let mut state = State::new(io, Decoder::new(), None, MAX_WAITING_AT_AGENT);
        state.push_reset();
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Waits for the next HELLO, answers it, and gives its session; `None` once the port has ended.
    ///
    /// # Errors
    /// Whatever the port fails with, other than the host's absence.
    pub async fn accept(&mut self) -> io::Result<Option<Session<T>>> {
        let id = poll_fn(|cx| lock(&self.state).poll_hello(cx)).await?;
        Ok(id.map(|id| Session {
            state: Arc::clone(&self.state),
            id,
        }))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    /// The host's session on a port that it has for itself; `decoder` holds what came after the ACK.
    pub(super) fn over(io: T, decoder: Decoder, id: u64) -> Self {
        let mut state = State::new(io, decoder, Some(id), MAX_WAITING_AT_HOST);
        state.sort_frames();
        Self {
            state: Arc::new(Mutex::new(state)),
            id,
        }
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    // A panic elsewhere leaves whole values behind; the streams above see the difference soon enough.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> State<T> {
    fn new(io: T, decoder: Decoder, session: Option<u64>, most_waiting_in: usize) -> Self {
        Self {
            io,
            decoder,
            inbox: BytesMut::new(),
            most_waiting_in,
            outbox: VecDeque::new(),
            waiting_out: 0,
            head_written: 0,
            session,
            hello: None,
        }
    }

    /// Moves whole frames from the decoder to where they belong.
    fn sort_frames(&mut self) {
        while let Some((header, payload)) = self.decoder.next_frame() {
            match header.kind {
                Kind::Hello => {
                    self.end_session();
                    self.hello = Some(header.session);
                }
                Kind::Data if self.session == Some(header.session) => self.inbox.extend_from_slice(&payload),
                Kind::Reset => self.end_session(),
                Kind::Data | Kind::Ack => {}
            }
        }
    }

    /// Forgets the session. A frame that is half written is finished all the same: the port carries whole ones.
    fn end_session(&mut self) {
        self.session = None;
        self.inbox = BytesMut::new();
        self.outbox.truncate(usize::from(self.head_written > 0));
        self.waiting_out = self.outbox.iter().map(BytesMut::len).sum();
    }

    /// What an agent begins with. Not sent if a HELLO comes first: then the host has no session to lose.
    fn push_reset(&mut self) {
        let mut bytes = BytesMut::zeroed(MAX_PAYLOAD + HEADER);
        bytes.extend_from_slice(
            &Header {
                kind: Kind::Reset,
                session: 0,
                length: 0,
            }
            .encode(),
        );
        self.waiting_out += bytes.len();
        self.outbox.push_back(bytes);
    }

    fn push_frame(&mut self, kind: Kind, session: u64, payload: &[u8]) {
        let mut frame = BytesMut::with_capacity(HEADER + payload.len());
        frame.extend_from_slice(
            &Header {
                kind,
                session,
                length: payload.len(),
            }
            .encode(),
        );
        frame.extend_from_slice(payload);
        self.waiting_out += frame.len();
        self.outbox.push_back(frame);
    }

    /// Adds session bytes to the last frame that waits, or as a new one; gives how many were taken.
    fn push_data(&mut self, session: u64, bytes: &[u8]) -> usize {
        let untouched = self.outbox.len() > 1 || self.head_written == 0;
        if let Some(last) = self.outbox.back_mut().filter(|_| untouched)
            && let Some(header) = last.first_chunk::<HEADER>().and_then(Header::decode)
            && header.kind == Kind::Data
            && header.length < MAX_PAYLOAD
        {
            let taken = bytes.len().min(MAX_PAYLOAD - header.length);
            let longer = Header {
                length: header.length + taken,
                ..header
            };
            last[..HEADER].copy_from_slice(&longer.encode());
            last.extend_from_slice(&bytes[..taken]);
            self.waiting_out += taken;
            return taken;
        }
        let taken = bytes.len().min(MAX_PAYLOAD);
        self.push_frame(Kind::Data, session, &bytes[..taken]);
        taken
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> State<T> {
    fn poll_hello(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        loop {
            if let Some(id) = self.hello.take() {
                self.session = Some(id);
                self.push_frame(Kind::Ack, id, &[]);
                return Poll::Ready(Ok(Some(id)));
            }
            // The rest of a frame that the last session began.
            if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ok(None)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads once. `false` at the port's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // Small while idle, and enough for a full frame once something comes.
        self.decoder.input().reserve(MAX_PAYLOAD + HEADER);
        let read = ready!(poll_read_buf(Pin::new(&mut self.io), cx, self.decoder.input()));
        match read {
            Ok(0) | Err(_) => self.end_session(),
            Ok(_) => self.sort_frames(),
        }
        Poll::Ready(read.map(|count| count > 0))
    }

    /// Writes until nothing waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(head) = self.outbox.front_mut() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, head))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            head.advance(written);
            self.head_written += written;
            self.waiting_out -= written;
            if head.is_empty() {
                self.outbox.pop_front();
                self.head_written = 0;
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes as much as goes. While the port takes nothing, input is read all the same: two ends that each wait
    /// for the other to read would wait for ever (the multiplexer reads nothing while it owes an answer to a ping).
    fn poll_drain_or_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Poll::Ready(result) = self.poll_drain(cx) {
                return Poll::Ready(result);
            }
            if self.inbox.len() >= self.most_waiting_in || self.session.is_none() {
                return Poll::Pending;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> futures::AsyncRead for Session<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        loop {
            if state.session != Some(self.id) {
                return Poll::Ready(Ok(0));
            }
            if !state.inbox.is_empty() {
                let count = state.inbox.len().min(buffer.len());
                state.inbox.copy_to_slice(&mut buffer[..count]);
                if state.inbox.is_empty() && state.inbox.capacity() > KEPT_INBOX {
                    state.inbox = BytesMut::new();
                }
                return Poll::Ready(Ok(count));
            }
            ready!(state.poll_fill(cx))?;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> futures::AsyncWrite for Session<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        if state.session == Some(self.id) && state.waiting_out >= MAX_WAITING_OUT {
            ready!(state.poll_drain_or_fill(cx))?;
        }
        if state.session != Some(self.id) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Poll::Ready(Ok(state.push_data(self.id, bytes)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if state.session != Some(self.id) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.poll_drain_or_fill(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
