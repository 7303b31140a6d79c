//! Connections to the registries that the user named: each name is held to what it was at its first connection.
//!
//! A registry on this machine is the user's to name. The name of one elsewhere is in the hands of its DNS, which may
//! answer with an address of this machine the next time: for a redirect, a retry, the next layer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::local::is_this_machines;
use super::outside::{Local, is_proxy};

/// A resolver that remembers, per host, whether it was this machine at first.
#[derive(Debug, Default)]
pub(super) struct Held<R = DefaultResolver> {
    resolver: R,
    is_here: Mutex<HashMap<String, bool>>,
}

impl<R: Resolver> Resolver for Held<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        if is_proxy(uri, config) {
            return Ok(found);
        }
        let (mut local, mut elsewhere) = (false, self.empty());
        for address in &*found {
            match is_this_machines(address.ip()).map_err(Error::Io)? {
                true => local = true,
                false => elsewhere.push(*address),
            }
        }
        let host = uri.host().unwrap_or_default().trim_end_matches('.');
        // Of both kinds at once, those of this machine are none of the registry's business.
        let first = local && elsewhere.is_empty();
        // Nothing that holds the lock can panic half-way.
        let mut is_here = self.is_here.lock().unwrap_or_else(PoisonError::into_inner);
        let is_here = *is_here.entry(host.to_ascii_lowercase()).or_insert(first);
        match (is_here, elsewhere.is_empty()) {
            (true, _) => Ok(found),
            (false, false) => Ok(elsewhere),
            (false, true) => Err(Local.error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ureq::Agent;
    use ureq::Timeout;
    use ureq::unversioned::transport::time;

    use super::*;

    /// A DNS that answers something else each time.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<&'static [&'static str]>>);

    impl Resolver for Scripted {
        fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            let mut found = self.empty();
            for address in self.0.lock().unwrap().remove(0) {
                let address: IpAddr = address.parse().unwrap();
                found.push((address, uri.port_u16().unwrap_or(443)).into());
            }
            Ok(found)
        }
    }

    /// What each connection to a name leads to, by what its DNS answers; none where it is refused.
    fn led(answers: &[&'static [&'static str]]) -> Vec<Option<Vec<String>>> {
        let held = Held {
            resolver: Scripted(Mutex::new(answers.to_vec())),
            is_here: Mutex::default(),
        };
        let config = Agent::config_builder().proxy(None).build();
        let names = ["https://r.example:5000/v2/", "https://R.example.:5000/v2/x"];
        let mut names = names.iter().cycle();
        let connect = |_: &_| {
            let timeout = NextTimeout {
                after: time::Duration::NotHappening,
                reason: Timeout::Resolve,
                per_read: None,
                per_write: None,
            };
            let uri = names.next().unwrap().parse().unwrap();
            match held.resolve(&uri, &config, timeout) {
                Ok(found) => Some(found.iter().map(|address| address.ip().to_string()).collect()),
                Err(error) => {
                    assert!(Local::is(&error), "{error}");
                    None
                }
            }
        };
        answers.iter().map(connect).collect()
    }

    #[test]
    fn a_registrys_name_that_was_elsewhere_at_first_never_becomes_this_machine() {
        let to = |addresses: &[&str]| Some(addresses.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(
            led(&[
                &["2001:db8::1"],
                &["127.0.0.1"],
                &["2001:db8::2"],
                &["169.254.169.254"],
                &["::1", "2001:db8::1"],
            ]),
            [
                to(&["2001:db8::1"]),
                None,
                to(&["2001:db8::2"]),
                None,
                to(&["2001:db8::1"])
            ]
        );
        assert_eq!(
            led(&[&["2001:db8::1", "127.0.0.1"], &["127.0.0.1"]]),
            [to(&["2001:db8::1"]), None]
        );
        assert_eq!(
            led(&[&["127.0.0.1"], &["2001:db8::1"], &["127.0.0.1"]]),
            [to(&["127.0.0.1"]), to(&["2001:db8::1"]), to(&["127.0.0.1"])],
            "one that the user has on this machine"
        );
    }
}
