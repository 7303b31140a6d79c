//! Connections to a host by the first of its addresses that answers (RFC 8305, "Happy Eyeballs").
//!
//! One address after the other, each with its share of the patience, makes a host whose first address drops what it is
//! sent as good as unreachable: an IPv6 route that leads nowhere costs twenty seconds per connection.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};
use ureq::Error;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, LazyBuffers, ShutdownHandle, Transport,
};

use crate::tcp::Tcp;

/// How long an address has before the next one is tried beside it (RFC 8305, 5: "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that have answered and are remembered.
const REMEMBERED: usize = 64;

/// ureq's TCP connections, to the address of a host that answers first. That one goes first the next time.
#[derive(Debug, Default)]
pub(crate) struct StaggeredConnector {
    answered: Mutex<HashSet<SocketAddr>>,
}

impl<In: Transport> Connector<In> for StaggeredConnector {
    type Out = Either<In, Tcp>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // One to a proxy, or through it.
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let ending = Arc::new(Ending::new().map_err(Error::Io)?);
        let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&ending) as Weak<dyn ShutdownHandle>;
        (details.register_shutdown)(handle)?;
        let timeout = details.timeout.not_zero().map(|left| *left);
        let addresses = self.ordered(&details.addrs);
        let (stream, address) =
            race(&addresses, STAGGER, timeout, ending.0.as_fd()).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Error::Timeout(details.timeout.reason),
                _ => Error::Io(error),
            })?;
        self.remember(address);
        if details.config.no_delay() {
            stream.set_nodelay(true)?;
        }
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        let transport = Tcp::new(stream, buffers);
        (details.register_shutdown)(transport.shutdown_handle())?;
        Ok(Some(Either::B(transport)))
    }
}

impl StaggeredConnector {
    /// Addresses in the order in which they are tried: those that have answered, then by turns of either family, the
    /// resolver's first one first (RFC 8305, 4).
    fn ordered(&self, addresses: &ResolvedSocketAddrs) -> Vec<SocketAddr> {
        // Nothing that holds the lock can panic half-way.
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut ordered, others): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
            .iter()
            .copied()
            .partition(|address| answered.contains(address));
        ordered.extend(by_turns(&others));
        ordered
    }

    fn remember(&self, address: SocketAddr) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= REMEMBERED {
            answered.clear();
        }
        answered.insert(address);
    }
}

/// Addresses of the first one's family and of the other by turns.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().map(SocketAddr::is_ipv6);
    let (mut ours, mut theirs): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .rev()
        .copied()
        .partition(|address| Some(address.is_ipv6()) == first);
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(ours.pop());
        ordered.extend(theirs.pop());
    }
    ordered
}

