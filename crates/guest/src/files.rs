//! Files of a guest as tar streams: what is asked, and the client's two calls.
//!
//! ```text
//! GET /v1/files?path=…[&follow=true][&archive=true]                → 200, a tar stream
//! PUT /v1/files?path=…[&placement=copy][&archive=true]  tar stream → 200, Written
//! ```
//! The host API has the same two below `/v1/vms/{ref}`. Values are percent-encoded; paths are bytes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::http::Stream;
use crate::{Agent, AgentError, http, text};

/// Copies that a session has under way at a time; more of them wait.
pub(crate) const MAX_COPIES: usize = 8;

/// Pieces that wait between two ends of a [`pipe`].
const PIECES: usize = 2;

/// Query of `GET …/files`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFiles {
    /// A file or folder; relative to the root. `…/.` means what is in a folder, without the folder.
    pub path: Vec<u8>,
    /// Where the path is a link, read what it leads to.
    pub follow: bool,
    /// Send extended attributes, and times to the nanosecond.
    pub archive: bool,
}

/// Query of `PUT …/files`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteFiles {
    /// Where to; relative to the root.
    pub path: Vec<u8>,
    /// `placement=copy`: the stream holds one tree, which is put there as `docker cp` would. Otherwise the path is a
    /// folder that is there, and the stream's entries go into it.
    pub copy: bool,
    /// Keep owners, set-id bits and extended attributes. Otherwise all becomes root's.
    pub archive: bool,
}

/// Answer of `PUT …/files`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Written {
    /// Members of the stream.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
    /// What was left out, a line each.
    #[serde(deserialize_with = "text::lines")]
    pub warnings: Vec<String>,
    /// Warnings beyond those.
    pub more_warnings: u64,
}

/// A tar stream on its way to a guest.
pub type TarBody = UnsyncBoxBody<Bytes, io::Error>;

impl ReadFiles {
    /// As the query of a URI.
    #[must_use]
    pub fn to_query(&self) -> String {
        let flags = [("follow=true", self.follow), ("archive=true", self.archive)];
        to_query(&self.path, &flags)
    }

    /// Reads a query.
    ///
    /// # Errors
    /// A line for a person: what is missing, unknown or malformed.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut read = Self::default();
        let path = for_each(query, |key, value| match key {
            "follow" => flag(value, &mut read.follow),
            "archive" => flag(value, &mut read.archive),
            _ => false,
        })?;
        Ok(Self { path, ..read })
    }
}

impl WriteFiles {
    /// As the query of a URI.
    #[must_use]
    pub fn to_query(&self) -> String {
        let flags = [("placement=copy", self.copy), ("archive=true", self.archive)];
        to_query(&self.path, &flags)
    }

    /// Reads a query.
    ///
    /// # Errors
    /// A line for a person: what is missing, unknown or malformed.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut write = Self::default();
        let path = for_each(query, |key, value| match (key, value) {
            ("placement", "copy") => {
                write.copy = true;
                true
            }
            ("placement", "inside") => true,
            ("archive", value) => flag(value, &mut write.archive),
            _ => false,
        })?;
        Ok(Self { path, ..write })
    }
}

fn flag(value: &str, flag: &mut bool) -> bool {
    *flag = value == "true";
    matches!(value, "true" | "false")
}

fn to_query(path: &[u8], flags: &[(&str, bool)]) -> String {
    let mut query = String::from("path=");
    for byte in path {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' | b'/' => {
                query.push(char::from(*byte));
            }
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    for (flag, _) in flags.iter().filter(|(_, set)| *set) {
        query.push('&');
        query.push_str(flag);
    }
    query
}

