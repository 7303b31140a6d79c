//! Answers that are no HTTP, no JSON, no frames, or too much of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::archives::Archive;
use super::patches::{self, Printed};
use super::texts::{ESCAPES, long};
use super::{Answer, Lie};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// What an upgraded stream is.
const UPGRADES: [(&str, &str); 3] = [
    ("/v1/exec", "banger-exec"),
    ("/v1/forward", "banger-forward"),
    ("/v1/ssh", "banger-ssh"),
];

/// The answer to a request; none for the honest agent's.
pub(super) fn of(lie: Lie, method: &str, path: &str) -> Option<Answer> {
    if let Some(answer) = of_any(lie) {
        return Some(answer);
    }
    let upgrade = UPGRADES
        .iter()
        .find(|(route, _)| *route == path && method == "POST");
    match (lie, upgrade) {
        (Lie::Refusal | Lie::OddRefusal, _) => Some(refusal(lie)),
        (_, Some((_, protocol))) => of_stream(lie, path).map(|mut answer| {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
            );
            answer.bytes.splice(0..0, head.into_bytes());
            answer
        }),
        (_, None) => body(lie, method, path).map(|value| whole(200, &value.to_string())),
    }
}

/// What is told whatever was asked.
fn of_any(lie: Lie) -> Option<Answer> {
    let bytes = |text: &str| Answer {
        bytes: text.as_bytes().to_vec(),
        ..Answer::default()
    };
    let endless = |start: &str, again: Vec<u8>| Answer {
        bytes: start.as_bytes().to_vec(),
        again,
        ..Answer::default()
    };
    let length = |head: &str| bytes(&format!("{OK}{head}\r\n\r\n{{}}"));
    Some(match lie {
        Lie::Garbage => endless("", vec![0xa5; 4096]),
        Lie::EndlessHeaders => endless(OK, format!("x-more: {}\r\n", "x".repeat(100)).into_bytes()),
        Lie::EndlessBody => {
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            endless(
                &format!("{OK}transfer-encoding: chunked\r\n\r\n"),
                chunk.into_bytes(),
            )
        }
        Lie::NotJson => bytes(&format!("{OK}content-length: 9\r\n\r\n{{\"never\":")),
        Lie::CutOff => bytes(&format!("{OK}content-length: 900\r\n\r\n{{")),
        Lie::Nothing => Answer {
            stays: true,
            ..Answer::default()
        },
        Lie::Closed => Answer::default(),
        Lie::Trickle => Answer {
            pause: Duration::from_millis(50),
            ..endless(OK, b"x".to_vec())
        },
        Lie::ManyHeaders => bytes(&format!("{OK}{}\r\n", "x: y\r\n".repeat(5000))),
        Lie::GiantLength => Answer {
            stays: true,
            ..length("content-length: 18446744073709551615")
        },
        Lie::ShortLength => bytes(&format!("{OK}content-length: 2\r\n\r\n{{}}{}", "}".repeat(9000))),
        Lie::TwoLengths => length("content-length: 2\r\ncontent-length: 900"),
        Lie::NoLength => length("content-length: -1"),
        Lie::GiantChunk => Answer {
            stays: true,
            ..bytes(&format!(
                "{OK}transfer-encoding: chunked\r\n\r\nfffffffffffffff0\r\n{{}}"
            ))
        },
        Lie::EndlessContinue => endless("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
        Lie::Redirect => {
            bytes("HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/evil\r\ncontent-length: 0\r\n\r\n")
        }
        Lie::Upgrade => endless(
            "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\n",
            vec![0; 4096],
        ),
        Lie::MoreAnswers => endless(
            "",
            format!("{OK}content-length: 2\r\n\r\n{{}}")
                .repeat(50)
                .into_bytes(),
        ),
        Lie::DeepJson => whole(200, &"[".repeat(500_000)),
        _ => return None,
    })
}

/// An answer of which nothing is wrong but what it says.
fn whole(status: u16, body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} So\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Answer {
        bytes: (head + body).into_bytes(),
        ..Answer::default()
    }
}

fn refusal(lie: Lie) -> Answer {
    let code = match lie {
        Lie::OddRefusal => "evil",
        _ => "internal",
    };
    let message = format!("{ESCAPES}{}", "B".repeat(100_000));
    whole(500, &json!({ "code": code, "message": message }).to_string())
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[kind], &length.to_be_bytes()[..], payload].concat()
}

