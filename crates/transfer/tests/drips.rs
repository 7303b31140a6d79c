//! Servers that drip where a body's reader sees nothing: in the frames of chunks, after them, and in records of TLS.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use transfer::{Paced, PacedConnector};
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;

const PERIOD: Duration = Duration::from_millis(300);
const REST: Duration = Duration::from_millis(5);
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Answers one connection with that, and then with these bytes again and again, one at a time.
fn drips(answer: &'static [&'static [u8]], drops: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let drip = |stream: &mut TcpStream| -> io::Result<()> {
            for part in answer {
                stream.write_all(part)?;
            }
            loop {
                for drop in drops {
                    stream.write_all(&[*drop])?;
                    thread::sleep(REST);
                }
            }
        };
        // Until the client has left.
        let _ = drip(&mut stream);
    });
    address
}

/// What a download says in the end.
fn download(url: &str) -> String {
    let config = Agent::config_builder()
        .proxy(None)
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build();
    let agent = Agent::with_parts(config, PacedConnector::chain(PERIOD), DefaultResolver::default());
    let response = match agent.get(url).call() {
        Ok(response) => response,
        Err(error) => return error.to_string(),
    };
    let mut body = Paced::new(response.into_body().into_reader(), PERIOD);
    match body.read_to_end(&mut Vec::new()) {
        Ok(length) => format!("{length} bytes"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_drips_in_frames_is_given_up() {
    for (what, answer, drops) in [
        ("a chunk's extension", &[CHUNKED, b"5;"] as &[_], b"a" as &[_]),
        ("a chunk's length", &[CHUNKED], b"0"),
        ("trailers", &[CHUNKED, b"5\r\nhello\r\n0\r\n"], b"t: a\r\n"),
        ("headers", &[b"HTTP/1.1 200 OK\r\n"], b"h: a\r\n"),
        ("a body", &[CHUNKED], b"1\r\na\r\n"),
    ] {
        let said = download(&format!("http://{}/", drips(answer, drops)));
        assert!(
            said.contains("only ") && said.contains(" bytes came in "),
            "{what}: {said}"
        );
    }
    // The head of a record of TLS that is to be 16 KiB long.
    let address = drips(&[b"\x16\x03\x03\x40\x00"], b"\x02");
    let said = download(&format!("https://{address}/"));
    assert!(said.contains("only "), "a record: {said}");
}

#[test]
fn what_gets_on_comes_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(CHUNKED).unwrap();
        for _ in 0..20 {
            thread::sleep(PERIOD / 5);
            stream.write_all(b"8000\r\n").unwrap();
            stream.write_all(&[b'a'; 0x8000]).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    assert_eq!(
        download(&format!("http://{address}/")),
        format!("{} bytes", 20 * 0x8000)
    );
    server.join().unwrap();
}
