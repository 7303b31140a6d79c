//! What must not be said again: a registry, or a proxy before it, may repeat in its complaint what it was sent, and a
//! complaint goes to a terminal, a log and the store.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::auth::Authorisation;
use crate::credentials::Login;
use crate::error::OciError;

/// What stands in the place of a text with a secret in it.
const LEFT_OUT: &str = "(left out, since it repeats the login)";
/// Shorter ones could be any word.
const SHORTEST: usize = 4;
/// The same where the text is mostly banger's own.
const SHORTEST_IN_ERROR: usize = 8;

/// What a registry was sent, or could have been.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(login: Option<&Login>, sent: Option<&Authorisation>) -> Self {
        let mut secrets = Vec::new();
        match login {
            Some(Login::Password { user, password }) => secrets.extend([
                password.clone(),
                BASE64_STANDARD.encode(password),
                BASE64_STANDARD.encode(format!("{user}:{password}")),
            ]),
            Some(Login::IdentityToken(token)) => secrets.push(token.clone()),
            None => {}
        }
        // Without the word for its kind.
        secrets.extend(sent.and_then(|sent| Some(sent.value.split_once(' ')?.1.to_owned())));
        secrets.retain(|secret| secret.len() >= SHORTEST);
        Self(secrets)
    }

    /// Those of all endpoints and of all that was sent.
    pub(super) fn of_all<'a>(
        logins: impl IntoIterator<Item = Option<&'a Login>>,
        sent: impl IntoIterator<Item = &'a Authorisation>,
    ) -> Self {
        let logins = logins.into_iter().map(|login| Self::of(login, None));
        let sent = sent.into_iter().map(|sent| Self::of(None, Some(sent)));
        Self(logins.chain(sent).flat_map(|secrets| secrets.0).collect())
    }

    /// The error, if there is none in any of its texts: names, addresses and media types are a registry's words as well.
    /// What the user's own words for the image have in them hides nothing.
    pub(super) fn left_out_of_error(&self, host: &str, image: &str, error: OciError) -> OciError {
        let texts = format!("{error:?}");
        let tells = |secret: &String| {
            secret.len() >= SHORTEST_IN_ERROR
                && !image.contains(secret.as_str())
                && texts.contains(secret.as_str())
        };
        match self.0.iter().any(tells) {
            true => OciError::RepeatsLogin {
                host: host.to_owned(),
            },
            false => error,
        }
    }

    /// The text, if there is none in it.
    pub(super) fn left_out_of(&self, text: String) -> String {
        match self.0.iter().any(|secret| text.contains(secret.as_str())) {
            true => LEFT_OUT.to_owned(),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_repeats_any_form_of_a_login_is_left_out() {
        let login = Login::Password {
            user: "me".into(),
            password: "hunter2secret".into(),
        };
        let sent = Authorisation {
            value: "Bearer abc.def".into(),
            withheld_from: None,
        };
        let secrets = Secrets::of(Some(&login), Some(&sent));
        for text in [
            "you said hunter2secret".to_owned(),
            format!(
                "Authorization: Basic {}",
                BASE64_STANDARD.encode("me:hunter2secret")
            ),
            "token abc.def is expired".to_owned(),
        ] {
            assert_eq!(secrets.left_out_of(text), LEFT_OUT);
        }
        assert_eq!(secrets.left_out_of("me: denied".into()), "me: denied");
        let status = |url: &str| OciError::Status {
            url: url.to_owned(),
            status: 500,
            detail: String::new(),
        };
        let error = secrets.left_out_of_error("r.example", "r.example/a", status("ftp://x/hunter2secret"));
        assert!(matches!(error, OciError::RepeatsLogin { .. }), "{error}");
        let error =
            secrets.left_out_of_error("r.example", "r.example/hunter2secret", status("hunter2secret"));
        assert!(matches!(error, OciError::Status { .. }), "{error}");
        let token = Secrets::of(Some(&Login::IdentityToken("refresh-me".into())), None);
        assert_eq!(token.left_out_of("no refresh-me".into()), LEFT_OUT);
        // One that is a common word hides nothing of an answer.
        let short = Login::Password {
            user: "a".into(),
            password: "is".into(),
        };
        assert_eq!(
            Secrets::of(Some(&short), None).left_out_of("it is".into()),
            "it is"
        );
    }
}
