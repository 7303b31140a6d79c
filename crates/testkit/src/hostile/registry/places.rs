//! Where a registry sends its client, and where it wants a login or a token to go.

use serde_json::json;

use super::RegistryLie;
use super::bundles::Bundles;
use super::downloads;
use super::server::{Asked, Places, Reply, TOKEN, json as told, response};
use crate::container::TestImage;
use crate::hostile::{Answer, ESCAPES};

/// Characters that steer a terminal and may stand in a header all the same.
const IN_HEADER: &str = "\u{9b}31m\u{202e}evil\u{200b}";

/// What an answer complains of instead of what was asked for.
pub(super) fn refusal(lie: RegistryLie) -> Option<Answer> {
    let complaint =
        json!({"errors": [{"code": ESCAPES, "message": format!("{ESCAPES}{}", "B".repeat(100_000))}]});
    let complaint = complaint.to_string();
    Some(match lie {
        RegistryLie::Refusal => response(403, &[], complaint.as_bytes()),
        RegistryLie::OddStatus => response(799, &[], complaint.as_bytes()),
        RegistryLie::AlwaysBroken => response(500, &[], complaint.as_bytes()),
        RegistryLie::CenturyLater => response(429, &[("retry-after", "3155760000")], b""),
        RegistryLie::OddlyLater => response(429, &[("retry-after", "99999999999999999999999999999")], b""),
        _ => return None,
    })
}

fn to(location: &str) -> Reply {
    Reply::lie(response(307, &[("location", location)], b""))
}

/// Another place for a blob or a manifest.
pub(super) fn redirect(lie: RegistryLie, asked: &Asked, places: &Places) -> Option<Reply> {
    let Places {
        registry, elsewhere, ..
    } = places;
    let path = asked.path();
    let blob = path.rsplit('/').next().unwrap_or_default();
    Some(match lie {
        RegistryLie::RedirectElsewhere => to(&format!("http://{elsewhere}/store/{blob}")),
        RegistryLie::RedirectToBasic | RegistryLie::RedirectFromBasic | RegistryLie::RedirectOfManifest => {
            to(&format!("http://{elsewhere}/basic/{blob}"))
        }
        RegistryLie::RedirectToBearer => to(&format!("http://{elsewhere}/bearer/{blob}")),
        RegistryLie::RedirectThereAndBack if path.ends_with("/private") => {
            Reply::lie(response(401, &[("www-authenticate", "Basic realm=private")], b""))
        }
        RegistryLie::RedirectThereAndBack => to(&format!("http://{elsewhere}/back/{registry}")),
        RegistryLie::RedirectLoop => to(path),
        RegistryLie::RedirectOn => to(&format!("{path}x")),
        RegistryLie::RedirectToFile => to("file:///etc/passwd"),
        // Without a scope it leads to no link: nothing is sent.
        RegistryLie::RedirectToLink => to("http://[fe80::1]/latest/meta-data/"),
        RegistryLie::RedirectWithLogin => to(&format!("http://me:evil@{elsewhere}/store/{blob}")),
        RegistryLie::RedirectInText => to(&format!("http://{IN_HEADER}/\t{IN_HEADER}")),
        RegistryLie::RedirectLong => to(&format!("http://{elsewhere}/{}", "x".repeat(50_000))),
        _ => return None,
    })
}

