//! Addresses of the web, as far as a mistake in one can be seen without asking anybody.

use std::net::Ipv6Addr;

/// Looks at what follows the `http://` or `https://` of an address: a server, with or without a login, and a path.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check(rest: &str) -> Result<(), &'static str> {
    let (server, path) = apart(rest);
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\<>`{}|^".contains(&byte);
    if !path.bytes().all(plain) {
        return Err("blanks, quotes, brackets and the like are written as `%` and two digits");
    }
    let server = server.rsplit('@').next().unwrap_or_default();
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("its `[` has no `]`")?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err("what stands in brackets is no IPv6 address");
            }
            (address, port)
        }
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if host.is_empty() {
        return Err("it names no server");
    }
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if !host.bytes().all(of_host) {
        return Err("a server's name is of letters, digits, `.` and `-`");
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        _ => Err("a port is a number from 1 to 65535"),
    }
}

/// Whether there is a login in it.
pub(crate) fn has_login(rest: &str) -> bool {
    apart(rest).0.contains('@')
}

fn apart(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Whether a text is the number of a port.
pub(crate) fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}
