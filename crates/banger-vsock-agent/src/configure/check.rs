//! What a `configure` request may say.

use guest::{Configure, GuestNetwork, Problem};

use super::{certificates, entropy};
use crate::exec::check_environment;
use crate::problem::bad_request;

/// Resolvers that are taken; their readers look at the first three (`MAXNS` of resolv.conf(5)).
const MAX_RESOLVERS: usize = 16;
const MAX_DOMAINS: usize = 16;

/// Refuses a request that breaks a rule, before any of it is carried out.
pub(crate) fn check(wanted: &Configure) -> Result<(), Problem> {
    if !is_label(&wanted.hostname) {
        return Err(bad_request(format!(
            "host name `{}` is no DNS label",
            wanted.hostname.escape_debug()
        )));
    }
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if wanted.machine_id.len() != 32 || !wanted.machine_id.bytes().all(hex) {
        return Err(bad_request("the machine id is not 32 lower-case hex digits"));
    }
    if entropy::decode(&wanted.entropy).is_none() {
        return Err(bad_request("the entropy is not 64 bytes as hex"));
    }
    if i64::try_from(wanted.unix_time_ns).is_err() {
        return Err(bad_request("the time is out of range"));
    }
    check_environment(&wanted.environment)?;
    if let Some(pem) = &wanted.ca_certificates {
        certificates::split(pem).map_err(|error| bad_request(error.to_string()))?;
    }
    wanted.network.as_ref().map_or(Ok(()), check_network)
}

fn check_network(network: &GuestNetwork) -> Result<(), Problem> {
    if network.prefix > 32 {
        return Err(bad_request(format!(
            "a network prefix has no {} bits",
            network.prefix
        )));
    }
    if let Some(ipv6) = network.ipv6.as_ref().filter(|ipv6| ipv6.prefix > 128) {
        return Err(bad_request(format!(
            "a network prefix of IPv6 has no {} bits",
            ipv6.prefix
        )));
    }
    if network.dns.len() > MAX_RESOLVERS {
        return Err(bad_request(format!("more than {MAX_RESOLVERS} resolvers")));
    }
    let domains = &network.search;
    if domains.len() > MAX_DOMAINS || !domains.iter().all(|domain| is_domain(domain)) {
        return Err(bad_request(format!(
            "not at most {MAX_DOMAINS} domains to search, each of labels of letters, digits, `-` and `_`"
        )));
    }
    // Each link takes 68 bytes of IPv4 (RFC 791) and 1280 of IPv6 (RFC 8200), no packet is longer than 65535.
    let smallest = if network.ipv6.is_some() { 1280 } else { 68 };
    match network.mtu {
        Some(mtu) if !(smallest..=65535).contains(&mtu) => {
            Err(bad_request(format!("no link has an MTU of {mtu}")))
        }
        _ => Ok(()),
    }
}

/// One that can be written into a line of settings as it is.
fn is_domain(domain: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(sound);
    domain.len() <= 253 && domain.split('.').all(is_label)
}

fn is_label(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(sound)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use guest::ProblemCode;

    use super::*;

    fn good() -> Configure {
        Configure {
            hostname: "quick-otter".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            network: Some(GuestNetwork {
                address: [10, 0, 2, 15].into(),
                prefix: 24,
                gateway: [10, 0, 2, 2].into(),
                dns: vec![],
                search: vec!["corp.example".into()],
                ndots: Some(2),
                mtu: Some(1500),
                ipv6: Some(guest::GuestIpv6 {
                    address: "fd00::15".parse().unwrap(),
                    prefix: 64,
                    gateway: "fd00::2".parse().unwrap(),
                }),
            }),
            unix_time_ns: 1_700_000_000_000_000_000,
            entropy: "5a".repeat(64),
            environment: [("A".to_owned(), "b".to_owned())].into(),
            ca_certificates: None,
        }
    }

    fn set_mtu(configure: &mut Configure, mtu: u32) {
        configure.network.as_mut().unwrap().mtu = Some(mtu);
    }

    fn set_search(configure: &mut Configure, domains: &[&str]) {
        let network = configure.network.as_mut().unwrap();
        network.search = domains.iter().map(ToString::to_string).collect();
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_refused_before_it_does_anything() {
        type Change = fn(&mut Configure);
        assert_eq!(check(&good()), Ok(()));
        let bad: [(&str, Change); 18] = [
            ("empty name", |c| c.hostname.clear()),
            ("name with a dot", |c| c.hostname = "a.b".into()),
            ("name with a line", |c| c.hostname = "a\nb".into()),
            ("name that starts with -", |c| c.hostname = "-a".into()),
            ("long name", |c| c.hostname = "a".repeat(64)),
            ("short id", |c| c.machine_id.truncate(31)),
            ("upper-case id", |c| c.machine_id = "A".repeat(32)),
            ("little entropy", |c| c.entropy.truncate(126)),
            ("no hex", |c| c.entropy = "zz".repeat(64)),
            ("variable with =", |c| {
                c.environment.extend([("A=B".to_owned(), String::new())]);
            }),
            ("long prefix", |c| {
                c.network.as_mut().unwrap().ipv6.as_mut().unwrap().prefix = 129;
            }),
            ("small mtu for IPv6", |c| set_mtu(c, 1279)),
            ("tiny mtu", |c| {
                c.network.as_mut().unwrap().ipv6 = None;
                set_mtu(c, 67);
            }),
            ("huge mtu", |c| set_mtu(c, 65536)),
            ("domain with a line", |c| {
                set_search(c, &["a\nnameserver 1.1.1.1"]);
            }),
            ("empty domain", |c| set_search(c, &[""])),
            ("many domains", |c| set_search(c, &["a"; 17])),
            ("no certificate", |c| c.ca_certificates = Some("hello".into())),
        ];
        for (what, break_it) in bad {
            let mut configure = good();
            break_it(&mut configure);
            let problem = check(&configure).expect_err(what);
            assert_eq!(problem.code, ProblemCode::BadRequest, "{what}");
        }
    }
}
