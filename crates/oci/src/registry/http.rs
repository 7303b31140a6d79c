//! One GET to a registry: authorisation, redirects, and trying again what may work the next time.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use transfer::Paced;
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, BodyReader};

use super::agents::Agents;
use super::auth::{Authorisation, Authorisations, own_scope};
use super::challenge::{self, Challenge};
use super::mirror::MirrorPath;
use super::origin::{join, origin};
use super::outside::Local;
use super::secrets::Secrets;
use crate::credentials::Login;
use crate::document::shown;
use crate::error::OciError;
use crate::progress::Progress;
use progress::{Cancel, Guard};

/// Redirects in a row that are followed.
const REDIRECTS: usize = 5;
/// Most that is read of an answer that says what went wrong.
const COMPLAINT_MAX: u64 = 8 << 10;

/// How stubborn a client is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries in a row that may bring nothing.
    pub tries: u32,
    /// Wait before the second try; doubles with each.
    pub pause: Duration,
    /// The longest wait, also where a server asks for a longer one.
    pub longest_pause: Duration,
    /// Wait for a connection, for the start of an answer, and for each next piece of it.
    pub silence: Duration,
    /// Waiting for a body that long has to bring 64 KiB.
    pub period: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 5,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            period: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// The wait after that many tries that brought nothing.
    pub(super) fn pause_after(&self, tries: u32) -> Duration {
        let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause.saturating_mul(doubled).min(self.longest_pause)
    }
}

/// A server that may have the image.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As the user knows it.
    pub(super) name: String,
    /// Where it answers.
    pub(super) address: String,
    /// Below what it keeps a registry's repositories.
    pub(super) path: MirrorPath,
    pub(super) plain_http: bool,
    pub(super) login: Option<Login>,
    /// Hosts of token servers that the user lets the login go to.
    pub(super) realms: Vec<String>,
    /// Whether the registry itself is asked where it does not serve.
    pub(super) is_mirror: bool,
    /// It could not be reached in this pull: others are asked first from then on.
    pub(super) dead: AtomicBool,
    /// Its failure has been told of.
    pub(super) told: AtomicBool,
}

impl Endpoint {
    pub(super) fn scheme(&self) -> &'static str {
        if self.plain_http { "http" } else { "https" }
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'w> {
    pub(super) endpoint: &'w Endpoint,
    pub(super) repository: &'w str,
    /// `manifests/…` or `blobs/…`.
    pub(super) path: &'w str,
    /// How errors call it.
    pub(super) what: &'w str,
    pub(super) accept: &'w str,
    /// The first byte that is wanted.
    pub(super) from: u64,
}

/// Why there is no answer, and whether there may be one later.
pub(super) struct Failure {
    pub(super) error: OciError,
    pub(super) again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Later,
    After(Duration),
}

impl From<progress::Cancelled> for Failure {
    fn from(cancelled: progress::Cancelled) -> Self {
        OciError::from(cancelled).into()
    }
}

impl From<OciError> for Failure {
    fn from(error: OciError) -> Self {
        Self {
            error,
            again: Again::Never,
        }
    }
}

/// An answer, and the server that gave it where that is not the one that was asked.
struct Followed {
    response: Response<Body>,
    elsewhere: Option<String>,
}

/// Connections and tokens of one pull.
pub(super) struct Http<'p> {
    pub(super) progress: Progress<'p>,
    agents: Agents,
    pub(super) cancel: Cancel,
    pub(super) patience: Patience,
    pub(super) authorisations: Authorisations,
    _guards: [Guard; 3],
}

impl<'p> Http<'p> {
    pub(super) fn new(tls: TlsConfig, patience: Patience, cancel: &Cancel, progress: Progress<'p>) -> Self {
        let agents = Agents::new(tls, &patience);
        // Of its own: the first failure of a pull ends what else is under way, and not the caller's other work.
        let own = Cancel::default();
        let linked = own.clone();
        let ended = |agent: &Agent| {
            let agent = agent.clone();
            own.on_cancel(move || agent.shutdown())
        };
        let guards = [
            cancel.on_cancel(move || linked.cancel()),
            ended(&agents.own),
            ended(&agents.outside),
        ];
        Self {
            progress,
            agents,
            cancel: own,
            patience,
            authorisations: Mutex::new(HashMap::new()),
            _guards: guards,
        }
    }

