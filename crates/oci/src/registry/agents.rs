//! What connections of one pull are made by: one kind to the registries that the user named, one to servers that those
//! name.

use transfer::{PacedConnector, client};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::TlsConfig;

use super::held::Held;
use super::http::{Endpoint, Patience};
use super::local::{is_local_address, is_local_name};
use super::origin::{host_of, origin};
use super::outside::{Local, Outside};

pub(super) struct Agents {
    /// For registries, by their own names and ports.
    pub(super) own: Agent,
    /// For servers that a registry has named.
    pub(super) outside: Agent,
}

impl Agents {
    pub(super) fn new(tls: TlsConfig, patience: &Patience) -> Self {
        let config = client(tls, patience.silence)
            // Followed here: ureq does not know where credentials may go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        // Twice as patient as with a body, since what comes before it counts.
        let connector = || PacedConnector::chain(2 * patience.period);
        Self {
            own: Agent::with_parts(config.clone(), connector(), <Held>::default()),
            outside: Agent::with_parts(config, connector(), Outside::default()),
        }
    }

    /// What asks a server that an endpoint has named. One elsewhere does not send its clients to this machine, and one
    /// whose name stands for this machine does not send them to what else listens here.
    pub(super) fn for_target(&self, endpoint: &Endpoint, target: &Uri) -> Result<&Agent, Local> {
        if is_named_by_user(endpoint, target) || is_local_address(&endpoint.address) {
            return Ok(&self.own);
        }
        match is_local_name(target.host().unwrap_or_default()) {
            true => Err(Local),
            false => Ok(&self.outside),
        }
    }
}

/// Whether a target is the endpoint's own host at its own port, or at that of a token server that the user confirmed.
fn is_named_by_user(endpoint: &Endpoint, target: &Uri) -> bool {
    let host = host_of(&endpoint.address);
    let written = endpoint.address.strip_prefix(host).unwrap_or_default();
    let own = written.strip_prefix(':').and_then(|port| port.parse().ok());
    let own = own.or_else(|| usual_port(endpoint.scheme()));
    let (scheme, authority) = origin(target);
    let port = target.port_u16().or_else(|| usual_port(&scheme));
    let realm = match scheme.as_str() {
        "https" => authority.strip_suffix(":443").unwrap_or(&authority),
        _ => &authority,
    };
    let confirmed = || {
        endpoint
            .realms
            .iter()
            .any(|known| known.eq_ignore_ascii_case(realm))
    };
    target
        .host()
        .is_some_and(|target| target.eq_ignore_ascii_case(host))
        && (port == own || confirmed())
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Agents {
        Agents::new(super::super::tls(&[]).unwrap(), &Patience::default())
    }

    fn endpoint(address: &str, plain_http: bool) -> Endpoint {
        Endpoint {
            name: address.to_owned(),
            address: address.to_owned(),
            path: Default::default(),
            plain_http,
            login: None,
            realms: vec!["auth.example".to_owned(), "r.example:5001".to_owned()],
            is_mirror: false,
            dead: false.into(),
            told: false.into(),
        }
    }

    #[test]
    fn only_a_registry_on_this_machine_leads_to_this_machine() {
        let agents = agents();
        let leads = |address: &str, target: &str| {
            let target = target.parse().unwrap();
            agents.for_target(&endpoint(address, false), &target).is_ok()
        };
        for target in [
            "http://127.0.0.1:8080/",
            "https://localhost/",
            "http://169.254.169.254/latest/meta-data/",
            "https://[::ffff:127.0.0.1]/",
        ] {
            assert!(!leads("r.example", target), "{target}");
            assert!(
                leads("127.0.0.1:5000", target) && leads("localhost:5000", target),
                "{target}"
            );
        }
        assert!(leads("r.example", "https://10.1.2.3/") && leads("r.example", "https://cdn.example/"));
    }

    #[test]
    fn a_registrys_own_name_stands_for_its_own_port_alone() {
        let agents = agents();
        for (address, plain_http, target, own) in [
            ("r.example", false, "https://r.example/a", true),
            ("r.example", false, "https://R.example:443/a", true),
            ("r.example:443", false, "https://r.example/a", true),
            ("r.example", true, "http://r.example:80/a", true),
            ("r.example:5000", true, "http://r.example:5000/a", true),
            ("r.example:5000", false, "https://r.example:5001/token", true),
            ("[2001:db8::1]:5000", false, "https://[2001:db8::1]:5000/a", true),
            ("[2001:db8::1]:5000", false, "https://[2001:db8::1]/a", false),
            ("r.example", false, "https://r.example:9999/a", false),
            ("r.example:5000", true, "http://r.example:9999/a", false),
            ("r.example:5000", true, "http://r.example/a", false),
            ("r.example", true, "https://r.example/a", false),
            ("r.example", false, "https://auth.example/token", false),
            ("localhost:5000", false, "https://localhost:5001/a", true),
        ] {
            let target: Uri = target.parse().unwrap();
            let agent = agents.for_target(&endpoint(address, plain_http), &target);
            let agent = agent.unwrap_or_else(|local| panic!("{target}: {local}"));
            assert_eq!(
                std::ptr::eq(agent, &raw const agents.own),
                own,
                "{address} {target}"
            );
        }
    }
}
