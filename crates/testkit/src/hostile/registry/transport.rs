//! Answers that are no HTTP, or too much of it: those of a hostile guest, and some that only a client of ours would hear.

use super::server::{Reply, response};
use super::{RegistryLie, places};
use crate::hostile::{Answer, Lie, answers};

/// What is wrong with an answer whatever was asked.
pub(super) fn transport(lie: RegistryLie) -> Option<Reply> {
    const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    let other = match lie {
        RegistryLie::Garbage => Lie::Garbage,
        RegistryLie::EndlessHeaders => Lie::EndlessHeaders,
        RegistryLie::EndlessBody => Lie::EndlessBody,
        RegistryLie::CutOff => Lie::CutOff,
        RegistryLie::Nothing => Lie::Nothing,
        RegistryLie::Closed => Lie::Closed,
        RegistryLie::Trickle => Lie::Trickle,
        RegistryLie::ManyHeaders => Lie::ManyHeaders,
        RegistryLie::GiantLength => Lie::GiantLength,
        RegistryLie::ShortLength => Lie::ShortLength,
        RegistryLie::TwoLengths => Lie::TwoLengths,
        RegistryLie::NoLength => Lie::NoLength,
        RegistryLie::GiantChunk => Lie::GiantChunk,
        RegistryLie::EndlessContinue => Lie::EndlessContinue,
        RegistryLie::Upgrade => Lie::Upgrade,
        RegistryLie::MoreAnswers => Lie::MoreAnswers,
        RegistryLie::Reset => {
            return Some(Reply {
                reset: true,
                ..Reply::lie(Answer {
                    bytes: format!("{OK}content-length: 900\r\n\r\n{{").into_bytes(),
                    ..Answer::default()
                })
            });
        }
        RegistryLie::EndlessChunks => {
            return Some(Reply::lie(Answer {
                bytes: format!("{OK}transfer-encoding: chunked\r\n\r\n").into_bytes(),
                again: b"1\r\n \r\n".repeat(500),
                ..Answer::default()
            }));
        }
        RegistryLie::EndlessStatus => {
            return Some(Reply::lie(Answer {
                bytes: b"HTTP/1.1 200 ".to_vec(),
                again: vec![b'x'; 4096],
                ..Answer::default()
            }));
        }
        RegistryLie::TrickledBody => {
            return Some(Reply::lie(Answer {
                bytes: format!("{OK}content-length: 300000\r\n\r\n").into_bytes(),
                again: b"{".to_vec(),
                pause: std::time::Duration::from_millis(50),
                ..Answer::default()
            }));
        }
        RegistryLie::Encoded => {
            return Some(Reply::lie(response(
                200,
                &[("content-encoding", "gzip")],
                &[0xff; 64],
            )));
        }
        _ => return places::refusal(lie).map(Reply::lie),
    };
    answers::of(other, "GET", "/").map(Reply::lie)
}
