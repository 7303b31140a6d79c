//! Files of guests that are this host: a path in a VM is that path here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use api::ErrorCode;
use archive::{ArchiveError, Keep, PackOptions, Placement, Source, Target, unpack};
use guest::files::{ReadFiles, WriteFiles, Written};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::daemon::State;
use super::routes::{Answer, failure, find_running, whole};

/// Answers a request for the files of a VM.
pub async fn answer(
    state: Arc<State>,
    method: &Method,
    reference: &str,
    request: Request<Incoming>,
) -> Answer {
    if let Err(failure) = find_running(&state, reference, "copy files of") {
        return *failure;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let answer = if method == Method::GET {
        read(&ReadFiles::from_query(&query).unwrap())
    } else {
        state.note("a copy began");
        if state.hangs("files") {
            std::future::pending::<()>().await;
        }
        let Ok(body) = request.into_body().collect().await else {
            state.note("a copy broke off");
            return Response::new(whole(""));
        };
        let mut query = WriteFiles::from_query(&query).unwrap();
        if let Ok(path) = std::str::from_utf8(&query.path) {
            query.path = state.inside(path).into_bytes();
        }
        write(&query, &body.to_bytes())
    };
    answer.unwrap_or_else(|error| {
        let message = format!("in `{reference}`: {}", error.line());
        failure(ErrorCode::GuestFiles, message, None)
    })
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn read(query: &ReadFiles) -> Result<Answer, ArchiveError> {
    // A guest that says what it likes: whatever is asked for below a file, it answers with the file as it is.
    let asked = path(&query.path);
    if let Some(lie) = asked.ancestors().skip(1).find(|above| above.is_file()) {
        return Ok(Response::new(whole(std::fs::read(lie).unwrap())));
    }
    let mut stream = Vec::new();
    let options = PackOptions {
        archive: query.archive,
    };
    Source::open(path(&query.path), query.follow)?.pack(options, &mut |piece| {
        stream.extend_from_slice(&piece);
        Ok(())
    })?;
    Ok(Response::new(whole(stream)))
}

fn write(query: &WriteFiles, stream: &[u8]) -> Result<Answer, ArchiveError> {
    let placement = if query.copy {
        Placement::Copy
    } else {
        Placement::Inside
    };
    let keep = Keep {
        owners: query.archive,
        modes: true,
        privileges: true,
    };
    let summary = unpack(stream, &Target::new(path(&query.path), placement), keep)?;
    let written = Written {
        entries: summary.entries,
        bytes: summary.bytes,
        warnings: summary.warnings,
        more_warnings: summary.more_warnings,
    };
    Ok(Response::new(whole(serde_json::to_vec(&written).unwrap())))
}
