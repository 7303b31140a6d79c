//! The body of a request that breaks off is its client's fault, whatever the call made of it.
//!
//! A body is passed on piece by piece, to a guest or into a file; where it ends, the call fails in words of its own and
//! blames whoever it was for. So the body is watched on its way in, and what broke it is the answer.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::Failure;

/// What became of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<OnceLock<Broken>>);

#[derive(Debug)]
enum Broken {
    /// It ended after so many bytes.
    Early { came: u64, announced: Option<u64> },
    /// It is not what its head says that it is.
    Malformed(String),
}

impl Fate {
    /// The same body, watched.
    pub(super) fn watch(&self, body: Body) -> Body {
        Body::new(Watched {
            announced: body.size_hint().exact(),
            body,
            came: 0,
            fate: self.clone(),
        })
    }

    /// The failure of the client whose body broke.
    pub(super) fn failure(&self) -> Option<Failure> {
        Some(match self.0.get()? {
            Broken::Early { came, announced } => Failure::incomplete_body(match announced {
                Some(announced) => {
                    format!("the body of the request ended after {came} of {announced} bytes")
                }
                None => format!("the body of the request ended after {came} bytes, without its end"),
            }),
            Broken::Malformed(why) => Failure::bad_request(format!("the body of the request: {why}")),
        })
    }
}

struct Watched {
    body: Body,
    announced: Option<u64>,
    came: u64,
    fate: Fate,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => self.came += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                let broken = match ended_early(error) {
                    true => Broken::Early {
                        came: self.came,
                        announced: self.announced,
                    },
                    false => Broken::Malformed(innermost(error).to_string()),
                };
                // The first error is what broke it.
                let _ = self.fate.0.set(broken);
            }
            None => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn ended_early(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let http = cause.downcast_ref::<hyper::Error>();
        io == Some(io::ErrorKind::UnexpectedEof) || http.is_some_and(hyper::Error::is_incomplete_message)
    })
}