/// What follows an upgrade.
fn of_stream(lie: Lie, path: &str) -> Option<Answer> {
    let bytes = |bytes: Vec<u8>| Answer {
        bytes,
        ..Answer::default()
    };
    let again = |again: Vec<u8>| Answer {
        again,
        ..Answer::default()
    };
    let exec = path == "/v1/exec";
    Some(match lie {
        Lie::LongFrame if exec => Answer {
            stays: true,
            ..bytes([&[2, 0xff, 0xff, 0xff, 0xff][..], &[b'x'; 1000]].concat())
        },
        Lie::OddFrame if exec => bytes(frame(77, b"x")),
        Lie::NoExit if exec => bytes(frame(2, b"hi\n")),
        Lie::BadExit if exec => bytes(frame(6, &[7, 0x99])),
        Lie::AfterExit if exec => Answer {
            again: frame(2, &[b'x'; 4096]),
            ..bytes(frame(6, &[0, 0]))
        },
        Lie::OutputFlood if exec => again(frame(2, &[b'x'; 65536])),
        Lie::ErrorFlood if exec => again(frame(3, &[b'x'; 65536])),
        Lie::EmptyFrames if exec => again(frame(2, b"").repeat(1000)),
        Lie::StreamFlood if !exec => again(vec![b'x'; 65536]),
        lie if exec => output(&patches::of(lie)?),
        _ => return None,
    })
}

/// What a script prints that was to print a patch or a pack.
fn output(printed: &Printed) -> Answer {
    // As frames hold it.
    let frames = |kind, bytes: &[u8]| -> Vec<u8> {
        bytes.chunks(65536).flat_map(|piece| frame(kind, piece)).collect()
    };
    let mut bytes = [frames(2, &printed.out), frames(3, &printed.complaint)].concat();
    if printed.again.is_empty() {
        bytes.extend(frame(6, &[0, printed.code]));
    }
    Answer {
        bytes,
        again: frames(2, &printed.again),
        ..Answer::default()
    }
}

/// What a body says.
fn body(lie: Lie, method: &str, path: &str) -> Option<Value> {
    let text = match lie {
        Lie::LongTexts => long(),
        Lie::Escapes => ESCAPES.to_owned(),
        Lie::LargestNumbers | Lie::Many | Lie::WrongTypes => "evil".to_owned(),
        _ => return None,
    };
    let number = match lie {
        Lie::LargestNumbers => json!(u64::MAX),
        Lie::WrongTypes => json!("1"),
        _ => json!(1),
    };
    Some(match (method, path) {
        ("GET", "/v1/health") => json!({
            "generation": if lie == Lie::WrongTypes { json!(-1) } else { json!(1) },
            "version": text, "boot_id": text, "uptime_ms": number, "configured": true,
        }),
        ("GET", "/v1/stats") => {
            let names = [
                "cpu_busy_ms",
                "memory_total",
                "memory_available",
                "disk_total",
                "disk_used",
                "network_received",
                "network_sent",
            ];
            names.into_iter().map(|name| (name, number.clone())).collect()
        }
        ("GET", "/v1/ports") => {
            let count = if lie == Lie::Many { 5000 } else { 3 };
            let listeners: Vec<Value> = (0..count)
                .map(|number| {
                    json!({
                        "protocol": "tcp", "address": "0.0.0.0", "port": number % 65536, "http": true,
                        "process": { "pid": 1, "name": text },
                    })
                })
                .collect();
            json!({ "listeners": listeners, "more": true })
        }
        ("GET", "/v1/clock") => json!({ "unix_time_ns": number, "own_ns": number }),
        ("GET", "/v1/boot") => json!({ "state": text }),
        ("GET", "/v1/shutdown") => json!({ "how": text }),
        ("GET", "/v1/ssh") => json!({ "sshd": text }),
        ("POST", "/v1/disk/grow") => json!({ "disk_size": number }),
        ("PUT", "/v1/files") => json!({
            "entries": number, "bytes": number, "warnings": vec![text.clone(); if text.len() > 1000 { 1 } else { 40 }], "more_warnings": number,
        }),
        _ => return None,
    })
}

/// A tar stream.
pub(super) fn archive(archive: &Archive) -> Answer {
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let mut bytes =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-tar\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    if !archive.stream.is_empty() {
        bytes.extend(chunk(&archive.stream));
    }
    let again = match archive.again.is_empty() {
        true => Vec::new(),
        false => chunk(&archive.again),
    };
    if again.is_empty() {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    Answer {
        bytes,
        again,
        ..Answer::default()
    }
}
