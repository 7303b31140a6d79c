//! `/v1/files`: files and trees in and out, as tar streams. Packing and unpacking block, so each has a thread.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use archive::{ArchiveError, Keep, PackOptions, Pieces, Placement, Source, Target, unpack};
use guest::files::{ReadFiles, WriteFiles, Written, pipe, take_apart};
use guest::{Problem, ProblemCode};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::answer::{self, Answer};
use crate::problem::{bad_request, internal, problem};

/// Copies at a time; more of them wait.
pub(crate) const MAX_COPIES: usize = 8;

static COPIES: Semaphore = Semaphore::const_new(MAX_COPIES);

/// The media type of the streams.
const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

/// Reads a file or a tree.
pub(super) async fn read(request: &Request<Incoming>) -> Result<Answer, Problem> {
    let query = ReadFiles::from_query(request.uri().query().unwrap_or_default()).map_err(bad_request)?;
    let permit = permit().await?;
    let (sender, body) = pipe();
    let (opened, outcome) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let source = match Source::open(&from_root(&query.path), query.follow) {
            Ok(source) => source,
            Err(error) => return drop(opened.send(Err(error))),
        };
        // Nobody waits any more if this fails, and then nobody takes the stream either.
        let _ = opened.send(Ok(()));
        // A failure is told in the stream.
        let _ = source.pack(
            PackOptions {
                archive: query.archive,
            },
            &mut |piece| {
                sender
                    .blocking_send(Ok(piece))
                    .map_err(|_| io::ErrorKind::BrokenPipe.into())
            },
        );
    });
    outcome
        .await
        .map_err(|error| internal("cannot read files", error))?
        .map_err(|error| refusal(&error))?;
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, TAR);
    Ok(answer)
}

/// Writes a stream of files.
pub(super) async fn write(request: Request<Incoming>) -> Result<Answer, Problem> {
    let query = WriteFiles::from_query(request.uri().query().unwrap_or_default()).map_err(bad_request)?;
    let permit = permit().await?;
    let mut pieces = take_apart(request.into_body());
    let unpacked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let placement = if query.copy {
            Placement::Copy
        } else {
            Placement::Inside
        };
        let target = Target::new(from_root(&query.path), placement);
        let keep = Keep {
            owners: query.archive,
            modes: true,
            privileges: true,
        };
        unpack(Pieces::new(|| pieces.blocking_recv().transpose()), &target, keep)
    });
    let summary = unpacked
        .await
        .map_err(|error| internal("cannot write files", error))?
        .map_err(|error| refusal(&error))?;
    let written = Written {
        entries: summary.entries,
        bytes: summary.bytes,
        warnings: summary.warnings,
        more_warnings: summary.more_warnings,
    };
    Ok(answer::json(StatusCode::OK, &written))
}

async fn permit() -> Result<SemaphorePermit<'static>, Problem> {
    COPIES
        .acquire()
        .await
        .map_err(|error| internal("cannot copy files", error))
}

fn refusal(error: &ArchiveError) -> Problem {
    problem(ProblemCode::Files, error.line())
}

/// A relative path begins at the root.
fn from_root(path: &[u8]) -> PathBuf {
    // Joined as bytes: `Path::join` would keep neither a final slash nor a final dot apart from what is before.
    let mut whole = Vec::with_capacity(path.len() + 1);
    if !path.starts_with(b"/") {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    Path::new(OsStr::from_bytes(&whole)).to_owned()
}
