//! What listens in the guest: the kernel's tables of sockets, whose processes hold them, and which speak HTTP.
//!
//! Whatever is read here was written by the guest's programs at their pleasure: everything is bounded.

mod owners;
mod probe;
mod table;

use std::path::Path;

use guest::{Listener, Listeners, Problem};

use crate::problem::internal;

/// Most listeners that are told of.
const MAX_LISTENERS: usize = 256;

/// The ports that something listens on, lowest first. `ask` says whether they are asked if they speak HTTP.
pub(crate) async fn list(ask: bool) -> Result<Listeners, Problem> {
    let found = tokio::task::spawn_blocking(|| find(Path::new("/proc")));
    let (mut listeners, more) = found
        .await
        .map_err(|error| internal("cannot read the tables of sockets", error))?;
    if ask {
        probe::ask_all(&mut listeners, probe::PATIENCE).await;
    }
    Ok(Listeners { listeners, more })
}

/// The listeners, and whether there are more of them.
fn find(proc: &Path) -> (Vec<Listener>, bool) {
    let mut sockets = table::read(proc);
    sockets.sort_by_key(|socket| (socket.port, socket.protocol, socket.address));
    let more = sockets.len() > MAX_LISTENERS;
    sockets.truncate(MAX_LISTENERS);
    let owners = owners::find(proc, sockets.iter().map(|socket| socket.inode).collect());
    let listeners = sockets.into_iter().map(|socket| Listener {
        protocol: socket.protocol,
        address: socket.address,
        port: socket.port,
        process: owners.get(&socket.inode).cloned(),
        http: false,
    });
    (listeners.collect(), more)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (listeners, _) = find(Path::new("/proc"));
        let found = listeners.iter().find(|listener| listener.port == port).unwrap();
        assert_eq!(found.address, Ipv4Addr::LOCALHOST);
        let process = found.process.as_ref().unwrap();
        assert_eq!(process.pid, std::process::id());
        assert!(!process.name.is_empty());
    }

    #[test]
    fn a_machine_without_tables_has_no_listeners() {
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(find(nothing.path()), (Vec::new(), false));
    }
}
