//! Which resolvers are asked, and in which order: that of the host's settings. Those that have said nothing to several
//! questions in a row come last for a while; never for one question alone, since those before may know names that those
//! after them deny.

use std::fs::File;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::resolver_list;

/// Rest between two readings of the list.
const REST: Duration = Duration::from_secs(1);
/// So many questions in a row has one left open that comes last; for so long.
const MISSES: u32 = 4;
const LAST: Duration = Duration::from_secs(30);

/// The host's resolvers.
#[derive(Debug)]
pub(super) struct Servers {
    /// See [`resolver_list`].
    list: File,
    read: Option<Instant>,
    all: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    misses: u32,
    last_until: Option<Instant>,
}

impl Servers {
    pub(super) fn of(list: File) -> Self {
        Self {
            list,
            read: None,
            all: Vec::new(),
        }
    }

    /// Those to be asked now, the first first.
    pub(super) fn order(&mut self, now: Instant) -> Vec<SocketAddr> {
        if self
            .read
            .is_none_or(|read| now.saturating_duration_since(read) >= REST)
        {
            self.read = Some(now);
            // Half a new list is none; a later question finds it whole.
            if let Some(list) = resolver_list::read(&self.list)
                && !self
                    .all
                    .iter()
                    .map(|server| server.address)
                    .eq(list.iter().copied())
            {
                let fresh = |address| Server {
                    address,
                    misses: 0,
                    last_until: None,
                };
                self.all = list.into_iter().map(fresh).collect();
            }
        }
        let is_last = |server: &&Server| server.last_until.is_some_and(|until| now < until);
        let (last, first): (Vec<_>, Vec<_>) = self.all.iter().partition(is_last);
        first
            .into_iter()
            .chain(last)
            .map(|server| server.address)
            .collect()
    }

    /// One has said something.
    pub(super) fn heard(&mut self, address: SocketAddr) {
        if let Some(server) = self.of_address(address) {
            (server.misses, server.last_until) = (0, None);
        }
    }

    /// One has said nothing to a question that another has answered.
    pub(super) fn missed(&mut self, address: SocketAddr, now: Instant) {
        if let Some(server) = self.of_address(address) {
            // One that was last is tried again later, and one more miss makes it last again.
            server.misses = (server.misses + 1).min(MISSES);
            if server.misses == MISSES {
                server.last_until = Some(now + LAST);
            }
        }
    }

    fn of_address(&mut self, address: SocketAddr) -> Option<&mut Server> {
        self.all.iter_mut().find(|server| server.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_is_silent_several_times_comes_last_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, three] = ["10.0.0.1:53", "[::1]:53", "10.0.0.3:53"].map(|text| text.parse().unwrap());
        let list = resolver_list::hand_over(folder.path(), &[one, two, three]).unwrap();
        let mut servers = Servers::of(list);
        let now = Instant::now();
        assert_eq!(servers.order(now), [one, two, three]);
        for _ in 1..MISSES {
            servers.missed(one, now);
        }
        assert_eq!(servers.order(now), [one, two, three]);
        servers.heard(one);
        for _ in 0..MISSES {
            assert_eq!(servers.order(now), [one, two, three]);
            servers.missed(one, now);
        }
        assert_eq!(servers.order(now), [two, three, one]);
        assert_eq!(servers.order(now + LAST), [one, two, three]);
        servers.missed(one, now + LAST);
        assert_eq!(servers.order(now + LAST), [two, three, one]);
        servers.heard(one);
        assert_eq!(servers.order(now + LAST), [one, two, three]);
    }

    #[test]
    fn a_changed_list_is_read_and_half_a_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["10.0.0.1:53", "[::1]:53"].map(|text| text.parse().unwrap());
        let mut servers = Servers::of(resolver_list::hand_over(folder.path(), &[one]).unwrap());
        let now = Instant::now();
        assert_eq!(servers.order(now), [one]);
        resolver_list::hand_over(folder.path(), &[two, one]).unwrap();
        assert_eq!(servers.order(now + REST), [two, one]);
        std::fs::write(folder.path().join("resolvers"), "resolvers 12\n1.1").unwrap();
        assert_eq!(servers.order(now + 2 * REST), [two, one]);
    }
}
