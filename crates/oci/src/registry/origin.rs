//! Where a registry may send its client, and where its login goes.
//!
//! ```text
//! registry ── redirect ──► any server, without a login; a 401 there is the end
//!     │
//!     └── realm ──► any https server for a token of nobody's;
//!                   the login only to: the registry's own host, auth.docker.io for docker.io, what the user confirmed
//! ```
//!
//! From a registry elsewhere neither leads to this machine or its network link: [`super::outside`].

use ureq::http::Uri;

use super::http::Endpoint;
use crate::document::shown;
use crate::error::{OciError, RealmFault};
use crate::reference::DEFAULT_REGISTRY;

/// The token server of [`DEFAULT_REGISTRY`].
const DOCKER_REALM: &str = "auth.docker.io";

/// Scheme, host and port.
pub(super) fn origin(uri: &Uri) -> (String, String) {
    let part = |part: Option<&str>| part.unwrap_or_default().to_ascii_lowercase();
    (
        part(uri.scheme_str()),
        part(uri.authority().map(|authority| authority.as_str())),
    )
}

/// Where a redirect leads, if it may: nowhere but to HTTP or HTTPS, and from HTTPS to HTTPS only.
pub(super) fn join(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = origin(from);
    let target = match location {
        "" => return None,
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    let target: Uri = target.parse().ok()?;
    let to = target.scheme_str()?;
    let allowed = to == "https" || to == "http" && scheme == "http";
    (allowed && has_plain_authority(&target)).then_some(target)
}

/// A host, maybe with a port, and no user before it.
fn has_plain_authority(uri: &Uri) -> bool {
    let authority = uri.authority().map(|authority| authority.as_str());
    authority.is_some_and(|authority| !authority.contains('@'))
}

/// A token server, as a challenge names it.
pub(super) struct Realm {
    /// Host and port, as messages and the user's confirmation call it: without the port of HTTPS.
    pub(super) name: String,
    /// Whether the endpoint's login goes there.
    pub(super) gets_login: bool,
}

impl Realm {
    /// Checks the address that a challenge of `endpoint` names: HTTPS, or the endpoint's own host where that is spoken
    /// to without TLS on the user's word.
    ///
    /// # Errors
    /// [`OciError::BadRealm`].
    pub(super) fn parse(endpoint: &Endpoint, realm: &str) -> Result<Self, OciError> {
        let bad = |fault| OciError::BadRealm {
            host: endpoint.name.clone(),
            realm: shown(realm),
            fault,
        };
        let uri: Uri = realm.parse().map_err(|_| bad(RealmFault::NoAddress))?;
        let (scheme, authority) = origin(&uri);
        let host = uri.host().unwrap_or_default();
        let own_host = host.eq_ignore_ascii_case(host_of(&endpoint.address));
        let tls = match scheme.as_str() {
            "https" => true,
            "http" if endpoint.plain_http && own_host => false,
            "http" if endpoint.plain_http => return Err(bad(RealmFault::NoTlsElsewhere)),
            "http" => return Err(bad(RealmFault::NoTls)),
            _ => return Err(bad(RealmFault::NoAddress)),
        };
        // A certificate speaks for the host, whatever the port; without one, another port is anybody's.
        let own = own_host && (tls || authority.eq_ignore_ascii_case(&endpoint.address));
        if host.is_empty() {
            return Err(bad(RealmFault::NoAddress));
        }
        if !has_plain_authority(&uri) {
            return Err(bad(RealmFault::User));
        }
        let name = match authority.strip_suffix(":443") {
            Some(name) if tls => name.to_owned(),
            _ => authority,
        };
        let pair = endpoint.name == DEFAULT_REGISTRY && name == DOCKER_REALM && tls;
        let confirmed = endpoint
            .realms
            .iter()
            .any(|realm| realm.eq_ignore_ascii_case(&name));
        Ok(Self {
            name,
            gets_login: own || pair || confirmed,
        })
    }
}

/// The host of `host` or `host:port`.
pub(super) fn host_of(address: &str) -> &str {
    if address.starts_with('[') {
        return address.split_inclusive(']').next().unwrap_or(address);
    }
    address.split(':').next().unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, address: &str, plain_http: bool, realms: &[&str]) -> Endpoint {
        Endpoint {
            name: name.to_owned(),
            address: address.to_owned(),
            path: Default::default(),
            plain_http,
            login: None,
            realms: realms.iter().map(|realm| (*realm).to_owned()).collect(),
            is_mirror: false,
            dead: false.into(),
            told: false.into(),
        }
    }

    #[test]
    fn redirects_lead_to_https_or_stay_what_they_were() {
        for (from, location, to) in [
            ("https://a.x/v2/", "https://b.x/c?d", Some("https://b.x/c?d")),
            ("https://a.x:5/v2/", "/c", Some("https://a.x:5/c")),
            ("https://a.x/v2/", "//b.x/c", Some("https://b.x/c")),
            ("http://a.x/", "https://b.x/", Some("https://b.x/")),
            ("http://a.x/", "http://b.x/", Some("http://b.x/")),
            ("https://a.x/", "http://a.x/", None),
            ("https://a.x/", "ftp://a.x/", None),
            ("https://a.x/", "file:///etc/passwd", None),
            ("https://a.x/", "https://u:p@b.x/", None),
            ("https://a.x/", "c", None),
            ("https://a.x/", "", None),
        ] {
            let found = join(&from.parse().unwrap(), location).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), to, "{from} {location}");
        }
    }

    #[test]
    fn a_login_goes_to_the_registrys_own_host_the_known_pair_and_what_was_confirmed() {
        let hub = endpoint("docker.io", "registry-1.docker.io", false, &[]);
        let own = endpoint("r.x:5000", "r.x:5000", false, &["auth.x", "other.x:8443"]);
        let plain = endpoint("r.x:5000", "r.x:5000", true, &["auth.x"]);
        let loopback = endpoint("127.0.0.1:5001", "127.0.0.1:5001", true, &["127.0.0.1:5003"]);
        let six = endpoint("[::1]:5000", "[::1]:5000", true, &[]);
        for (endpoint, realm, gets_login) in [
            (&hub, "https://auth.docker.io/token", Some(true)),
            (&hub, "https://AUTH.docker.io:443/token", Some(true)),
            (&hub, "https://registry-1.docker.io/token", Some(true)),
            (&hub, "https://auth.docker.io:8443/token", Some(false)),
            (&hub, "https://auth.docker.io.evil.x/token", Some(false)),
            (&hub, "https://evil.x/auth.docker.io", Some(false)),
            (&hub, "http://auth.docker.io/token", None),
            (&own, "https://r.x/token", Some(true)),
            (&own, "https://R.X:5000/token", Some(true)),
            (&own, "https://auth.x/token", Some(true)),
            (&own, "https://auth.x:8443/token", Some(false)),
            (&own, "https://other.x:8443/token", Some(true)),
            (&own, "https://other.x/token", Some(false)),
            (&own, "https://auth.docker.io/token", Some(false)),
            (&own, "https://x/token", Some(false)),
            (&own, "https://r.x.evil.y/token", Some(false)),
            (&own, "http://r.x:5000/token", None),
            (&own, "https://me@r.x/token", None),
            (&own, "https://r.x:secret@evil.y/token", None),
            (&own, "ftp://r.x/token", None),
            (&own, "/token", None),
            (&own, "", None),
            (&plain, "http://r.x:5000/token", Some(true)),
            (&plain, "http://r.x:6000/token", Some(false)),
            (&plain, "http://r.x/token", Some(false)),
            (&plain, "https://r.x:6000/token", Some(true)),
            (&loopback, "http://127.0.0.1:5002/token", Some(false)),
            (&loopback, "http://127.0.0.1:5003/token", Some(true)),
            (&plain, "http://auth.x/token", None),
            (&plain, "https://auth.x/token", Some(true)),
            (&six, "http://[::1]:5000/token", Some(true)),
            (&six, "http://[::1]:5001/token", Some(false)),
            (&six, "http://[::2]:5001/token", None),
        ] {
            let found = Realm::parse(endpoint, realm).ok().map(|realm| realm.gets_login);
            assert_eq!(found, gets_login, "{} {realm}", endpoint.name);
        }
    }

    #[test]
    fn a_token_server_that_is_refused_is_named_with_the_reason() {
        let tls = endpoint("r.x:5000", "r.x:5000", false, &["auth.x"]);
        let plain = endpoint("r.x:5000", "r.x:5000", true, &["auth.x"]);
        for (endpoint, realm, reason) in [
            (&tls, "http://auth.x/token", "it speaks no TLS"),
            (&tls, "http://r.x:5000/token", "it speaks no TLS"),
            (
                &plain,
                "http://auth.x/token",
                "without TLS only the registry's own host is asked for tokens",
            ),
            (
                &tls,
                "https://me:secret@r.x/token",
                "it has a user in its address",
            ),
            (&tls, "ftp://r.x/token", "it is not an https address"),
            (&tls, "/token", "it is not an https address"),
            (&plain, "", "it is not an https address"),
        ] {
            let error = Realm::parse(endpoint, realm).err().unwrap().to_string();
            let expected =
                format!("registry r.x:5000 names `{realm}` as its token server, which is refused: {reason}");
            assert_eq!(error, expected);
        }
    }
}
