//! Connections that have to get on.

use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};

use crate::pace::Pace;
use crate::staggered::StaggeredConnector;

/// Connections as ureq makes them, through a proxy and over TLS where that is wanted, to whichever of a host's addresses
/// answers first. Each has to bring 64 KiB per `period`
/// of waiting, from its first byte on: an answer that takes long to begin counts as well.
///
/// A connection that is used again goes on counting, so that nothing that a server sends begins a new period: requests
/// with small answers that are slow for long have their connection closed once in a while. They are tried again.
#[derive(Debug)]
pub struct PacedConnector {
    period: Duration,
}

impl PacedConnector {
    /// What an agent makes its connections by.
    #[must_use]
    pub fn chain(period: Duration) -> impl Connector<Out: Transport> {
        // Below TLS, whose records may drip as well.
        ().chain(ConnectProxyConnector::default())
            .chain(StaggeredConnector::default())
            .chain(Self { period })
            .chain(RustlsConnector::default())
    }
}

impl<In: Transport> Connector<In> for PacedConnector {
    type Out = PacedTransport<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| PacedTransport {
            inner,
            pace: Pace::of(self.period),
        }))
    }
}

#[derive(Debug)]
pub struct PacedTransport<T> {
    inner: T,
    pace: Pace,
}

impl<T: Transport> Transport for PacedTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.inner.buffers().input().len();
        let begun = Instant::now();
        let got_on = self.inner.await_input(timeout)?;
        let received = self.inner.buffers().input().len().saturating_sub(before);
        self.pace.count(begun.elapsed(), received)?;
        Ok(got_on)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