/// Connects to the first address that answers, each next one tried after `stagger`, or at once where those before it
/// have failed. `ending` becoming readable ends it.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] where none has answered in time; what the last of them said where all have failed.
fn race(
    addresses: &[SocketAddr],
    stagger: Duration,
    timeout: Option<Duration>,
    ending: BorrowedFd<'_>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut waiting = addresses.iter().copied();
    let mut under_way: Vec<(OwnedFd, SocketAddr)> = Vec::new();
    let mut failed = io::Error::from(io::ErrorKind::ConnectionRefused);
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        if under_way.is_empty() || now >= next {
            match waiting.next().map(|address| (begin(address), address)) {
                Some((Ok(Begun::Done(stream)), address)) => return Ok((stream, address)),
                Some((Ok(Begun::UnderWay(socket)), address)) => {
                    under_way.push((socket, address));
                    next = now + stagger;
                }
                Some((Err(error), _)) => {
                    failed = error;
                    continue;
                }
                None if under_way.is_empty() => return Err(failed),
                None => {}
            }
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let more = waiting.len() > 0;
        let until = [deadline, more.then_some(next)].into_iter().flatten().min();
        if is_ended(&under_way, ending, until)? {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut at = 0;
        while let Some((socket, address)) = under_way.get(at) {
            match outcome(socket) {
                Ok(false) => at += 1,
                Ok(true) => {
                    let address = *address;
                    let (socket, _) = under_way.swap_remove(at);
                    rustix::io::ioctl_fionbio(&socket, false)?;
                    return Ok((TcpStream::from(socket), address));
                }
                Err(error) => {
                    failed = error;
                    under_way.swap_remove(at);
                    // The next one need not wait for what is over.
                    next = Instant::now();
                }
            }
        }
    }
}

enum Begun {
    Done(TcpStream),
    UnderWay(OwnedFd),
}

fn begin(address: SocketAddr) -> io::Result<Begun> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match connect(&socket, &address) {
        Ok(()) => {
            rustix::io::ioctl_fionbio(&socket, false)?;
            Ok(Begun::Done(TcpStream::from(socket)))
        }
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(Begun::UnderWay(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until something has become of what is under way, or until then; whether all is to end.
fn is_ended(
    under_way: &[(OwnedFd, SocketAddr)],
    ending: BorrowedFd<'_>,
    until: Option<Instant>,
) -> io::Result<bool> {
    let sockets = under_way
        .iter()
        .map(|(socket, _)| PollFd::new(socket, PollFlags::OUT));
    let mut all: Vec<PollFd<'_>> = sockets
        .chain([PollFd::from_borrowed_fd(ending, PollFlags::IN)])
        .collect();
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut all, left.as_ref()) {
        Ok(_) => Ok(all.last().is_some_and(|ending| !ending.revents().is_empty())),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a connection is there.
fn outcome(socket: &OwnedFd) -> io::Result<bool> {
    let mut one = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut one, Some(&Timespec::default())) {
        Ok(0) | Err(Errno::INTR) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    sockopt::socket_error(socket)??;
    Ok(true)
}

/// Becomes readable when the agent is shut down.
struct Ending(OwnedFd);

impl Ending {
    fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }
}

impl ShutdownHandle for Ending {
    fn shutdown(&self) {
        // It can only be full, which is readable too.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An address that never answers, as a black hole: a listener whose queue is full drops what comes.
    struct Hole {
        _listener: OwnedFd,
        _queued: Vec<OwnedFd>,
        address: SocketAddr,
    }

    impl Hole {
        fn new() -> Self {
            let listener = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            rustix::net::bind(&listener, &any).unwrap();
            rustix::net::listen(&listener, 0).unwrap();
            let address = rustix::net::getsockname(&listener).unwrap();
            let address = SocketAddr::try_from(address).unwrap();
            // The kernel lets one more in than was asked for, and what is not answered stays under way.
            let queued = (0..3).map(|_| match begin(address).unwrap() {
                Begun::UnderWay(socket) => socket,
                Begun::Done(stream) => stream.into(),
            });
            let queued: Vec<OwnedFd> = queued.collect();
            while queued.iter().filter(|socket| outcome(socket).unwrap()).count() == 0 {
                std::thread::yield_now();
            }
            Self {
                _listener: listener,
                _queued: queued,
                address,
            }
        }
    }

    fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn the_first_address_that_answers_is_taken_whatever_becomes_of_those_before_it() {
        let ending = Ending::new().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = server.local_addr().unwrap();
        let hole = Hole::new();
        let soon = Duration::from_millis(1);
        for before in [
            vec![],
            vec![hole.address],
            vec![refusing()],
            vec![hole.address, refusing(), hole.address],
        ] {
            let addresses = [before, vec![good]].concat();
            let (stream, address) = race(&addresses, soon, None, ending.0.as_fd()).unwrap();
            assert_eq!((address, stream.peer_addr().unwrap()), (good, good));
            server.accept().unwrap();
        }
        // A refusal makes the next one wait for nothing.
        let never = Duration::from_secs(3600);
        let addresses = [refusing(), refusing(), good];
        assert_eq!(race(&addresses, never, None, ending.0.as_fd()).unwrap().1, good);
    }

    #[test]
    fn where_none_answers_the_last_failure_or_the_time_that_is_over_is_said() {
        let ending = Ending::new().unwrap();
        let hole = Hole::new();
        let failed = |addresses: &[SocketAddr], timeout| {
            race(addresses, Duration::from_millis(1), timeout, ending.0.as_fd())
                .unwrap_err()
                .kind()
        };
        let soon = Some(Duration::from_millis(20));
        assert_eq!(
            failed(&[refusing(), refusing()], None),
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(failed(&[], None), io::ErrorKind::ConnectionRefused);
        assert_eq!(failed(&[hole.address, refusing()], soon), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_agent_that_is_ended_waits_for_no_connection() {
        let ending = Ending::new().unwrap();
        let hole = Hole::new();
        ending.shutdown();
        let error = race(&[hole.address], STAGGER, None, ending.0.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn families_take_turns_and_what_has_answered_goes_first() {
        let parse = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        for (found, ordered) in [
            ("", ""),
            ("1.1.1.1:1 1.1.1.2:1", "1.1.1.1:1 1.1.1.2:1"),
            (
                "[2::1]:1 [2::2]:1 [2::3]:1 1.1.1.1:1 1.1.1.2:1",
                "[2::1]:1 1.1.1.1:1 [2::2]:1 1.1.1.2:1 [2::3]:1",
            ),
            ("1.1.1.1:1 [2::1]:1 1.1.1.2:1", "1.1.1.1:1 [2::1]:1 1.1.1.2:1"),
        ] {
            assert_eq!(by_turns(&parse(found)), parse(ordered), "{found}");
        }
        let connector = StaggeredConnector::default();
        connector.remember("1.1.1.1:1".parse().unwrap());
        let mut found = ResolvedSocketAddrs::from_fn(|_| ([0, 0, 0, 0], 0).into());
        parse("[2::1]:1 [2::2]:1 1.1.1.1:1")
            .into_iter()
            .for_each(|address| found.push(address));
        assert_eq!(connector.ordered(&found), parse("1.1.1.1:1 [2::1]:1 [2::2]:1"));
    }
}
