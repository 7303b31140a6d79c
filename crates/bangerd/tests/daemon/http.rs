//! Requests byte by byte: what a client of another make would send.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lines, lower case names.
    pub head: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Asks, and reads the answer; of a stream that does not end by itself, the first piece.
pub fn ask(socket: &Path, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: banger\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    match stream.write_all(body) {
        // Who refuses a request need not read its body; the answer is there all the same.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let mut from = BufReader::new(stream);
    let first = line(&mut from);
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut head = Vec::new();
    loop {
        let line = line(&mut from);
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        head.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status: status.unwrap_or_else(|| panic!("{first}")),
        head,
        body: Vec::new(),
    };
    if let Some(length) = answer.header("content-length") {
        answer.body = vec![0; length.parse().unwrap()];
        from.read_exact(&mut answer.body).unwrap();
    } else if answer.header("transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(&mut from), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            from.read_exact(&mut chunk).unwrap();
            answer.body.extend_from_slice(&chunk[..length]);
            if length == 0 || path.ends_with("/v1/events") {
                break;
            }
        }
    }
    answer
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
