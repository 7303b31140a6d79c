//! Answers without an end of their own: an operation's events, what happens in the daemon, and text.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ClientError;
use super::connection::{Answer, Driver};
use crate::{Event, Notice};

/// Longest line of an event stream.
const LONGEST_LINE: usize = 1 << 20;

/// A body that comes piece by piece, never held whole. Dropping it closes the connection.
pub struct Chunks {
    body: Incoming,
    _driver: Driver,
}

impl Chunks {
    pub(super) fn new(answer: Answer) -> Self {
        Self {
            body: answer.response.into_body(),
            _driver: answer.driver,
        }
    }

    /// The next piece; `None` at the end. May be dropped and called again without loss.
    ///
    /// # Errors
    /// [`ClientError::Broke`] if the connection ends before the body does.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(ClientError::Broke)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// An operation's events as they happen. Dropping it closes the connection, which cancels an operation that is this
/// caller's, and ends the lease of an ephemeral VM.
pub struct Events {
    chunks: Chunks,
    lines: Lines,
    ended: bool,
}

impl Events {
    pub(super) fn new(answer: Answer) -> Self {
        Self {
            chunks: Chunks::new(answer),
            lines: Lines::default(),
            ended: false,
        }
    }

    /// The next event; `None` once the daemon has closed the stream after the operation's end. May be dropped and
    /// called again without loss.
    ///
    /// # Errors
    /// A stream that breaks, that ends before the operation does, or a line that is too long or no event. Events of
    /// a type that this version does not know are passed over.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.lines.next::<Event>()? {
                self.ended |= event.is_end();
                return Ok(Some(event));
            }
            match self.chunks.next().await {
                Ok(Some(chunk)) => self.lines.push(&chunk),
                Ok(None) | Err(_) if self.ended => return Ok(None),
                Ok(None) => return Err(ClientError::Protocol("the events stop before the end".into())),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What happens in the daemon, as it happens. Dropping it closes the connection.
pub struct Notices {
    chunks: Chunks,
    lines: Lines,
}

impl Notices {
    pub(super) fn new(answer: Answer) -> Self {
        Self {
            chunks: Chunks::new(answer),
            lines: Lines::default(),
        }
    }

    /// The next notice; `None` once the daemon ends. May be dropped and called again without loss.
    ///
    /// # Errors
    /// A stream that breaks, or a line that is too long or no notice. Notices of a type that this version does not
    /// know are passed over.
    pub async fn next(&mut self) -> Result<Option<Notice>, ClientError> {
        loop {
            if let Some(notice) = self.lines.next()? {
                return Ok(Some(notice));
            }
            match self.chunks.next().await? {
                Some(chunk) => self.lines.push(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// What a line of a stream may be.
trait Line: DeserializeOwned {
    /// The types that this version knows; one of another is passed over.
    const KNOWN: &[&str];
}

impl Line for Event {
    const KNOWN: &[&str] = &[
        "started",
        "resolved",
        "stage",
        "timing",
        "warning",
        "succeeded",
        "failed",
        "cancelled",
    ];
}

impl Line for Notice {
    const KNOWN: &[&str] = &["listening", "vm", "vm_deleted", "operation", "missed"];
}

/// Bytes that become events or notices, a line each.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Up to here there is no line end.
    searched: usize,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    fn next<T: Line>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            let Some(at) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                if self.searched > LONGEST_LINE {
                    return Err(ClientError::TooLong { limit: LONGEST_LINE });
                }
                return Ok(None);
            };
            let line: Vec<u8> = self.bytes.drain(..=self.searched + at).collect();
            self.searched = 0;
            if let Some(event) = decode(line.trim_ascii())? {
                return Ok(Some(event));
            }
        }
    }
}

/// Decodes a line; `None` for an empty one (a sign of life) and for a type that this version does not know.
fn decode<T: Line>(line: &[u8]) -> Result<Option<T>, ClientError> {
    #[derive(Deserialize)]
    struct Tag {
        r#type: String,
    }

    if line.is_empty() {
        return Ok(None);
    }
    match (serde_json::from_slice(line), serde_json::from_slice::<Tag>(line)) {
        (Ok(event), _) => Ok(Some(event)),
        (Err(_), Ok(tag)) if !T::KNOWN.contains(&tag.r#type.as_str()) => Ok(None),
        (Err(error), _) => Err(ClientError::Protocol(format!(
            "an event does not decode: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Happening, Operation, OperationState, VmState};

    fn events(chunks: &[&[u8]]) -> Result<Vec<Event>, ClientError> {
        let mut lines = Lines::default();
        let mut events = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(event) = lines.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn events_are_found_wherever_the_chunks_are_cut() {
        let text = b"{\"type\":\"started\",\"operation\":\"o\"}\n\n{\"type\":\"cancelled\"}\n";
        let whole = vec![
            Event::Started {
                operation: "o".into(),
            },
            Event::Cancelled,
        ];
        for at in 0..text.len() {
            let (before, after) = text.split_at(at);
            assert_eq!(events(&[before, after]).unwrap(), whole, "cut at {at}");
        }
    }

    #[test]
    fn an_unknown_type_is_passed_over_and_a_broken_known_one_is_not() {
        assert_eq!(events(&[b"{\"type\":\"applause\",\"loud\":true}\n"]).unwrap(), []);
        assert!(matches!(
            events(&[b"{\"type\":\"started\"}\n"]),
            Err(ClientError::Protocol(_))
        ));
        assert!(matches!(events(&[b"nonsense\n"]), Err(ClientError::Protocol(_))));
    }

    #[test]
    fn a_line_without_an_end_is_not_collected_forever() {
        let chunk = vec![b'x'; LONGEST_LINE + 1];
        assert!(matches!(events(&[&chunk]), Err(ClientError::TooLong { .. })));
    }

    #[test]
    fn every_notice_is_of_a_known_type_and_comes_back() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let operation = Operation {
            id: "o".into(),
            kind: "start".into(),
            vm: None,
            state: OperationState::Running,
            started_at: at,
            ended_at: None,
            error: None,
        };
        let (id, name) = (String::from("1"), String::from("a"));
        let (state, reason) = (VmState::Running, None);
        for what in [
            Happening::Listening,
            Happening::Vm {
                id: id.clone(),
                name: name.clone(),
                state,
                reason,
            },
            Happening::VmDeleted { id, name },
            Happening::Operation { operation },
            Happening::Missed { lines: 7 },
        ] {
            let notice = Notice { at, what };
            let line = serde_json::to_vec(&notice).unwrap();
            let kind: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert!(Notice::KNOWN.contains(&kind["type"].as_str().unwrap()));
            assert_eq!(decode::<Notice>(&line).unwrap(), Some(notice));
        }
        let later = br#"{"at":"2026-01-02T03:04:05Z","type":"applause"}"#;
        assert_eq!(decode::<Notice>(later).unwrap(), None);
        assert!(
            decode::<Notice>(br#"{"type":"listening"}"#).is_err(),
            "it has no time"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _ = events(&chunks);
            let _ = decode::<Notice>(&chunks.concat());
        }
    }
}