    /// Asks until there is an answer or no hope.
    pub(super) fn get(&self, want: &Want<'_>) -> Result<Response<Body>, OciError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.try_get(want) {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.wait(want.endpoint, failure, tries)?;
        }
    }

    /// Waits before the next try, or gives back the error where there is to be none.
    pub(super) fn wait(&self, endpoint: &Endpoint, failure: Failure, tries: u32) -> Result<(), OciError> {
        self.cancel.check()?;
        let Failure { error, again } = failure;
        let pause = match again {
            Again::Never => return Err(error),
            Again::Later => self.patience.pause_after(tries),
            Again::After(wait) if wait > self.patience.longest_pause => {
                return Err(OciError::Throttled {
                    host: endpoint.name.clone(),
                    wait,
                });
            }
            Again::After(wait) => wait,
        };
        let is_unreachable = matches!(error, OciError::Unreachable { .. });
        // What a mirror does not serve the registry does, which may be waited for as long as each of its tries takes.
        if tries >= self.patience.tries || is_unreachable && endpoint.is_mirror {
            endpoint.dead.fetch_or(is_unreachable, Ordering::Relaxed);
            return Err(error);
        }
        tracing::debug!(host = endpoint.name, ?pause, "trying again");
        Ok(self.cancel.sleep(pause)?)
    }

    /// Asks once; that is, as often as authorisation and redirects take.
    pub(super) fn try_get(&self, want: &Want<'_>) -> Result<Response<Body>, Failure> {
        let endpoint = want.endpoint;
        let repository = endpoint.path.repository(want.repository);
        let url = format!(
            "{}://{}{}/{repository}/{}",
            endpoint.scheme(),
            endpoint.address,
            endpoint.path.api(),
            want.path
        );
        let key = (endpoint.name.clone(), repository.clone());
        let known = self.authorisations().get(&key).cloned();
        let answer = self.follow(want, &url, known.as_ref())?;
        // The login is the registry's: whoever else asks for one has no business with it.
        if answer.response.status() != StatusCode::UNAUTHORIZED || answer.elsewhere.is_some() {
            return self.accept(want, &url, answer, known.as_ref());
        }
        let headers = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let headers: Vec<&str> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
        let Some(challenge) = challenge::parse(headers.iter().copied()) else {
            return match headers.is_empty() {
                true => self.accept(want, &url, answer, None),
                false => Err(Failure::from(OciError::BadChallenge {
                    host: endpoint.name.clone(),
                    challenge: shown(
                        &Secrets::of(endpoint.login.as_ref(), known.as_ref()).left_out_of(headers.join(", ")),
                    ),
                })),
            };
        };
        // Some registries name a scope that their own token server does not grant for this repository, or a placeholder.
        let own = own_scope(&repository);
        let scoped = match &challenge {
            Challenge::Bearer { scope: Some(_), .. } => challenge.with_scope(&own),
            _ => None,
        };
        let answered = match self.authorise(endpoint, &repository, &challenge) {
            Ok(None) => return self.accept(want, &url, answer, None),
            Ok(Some(fresh)) => self.ask_as(want, &url, key.clone(), &fresh),
            Err(failure) => Err(failure),
        };
        let (refused, scoped) = match (answered, scoped) {
            (Err(failure), Some(scoped)) if is_refusal(&failure.error) => (failure, scoped),
            (answered, _) => return answered,
        };
        let answered = match self.authorise(endpoint, &repository, &scoped) {
            Ok(Some(fresh)) => self.ask_as(want, &url, key, &fresh),
            Ok(None) => return Err(refused),
            Err(failure) => Err(failure),
        };
        // What was said first is about what the registry asked for.
        answered.map_err(|failure| match is_refusal(&failure.error) {
            true => refused,
            false => failure,
        })
    }

    /// Asks once more, with what answers a challenge, which is kept.
    fn ask_as(
        &self,
        want: &Want<'_>,
        url: &str,
        key: (String, String),
        fresh: &Authorisation,
    ) -> Result<Response<Body>, Failure> {
        self.authorisations().insert(key, fresh.clone());
        let answer = self.follow(want, url, Some(fresh))?;
        self.accept(want, url, answer, Some(fresh))
    }

    /// Sends the request and goes where it is sent on. Credentials stay with the server they are for: the first
    /// redirect to another one leaves them behind for good.
    fn follow(
        &self,
        want: &Want<'_>,
        url: &str,
        authorisation: Option<&Authorisation>,
    ) -> Result<Followed, Failure> {
        let mut at = parse_uri(url)?;
        let home = origin(&at);
        let mut elsewhere = None;
        for _ in 0..=REDIRECTS {
            let agent = match &elsewhere {
                None => &self.agents.own,
                Some(_) => self.agent_for(want.endpoint, &at)?,
            };
            let mut request = agent.get(at.clone()).header(header::ACCEPT, want.accept);
            if want.from > 0 {
                request = request.header(header::RANGE, format!("bytes={}-", want.from));
            }
            if let Some(authorisation) = authorisation.filter(|_| elsewhere.is_none()) {
                request = request.header(header::AUTHORIZATION, authorisation.value.as_str());
            }
            let response = request
                .call()
                .map_err(|error| self.refused_or_unreachable(want.endpoint, &at, error))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Followed { response, elsewhere });
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok()).unwrap_or_default();
            at = join(&at, location).ok_or_else(|| bad_redirect(&at, location))?;
            if elsewhere.is_some() || origin(&at) != home {
                elsewhere = Some(shown(&origin(&at).1));
            }
        }
        Err(Failure::from(OciError::TooManyRedirects {
            host: want.endpoint.name.clone(),
            what: want.what.to_owned(),
            most: REDIRECTS,
            last: shown(&at.to_string()),
        }))
    }

    /// What asks a server that an endpoint has named.
    pub(super) fn agent_for(&self, endpoint: &Endpoint, target: &Uri) -> Result<&Agent, Failure> {
        let agent = self.agents.for_target(endpoint, target);
        agent.map_err(|local| self.refused_or_unreachable(endpoint, target, local.error()))
    }

    pub(super) fn refused_or_unreachable(
        &self,
        endpoint: &Endpoint,
        target: &Uri,
        error: ureq::Error,
    ) -> Failure {
        if Local::is(&error) {
            return Failure::from(OciError::LocalTarget {
                host: endpoint.name.clone(),
                target: shown(&target.to_string()),
            });
        }
        self.unreachable(&endpoint.name, error)
    }

    /// The answer if it is one, else what it complains of.
    fn accept(
        &self,
        want: &Want<'_>,
        url: &str,
        answer: Followed,
        authorisation: Option<&Authorisation>,
    ) -> Result<Response<Body>, Failure> {
        let Followed { response, elsewhere } = answer;
        let status = response.status().as_u16();
        let host = want.endpoint.name.clone();
        if matches!(status, 200 | 206) {
            return Ok(response);
        }
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let secrets = Secrets::of(want.endpoint.login.as_ref(), authorisation);
        let detail = complaint(self.body_of(response), &secrets);
        let withheld = authorisation.and_then(|authorisation| authorisation.withheld_from.clone());
        let repository = want.repository.to_owned();
        let error = match (status, elsewhere, withheld) {
            (401 | 403, Some(target), _) => OciError::RefusedElsewhere {
                what: want.what.to_owned(),
                host,
                target,
                status,
                detail,
            },
            (401 | 403, None, Some(realm)) => OciError::LoginWithheld {
                host,
                repository,
                realm,
                detail,
            },
            (401 | 403, None, None) => OciError::Unauthorised {
                host,
                repository,
                detail,
            },
            (404, ..) => OciError::NotFound {
                what: want.what.to_owned(),
                host,
            },
            (status, ..) => OciError::Status {
                url: shown(url),
                status,
                detail,
            },
        };
        let again = match status {
            429 | 503 => after.map_or(Again::Later, |seconds| Again::After(Duration::from_secs(seconds))),
            408 | 500..=599 => Again::Later,
            _ => Again::Never,
        };
        Err(Failure { error, again })
    }

    pub(super) fn unreachable(&self, host: &str, error: ureq::Error) -> Failure {
        if self.cancel.is_cancelled() {
            return OciError::Cancelled.into();
        }
        let again = match &error {
            // A wrong certificate or address does not get better.
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Again::Never
            }
            ureq::Error::Io(inner) if inner.kind() == std::io::ErrorKind::InvalidData => Again::Never,
            _ => Again::Later,
        };
        Failure {
            error: OciError::Unreachable {
                host: host.to_owned(),
                source: Box::new(error),
            },
            again,
        }
    }

    /// What an answer holds, from a server that has to get on with it.
    pub(super) fn body_of(&self, response: Response<Body>) -> Paced<BodyReader<'static>> {
        Paced::new(response.into_body().into_reader(), self.patience.period)
    }

    pub(super) fn authorisations(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(String, String), Authorisation>> {
        // Nothing that holds the lock can panic half-way.
        self.authorisations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the repository is refused to whom it was asked for, by the registry itself or its token server.
fn is_refusal(error: &OciError) -> bool {
    matches!(
        error,
        OciError::Unauthorised { .. } | OciError::LoginWithheld { .. }
    )
}

pub(super) fn parse_uri(url: &str) -> Result<Uri, OciError> {
    url.parse().map_err(|_| OciError::BadRedirect {
        from: shown(url),
        to: "(no address)".to_owned(),
    })
}

fn bad_redirect(from: &Uri, to: &str) -> OciError {
    OciError::BadRedirect {
        from: shown(&from.to_string()),
        to: shown(to),
    }
}

/// What a registry says of its own failure, as the end of a message (distribution specification, "Error Codes").
pub(super) fn complaint(body: impl Read, secrets: &Secrets) -> String {
    #[derive(Deserialize)]
    struct Complaints {
        errors: Vec<Complaint>,
    }
    #[derive(Deserialize)]
    struct Complaint {
        code: Option<String>,
        message: Option<String>,
    }
    let mut bytes = Vec::new();
    // Whatever came of it is better than nothing.
    let _ = body.take(COMPLAINT_MAX).read_to_end(&mut bytes);
    let Ok(complaints) = serde_json::from_slice::<Complaints>(&bytes) else {
        return String::new();
    };
    match complaints.errors.into_iter().next() {
        Some(Complaint { code, message }) => [code, message]
            .into_iter()
            .flatten()
            .map(|text| format!(": {}", shown(&secrets.left_out_of(text))))
            .collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience::default();
        let pauses: Vec<u128> = [1, 2, 3, 8, 40]
            .map(|tries| patience.pause_after(tries).as_millis())
            .into();
        assert_eq!(pauses, [250, 500, 1000, 30_000, 30_000]);
    }
}
