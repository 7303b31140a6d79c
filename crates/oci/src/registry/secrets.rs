//! What must not be said again: a registry, or a proxy before it, may repeat in its complaint what it was sent, and a
//! complaint goes to a terminal, a log and the store.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::auth::Authorisation;
use crate::credentials::Login;

/// What stands in the place of a text with a secret in it.
const LEFT_OUT: &str = "(left out, since it repeats the login)";
/// Shorter ones could be any word.
const SHORTEST: usize = 4;

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
