//! A published catalog whose server does not come to an end.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{Daemon, command};

/// Less than the daemon's own limit for a catalog.
const SOON: Duration = Duration::from_secs(15);

/// A daemon with that catalog.
fn daemon(catalog: &TcpListener) -> Daemon {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/banger");
    fs::create_dir_all(&folder).unwrap();
    let address = catalog.local_addr().unwrap();
    let key = format!("catalog_url = \"http://{address}/catalog.json\"\n");
    fs::write(folder.join("config.toml"), key).unwrap();
    Daemon::start_command(command(home.path(), &["--announce"]), home)
}

fn post(daemon: &Daemon, path: &str, body: &str) -> UnixStream {
    let mut client = UnixStream::connect(&daemon.socket).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: banger\r\ncontent-type: application/json\r\ncontent-length: {length}"
    );
    write!(client, "{head}\r\n\r\n{body}").unwrap();
    client
}

/// Reads until the other end has closed.
fn wait_for_end(mut connection: &TcpStream) {
    while matches!(connection.read(&mut [0; 1024]), Ok(1..)) {}
}

#[test]
fn a_client_that_leaves_ends_the_exchange_with_the_catalog_that_its_call_waits_for() {
    let catalog = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = daemon(&catalog);
    for (path, body) in [
        ("/v1/images", r#"{"reference": "nosuch"}"#),
        ("/v1/kernels", r#"{"name": "nosuch"}"#),
        ("/v1/vms", r#"{"image": "nosuch"}"#),
    ] {
        let client = post(&daemon, path, body);
        let mut asked = catalog.accept().unwrap().0;
        write!(asked, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{{").unwrap();
        let left = Instant::now();
        drop(client);
        wait_for_end(&asked);
        assert!(left.elapsed() < SOON, "{path}");
    }
}
