//! A guest whose agent is not the real one: what it answers is made to do harm, or never ends.
//!
//! Each [`Lie`] is one way; where a lie is about a request of another kind, the honest agent answers. `answer` knows
//! nothing of how a request came, so that the same lies are told by a simulated machine and from inside a real guest.

mod answers;
mod archives;
mod members;
pub mod registry;
mod texts;

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt};

pub use archives::TREE;
pub use texts::ESCAPES;

/// An answer of an agent that is broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Bytes that are no HTTP, for ever.
    Garbage,
    /// An HTTP answer whose headers never end.
    EndlessHeaders,
    /// An HTTP answer whose body never ends.
    EndlessBody,
    /// An HTTP answer that says it is JSON and is not.
    NotJson,
    /// An HTTP answer that ends in its middle.
    CutOff,
    /// No answer, and an open connection.
    Nothing,
    /// The end of the connection in the place of an answer.
    Closed,
    /// A byte of an answer now and then.
    Trickle,
    /// More header lines than anybody sends.
    ManyHeaders,
    /// A length that no memory holds, and a few bytes.
    GiantLength,
    /// Fewer bytes told than sent.
    ShortLength,
    /// Two lengths that differ.
    TwoLengths,
    /// A length that is none.
    NoLength,
    /// A chunk that is longer than memory.
    GiantChunk,
    /// `100 Continue`, for ever.
    EndlessContinue,
    /// Another place to ask.
    Redirect,
    /// An upgrade that nobody asked for, and bytes.
    Upgrade,
    /// Answers to questions that nobody asked.
    MoreAnswers,
    /// A JSON that is nested without end.
    DeepJson,
    /// The right names with values of other types.
    WrongTypes,
    /// Numbers at the edge.
    LargestNumbers,
    /// Texts of a megabyte.
    LongTexts,
    /// Texts that steer a terminal.
    Escapes,
    /// A refusal in such a text.
    Refusal,
    /// A refusal with a code that does not exist.
    OddRefusal,
    /// Thousands of whatever is listed.
    Many,
    /// A frame of four gigabytes.
    LongFrame,
    /// A frame of a kind that does not exist.
    OddFrame,
    /// A command that never ends though its stream does.
    NoExit,
    /// An end that is none.
    BadExit,
    /// Output after the end.
    AfterExit,
    /// Output without end.
    OutputFlood,
    /// Complaints without end.
    ErrorFlood,
    /// Frames without anything in them, without end.
    EmptyFrames,
    /// Bytes of a forwarded connection without end, whatever is said.
    StreamFlood,
    /// Another name than the one asked for.
    OtherName,
    /// A tree of other names.
    OtherTree,
    /// A second tree behind the one asked for.
    SecondTree,
    /// What is in a folder, in the place of the folder.
    Contents,
    /// Names that lead out by dots.
    Dots,
    /// Names that begin at the root.
    Absolute,
    /// A link that leads out, and a file behind it.
    ThroughLink,
    /// A second name for a file outside.
    HardLink,
    /// Set-id bits and capabilities.
    SetId,
    /// Devices and pipes.
    Devices,
    /// A hole of a petabyte.
    Hole,
    /// Holes that are too large together.
    Holes,
    /// A length of a petabyte.
    LargeFile,
    /// Headers of one member, without end.
    EndlessRecords,
    /// Warnings, without end.
    EndlessWarnings,
    /// Bytes behind the end, without end.
    EndlessEnd,
    /// Lengths that are negative.
    NegativeLength,
    /// A failure in a long text that steers a terminal.
    Failure,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 53] = [
        Self::Garbage,
        Self::EndlessHeaders,
        Self::EndlessBody,
        Self::NotJson,
        Self::CutOff,
        Self::Nothing,
        Self::Closed,
        Self::Trickle,
        Self::ManyHeaders,
        Self::GiantLength,
        Self::ShortLength,
        Self::TwoLengths,
        Self::NoLength,
        Self::GiantChunk,
        Self::EndlessContinue,
        Self::Redirect,
        Self::Upgrade,
        Self::MoreAnswers,
        Self::DeepJson,
        Self::WrongTypes,
        Self::LargestNumbers,
        Self::LongTexts,
        Self::Escapes,
        Self::Refusal,
        Self::OddRefusal,
        Self::Many,
        Self::LongFrame,
        Self::OddFrame,
        Self::NoExit,
        Self::BadExit,
        Self::AfterExit,
        Self::OutputFlood,
        Self::ErrorFlood,
        Self::EmptyFrames,
        Self::StreamFlood,
        Self::OtherName,
        Self::OtherTree,
        Self::SecondTree,
        Self::Contents,
        Self::Dots,
        Self::Absolute,
        Self::ThroughLink,
        Self::HardLink,
        Self::SetId,
        Self::Devices,
        Self::Hole,
        Self::Holes,
        Self::LargeFile,
        Self::EndlessRecords,
        Self::EndlessWarnings,
        Self::EndlessEnd,
        Self::NegativeLength,
        Self::Failure,
    ];

    /// Whether it is about the files that a guest is asked for.
    #[must_use]
    pub fn is_of_files(self) -> bool {
        archives::of(self, TREE.as_bytes()).is_some()
    }

    /// Whether a copy of files may end well all the same: what is wrong is left out.
    #[must_use]
    pub fn is_left_out(self) -> bool {
        matches!(self, Self::SetId | Self::Devices)
    }
}

/// What is said, and how.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    bytes: Vec<u8>,
    /// Said again and again, until nobody listens.
    again: Vec<u8>,
    pause: Duration,
    /// The connection stays open after that.
    stays: bool,
}

/// The answer to a request that begins with `head`; none where the honest agent is to answer.
#[must_use]
pub fn answer(lie: Lie, head: &[u8]) -> Option<Answer> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if method == "GET" && path == "/v1/files" {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("path="));
        let name = asked.unwrap_or_default().trim_end_matches('/').rsplit('/').next();
        if let Some(archive) = archives::of(lie, name.unwrap_or_default().as_bytes()) {
            return Some(answers::archive(&archive));
        }
    }
    answers::of(lie, method, path)
}

impl Answer {
    /// Says it. Ends when all is said, or when the other side has had enough.
    ///
    /// # Errors
    /// The other side is gone.
    pub async fn say(self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.bytes).await?;
        while !self.again.is_empty() {
            stream.write_all(&self.again).await?;
            if !self.pause.is_zero() {
                stream.flush().await?;
                tokio::time::sleep(self.pause).await;
            }
        }
        if self.stays {
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_lie_is_told_on_some_route_and_is_listed_once() {
        let routes = [
            "GET /v1/health",
            "GET /v1/stats",
            "GET /v1/ports",
            "POST /v1/exec",
            "POST /v1/forward",
            "GET /v1/files?path=/srv/tree",
            "PUT /v1/files?path=/srv",
        ];
        for lie in Lie::ALL {
            let told = |route: &&str| answer(lie, format!("{route} HTTP/1.1\r\n\r\n").as_bytes()).is_some();
            assert!(routes.iter().any(told), "{lie:?}");
        }
        assert_eq!(BTreeSet::from(Lie::ALL).len(), Lie::ALL.len());
    }
}
