//! What QEMU sends: a greeting, answers and events.

use serde::Deserialize;
use serde_json::Value;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::qemu) enum Message {
    /// The first line of a session.
    Greeting,
    /// What a command gave.
    Return(Value),
    /// Why a command failed.
    Error {
        /// For programs.
        class: String,
        /// For people.
        desc: String,
    },
    /// Something happened.
    Event(Event),
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::qemu) enum Event {
    /// QEMU is about to end.
    Shutdown(Cause),
    /// One that means nothing here.
    Other,
}

/// Why QEMU ends (`ShutdownCause` of QEMU's schema).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::qemu) enum Cause {
    /// The guest powered off.
    GuestShutdown,
    /// The guest reset the machine.
    GuestReset,
    /// The guest's kernel panicked, and the machine has a device that tells.
    GuestPanic,
    /// QEMU was asked to end through QMP.
    HostQmpQuit,
    /// QEMU was sent a signal that it takes as such.
    HostSignal,
    /// Any other.
    #[serde(other)]
    Other,
}

/// The line as it is written: which of the keys is there says what it is.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<serde_json::Map<String, Value>>,
    #[serde(rename = "return", default, deserialize_with = "present")]
    returned: Option<Value>,
    error: Option<Failure>,
    event: Option<String>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Failure {
    class: String,
    desc: String,
}

/// The answer to `query-status`.
#[derive(Debug, Deserialize)]
pub(in crate::qemu) struct Status {
    /// Whether the guest's processors run.
    pub(in crate::qemu) running: bool,
}

#[derive(Deserialize)]
struct Shutdown {
    reason: Cause,
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// It is not JSON, or none or several kinds of message at once.
    pub(in crate::qemu) fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let line: Line = serde_json::from_slice(line)?;
        match line {
            Line {
                greeting: Some(_),
                returned: None,
                error: None,
                event: None,
                ..
            } => Ok(Self::Greeting),
            Line {
                greeting: None,
                returned: Some(value),
                error: None,
                event: None,
                ..
            } => Ok(Self::Return(value)),
            Line {
                greeting: None,
                returned: None,
                error: Some(Failure { class, desc }),
                event: None,
                ..
            } => Ok(Self::Error { class, desc }),
            Line {
                greeting: None,
                returned: None,
                error: None,
                event: Some(event),
                data,
            } => Event::of(&event, data).map(Self::Event),
            _ => Err(serde::de::Error::custom("not one kind of message")),
        }
    }
}

impl Event {
    fn of(name: &str, data: Option<Value>) -> serde_json::Result<Self> {
        match name {
            "SHUTDOWN" => {
                let Shutdown { reason } = serde_json::from_value(data.unwrap_or_default())?;
                Ok(Self::Shutdown(reason))
            }
            _ => Ok(Self::Other),
        }
    }
}

/// Tells `null` from a key that is not there.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_line_is_told_from_the_others() {
        let event = |cause| Some(Message::Event(Event::Shutdown(cause)));
        let table = [
            (
                r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#,
                Some(Message::Greeting),
            ),
            (r#"{"return": {}}"#, Some(Message::Return(serde_json::json!({})))),
            (r#"{"return": null}"#, Some(Message::Return(Value::Null))),
            (
                r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
                Some(Message::Error {
                    class: "GenericError".into(),
                    desc: "no".into(),
                }),
            ),
            (
                r#"{"timestamp": {}, "event": "RESET", "data": {"guest": true}}"#,
                Some(Message::Event(Event::Other)),
            ),
            (
                r#"{"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}"#,
                event(Cause::GuestShutdown),
            ),
            (
                r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#,
                event(Cause::GuestReset),
            ),
            (
                r#"{"event": "SHUTDOWN", "data": {"reason": "host-signal"}}"#,
                event(Cause::HostSignal),
            ),
            (
                r#"{"event": "SHUTDOWN", "data": {"reason": "of-2040"}}"#,
                event(Cause::Other),
            ),
            (r#"{"event": "SHUTDOWN"}"#, None),
            (r#"{"return": {}, "event": "RESET"}"#, None),
            (r#"{"error": "no"}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(Message::parse(line.as_bytes()).ok(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(line: Vec<u8>) {
            let _ = Message::parse(&line);
        }
    }
}
