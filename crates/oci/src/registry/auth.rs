//! Tokens: what a registry is shown so that it hands out a repository (distribution specification, "Token
//! Authentication").

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use ureq::http::header;

use super::challenge::Challenge;
use super::http::{Again, Endpoint, Failure, Http, complaint, parse_uri};
use super::origin::Realm;
use super::secrets::Secrets;
use crate::credentials::Login;
use crate::document::shown;
use crate::error::OciError;

/// An `Authorization` header.
#[derive(Clone)]
pub(super) struct Authorisation {
    pub(super) value: String,
    /// The token server that gave this for nobody, where there is a login that does not go there.
    pub(super) withheld_from: Option<String>,
}

/// By endpoint and repository.
pub(super) type Authorisations = Mutex<HashMap<(String, String), Authorisation>>;

const ANSWER_MAX: u64 = 1 << 20;
/// Longest token: it has to fit into a request's head, beside the rest of that.
const TOKEN_MAX: usize = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Http<'_> {
    /// What to answer a challenge with; nothing if there is no login to answer it with.
    pub(super) fn authorise(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        challenge: &Challenge,
    ) -> Result<Option<Authorisation>, Failure> {
        match challenge {
            Challenge::Basic => Ok(match &endpoint.login {
                Some(Login::Password { user, password }) => Some(Authorisation {
                    value: basic(user, password),
                    withheld_from: None,
                }),
                _ => None,
            }),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let own = own_scope(repository);
                let scope = scope.as_deref().unwrap_or(&own);
                self.token(endpoint, repository, realm, service.as_deref(), scope)
                    .map(Some)
            }
        }
    }

    /// A token, of the endpoint's login where that goes to this token server, else of nobody.
    fn token(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Authorisation, Failure> {
        let server = Realm::parse(endpoint, realm)?;
        let target = parse_uri(realm)?;
        let agent = self.agent_for(endpoint, &target)?;
        let login = endpoint.login.as_ref();
        let secrets = Secrets::of(login, None);
        let withheld_from = login.filter(|_| !server.gets_login).map(|_| shown(&server.name));
        let mut fields = vec![("scope", scope)];
        fields.extend(service.map(|service| ("service", service)));
        let response = match login.filter(|_| server.gets_login) {
            Some(Login::IdentityToken(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "banger"),
                    ("refresh_token", token),
                ]);
                let request = agent.post(target.clone());
                let form = "application/x-www-form-urlencoded";
                request.header(header::CONTENT_TYPE, form).send(encode(&fields))
            }
            login => {
                let separator = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{separator}{}", encode(&fields));
                let mut request = agent.get(parse_uri(&url)?);
                if let Some(Login::Password { user, password }) = login {
                    request = request.header(header::AUTHORIZATION, basic(user, password));
                }
                request.call()
            }
        };
        let response = response.map_err(|error| self.refused_or_unreachable(endpoint, &target, error))?;
        match response.status().as_u16() {
            200 => {}
            400 | 401 | 403 => {
                let (host, repository) = (endpoint.name.clone(), repository.to_owned());
                let detail = complaint(self.body_of(response), &secrets);
                return Err(Failure::from(match withheld_from {
                    Some(realm) => OciError::LoginWithheld {
                        host,
                        repository,
                        realm,
                        detail,
                    },
                    None => OciError::Unauthorised {
                        host,
                        repository,
                        detail,
                    },
                }));
            }
            // Not followed: a login was for this server and no other.
            status => {
                let error = OciError::Status {
                    url: shown(realm),
                    status,
                    detail: complaint(self.body_of(response), &secrets),
                };
                let again = match status {
                    429 | 500..=599 => Again::Later,
                    _ => Again::Never,
                };
                return Err(Failure { error, again });
            }
        }
        let no_token = || OciError::NoToken { url: shown(realm) };
        let mut bytes = Vec::new();
        let read = self.body_of(response).take(ANSWER_MAX).read_to_end(&mut bytes);
        read.map_err(|error| self.unreachable(&endpoint.name, ureq::Error::Io(error)))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| no_token())?;
        let token = answer.token.or(answer.access_token).unwrap_or_default();
        // It goes into a header: only what may stand there (RFC 6750, `b64token`, and what registries add to it).
        let fits = (1..=TOKEN_MAX).contains(&token.len());
        if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(no_token().into());
        }
        Ok(Authorisation {
            value: format!("Bearer {token}"),
            withheld_from,
        })
    }
}

/// What it takes to pull from a repository (distribution specification, "Token Scope").
pub(super) fn own_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A query or form.
fn encode(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let escaped = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        });
        escaped.collect()
    };
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    fields.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped() {
        let fields = [("scope", "repository:a/b:pull,push"), ("service", "x y&z=ä")];
        assert_eq!(
            encode(&fields),
            "scope=repository%3Aa%2Fb%3Apull%2Cpush&service=x%20y%26z%3D%C3%A4"
        );
    }
}
