//! Connections to servers that a registry elsewhere has named: never to this machine or its network link.
//!
//! Names are judged by the addresses that they resolve to, at the moment of the connection: a name that resolves to
//! another address the next time gains nothing.

use std::io;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::local::is_this_machines;

/// A resolver that refuses names of local addresses.
#[derive(Debug, Default)]
pub(super) struct Outside(DefaultResolver);

/// What a name resolves to is local.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is an address of this machine or of its network link")]
pub(super) struct Local;

impl Local {
    pub(super) fn error(self) -> Error {
        Error::Io(io::Error::other(self))
    }

    /// Whether a request failed for this reason.
    pub(super) fn is(error: &Error) -> bool {
        match error {
            Error::Io(error) => error.get_ref().is_some_and(|inner| inner.is::<Self>()),
            _ => false,
        }
    }
}

impl Resolver for Outside {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        if is_proxy(uri, config) {
            return Ok(found);
        }
        for address in &*found {
            if is_this_machines(address.ip()).map_err(Error::Io)? {
                return Err(Local.error());
            }
        }
        Ok(found)
    }
}

/// Whether a name is resolved to reach the user's own proxy, which may well be on this machine.
pub(super) fn is_proxy(uri: &Uri, config: &Config) -> bool {
    let proxy = config.proxy().map(|proxy| proxy.uri());
    proxy.is_some_and(|proxy| proxy.authority() == uri.authority())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::ifaddrs::getifaddrs;
    use ureq::Agent;
    use ureq::unversioned::transport::DefaultConnector;

    use super::*;

    #[test]
    fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Agent::config_builder().proxy(None).build();
        let agent = Agent::with_parts(config, DefaultConnector::new(), Outside::default());
        let own = getifaddrs().unwrap().filter_map(|interface| interface.address);
        let own = own.filter_map(|address| Some(address.as_sockaddr_in()?.ip().to_string()));
        for host in own.chain(["localhost".to_owned()]) {
            let error = agent.get(format!("http://{host}:{port}/")).call().unwrap_err();
            assert!(Local::is(&error), "{host}: {error:?}");
        }
        assert!(listener.accept().is_err(), "nothing was connected to");
    }
}