/// What is answered to a request without what it needs.
pub(super) fn challenge(lie: Option<RegistryLie>, asked: &Asked, places: &Places) -> Option<Reply> {
    let challenged = |value: &str| response(401, &[("www-authenticate", value)], b"");
    let authorization = asked.authorization.as_deref().unwrap_or_default();
    if lie == Some(RegistryLie::RedirectFromBasic) {
        return (!authorization.starts_with("Basic "))
            .then(|| Reply::honest(challenged("Basic realm=\"app\"")));
    }
    // The way back from elsewhere, which carries nothing.
    if asked.path().ends_with("/private") {
        return None;
    }
    let Places {
        registry, elsewhere, ..
    } = places;
    let port = elsewhere.rsplit(':').next().unwrap_or_default();
    let realm = |realm: &str| format!("Bearer realm=\"{realm}\",service=\"app\"");
    let value = match lie {
        Some(RegistryLie::RealmElsewhere) => realm(&format!("http://{elsewhere}/token")),
        Some(RegistryLie::RealmOnOtherHost) => realm(&format!("http://localhost:{port}/token")),
        Some(RegistryLie::RealmIsFile) => realm("file:///etc/passwd"),
        Some(RegistryLie::RealmWithLogin) => realm(&format!("http://me:evil@{registry}/token")),
        Some(RegistryLie::RealmInText) => realm(&format!("http://{IN_HEADER}\t/token")),
        Some(RegistryLie::OddChallenge) => format!("Kerberos {}", "=,\"\\".repeat(2000)),
        Some(RegistryLie::ChallengeInText) => {
            format!("Negotiate realm=\"\t{IN_HEADER}\", \\x1b[2J")
        }
        Some(RegistryLie::ManyChallenges) => format!("{}Digest x=y", "Digest realm=\"x\", ".repeat(2500)),
        Some(RegistryLie::EndlessChallenge) => realm(&format!("http://{registry}/token")),
        Some(RegistryLie::OddScope) if authorization.is_empty() => format!(
            "Bearer realm=\"http://{registry}/token\",service=\"x&account=root#\",scope=\"a&b=c#d e\""
        ),
        _ if authorization == format!("Bearer {TOKEN}") => return None,
        // By the name that it was asked by.
        _ => {
            let own = asked.header("host").unwrap_or(registry);
            return Some(Reply::honest(challenged(&realm(&format!("http://{own}/token")))));
        }
    };
    Some(Reply::lie(challenged(&value)))
}

/// What the token server answers.
pub(super) fn token(lie: RegistryLie, places: &Places) -> Option<Reply> {
    let answer = match lie {
        RegistryLie::RealmRedirects => {
            return Some(to(&format!("http://{}/token", places.elsewhere)));
        }
        RegistryLie::EndlessToken => Answer {
            bytes: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"token\":\"".to_vec(),
            again: vec![b'x'; 4096],
            ..Answer::default()
        },
        RegistryLie::HugeToken => told(format!(r#"{{"token":"{}"}}"#, "x".repeat(900_000)).as_bytes()),
        RegistryLie::TokenWithHeaders => told(br#"{"token":"a\r\nX-Evil: b\r\n\r\nGET / HTTP/1.1"}"#),
        RegistryLie::NoToken => told(ESCAPES.as_bytes()),
        _ => return None,
    };
    Some(Reply::lie(answer))
}

/// What the server elsewhere answers: it takes whatever it is shown.
pub(super) fn elsewhere(
    lie: Option<RegistryLie>,
    asked: &Asked,
    places: &Places,
    image: &TestImage,
    bundles: &Bundles,
) -> Reply {
    let path = asked.path();
    let own = &places.elsewhere;
    let challenged = |value: &str| response(401, &[("www-authenticate", value)], b"");
    let bearer = format!("Bearer realm=\"http://{own}/token\",service=\"elsewhere\"");
    let mirror = path.starts_with("/v2/");
    match lie {
        Some(RegistryLie::MirrorWantsLogin) if mirror => {
            return Reply::lie(challenged("Basic realm=\"mirror\""));
        }
        Some(RegistryLie::MirrorWantsToken) if mirror && asked.authorization.is_none() => {
            return Reply::lie(challenged(&bearer));
        }
        Some(RegistryLie::MirrorOfOthers) if mirror && path.contains("/blobs/") => {
            return Reply::lie(response(200, &[], &[b'x'; 70_000]));
        }
        _ => {}
    }
    let answer = match path.split('/').nth(1).unwrap_or_default() {
        "basic" => challenged("Basic realm=\"elsewhere\""),
        "bearer" => challenged(&bearer),
        "token" => told(br#"{"token":"token-of-elsewhere"}"#),
        "back" => {
            let back = path.rsplit('/').next().unwrap_or_default();
            response(
                307,
                &[("location", &format!("http://{back}/v2/app/private"))],
                b"",
            )
        }
        "store" | "v2" => return Reply::honest(downloads::honest(asked, image).answer),
        _ => return bundles.answer(path),
    };
    Reply::honest(answer)
}