/// Goes through a query; gives its path.
fn for_each(query: &str, mut take: impl FnMut(&str, &str) -> bool) -> Result<Vec<u8>, String> {
    let mut path = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key == "path" {
            path = Some(decode(value).ok_or_else(|| format!("`{value}` is not percent-encoded"))?);
        } else if !take(key, value) {
            return Err(format!("the query has an unknown `{pair}`"));
        }
    }
    match path {
        Some(path) if !path.is_empty() && !path.contains(&0) => Ok(path),
        Some(_) => Err("the path is empty or holds a zero byte".to_owned()),
        None => Err("the query lacks `path=`".to_owned()),
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// A body, and the end that its pieces are put in: a bounded queue between a task or thread that makes a stream and
/// the connection that sends it.
#[must_use]
pub fn pipe() -> (mpsc::Sender<io::Result<Bytes>>, TarBody) {
    let (sender, receiver) = mpsc::channel(PIECES);
    (sender, body_of(receiver))
}

/// A body of the pieces that come out of a queue.
#[must_use]
pub fn body_of(mut pieces: mpsc::Receiver<io::Result<Bytes>>) -> TarBody {
    let frames = futures::stream::poll_fn(move |cx| {
        pieces
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    BodyExt::boxed_unsync(http_body_util::StreamBody::new(frames))
}

/// Takes a body apart in a task of its own, which reads it to its end even when nobody wants the pieces any more: an
/// answer can then be given, and read, before the whole request is.
#[must_use]
pub fn take_apart<B>(mut body: B) -> mpsc::Receiver<io::Result<Bytes>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let (sender, receiver) = mpsc::channel(PIECES * 4);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => Ok(data),
                Ok(Err(_trailers)) => continue,
                Err(error) => Err(io::Error::other(error)),
            };
            let failed = piece.is_err();
            // One that nobody takes is dropped.
            let _ = sender.send(piece).await;
            if failed {
                break;
            }
        }
    });
    receiver
}

/// A tar stream from a guest. Dropping it ends the copy.
#[derive(Debug)]
pub struct FileStream {
    body: Incoming,
    _driver: http::Driver,
    _permit: OwnedSemaphorePermit,
    _agent: Agent,
}

impl FileStream {
    /// The next piece; `None` at the end. May be dropped and called again without loss.
    ///
    /// # Errors
    /// The link was lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AgentError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|_| AgentError::Closed)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Agent {
    /// `GET /v1/files`: a file or a tree as a tar stream.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when there is no such file, others when the link fails.
    pub async fn read_files(&self, query: &ReadFiles) -> Result<FileStream, AgentError> {
        let (permit, stream) = self.begin_copy().await?;
        let path = format!("/v1/files?{}", query.to_query());
        let asked = http::exchange(stream, Method::GET, &path, http_body_util::Empty::<Bytes>::new());
        let (response, driver) = self.unless_closed(asked).await?;
        if response.status() == StatusCode::OK {
            return Ok(FileStream {
                body: response.into_body(),
                _driver: driver,
                _permit: permit,
                _agent: self.clone(),
            });
        }
        let answer = http::collect(response, http::MAX_LIST).await?;
        let status = answer.0;
        http::accepted(answer)?;
        Err(AgentError::Protocol(format!(
            "status {status} in answer to reading files"
        )))
    }

    /// `PUT /v1/files`: writes a tar stream below a path.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when it cannot be written, others when the link or the stream fails.
    pub async fn write_files(&self, query: &WriteFiles, tar: TarBody) -> Result<Written, AgentError> {
        let (_permit, stream) = self.begin_copy().await?;
        let path = format!("/v1/files?{}", query.to_query());
        let asked = async {
            let (response, _driver) = http::exchange(stream, Method::PUT, &path, tar).await?;
            http::collect(response, http::MAX_LIST).await
        };
        http::decode(self.unless_closed(asked).await?)
    }

    async fn begin_copy(&self) -> Result<(OwnedSemaphorePermit, Stream), AgentError> {
        let permit = Arc::clone(self.copies())
            .acquire_owned()
            .await
            .map_err(|_| AgentError::Closed)?;
        self.count();
        Ok((permit, self.open().await?))
    }
}

/// Copies of a new session.
pub(crate) fn copies() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_COPIES))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn queries_come_back_whatever_the_path(
            path in proptest::collection::vec(1u8.., 1..40), follow: bool, archive: bool, copy: bool,
        ) {
            let read = ReadFiles { path: path.clone(), follow, archive };
            prop_assert_eq!(ReadFiles::from_query(&read.to_query()), Ok(read));
            let write = WriteFiles { path, copy, archive };
            prop_assert_eq!(WriteFiles::from_query(&write.to_query()), Ok(write));
        }

        #[test]
        fn no_text_makes_the_query_reader_panic(query in "[path=&%0-9a-f]{0,30}|.{0,30}") {
            let _ = (ReadFiles::from_query(&query), WriteFiles::from_query(&query));
        }
    }

    #[test]
    fn a_query_that_is_not_understood_is_refused() {
        for bad in [
            "",
            "path=",
            "path=%",
            "path=%4",
            "path=%zz",
            "path=a%00",
            "follow=true",
            "path=a&follow=1",
            "path=a&x=y",
        ] {
            assert!(ReadFiles::from_query(bad).is_err(), "{bad}");
        }
        assert!(WriteFiles::from_query("path=a&placement=on").is_err());
    }
}
