//! Logins go to their origin: not where a registry redirects to, not to a token server that is not its own unless the user
//! has confirmed it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci::{
    Compression, LayerCache, Login, OciError, Options, Patience, Platform, Registry, RegistryReference,
};
use progress::Cancel;
use support::server::{Files, Request, Response, Server};
use support::tar::Tar;
use support::{TAG, TestImage};

/// `me:secret`, as Basic writes it.
const BASIC: &str = "Basic bWU6c2VjcmV0";

fn image() -> TestImage {
    TestImage::new(&[(Tar::new().file("a", "content").finish(), Compression::Plain)])
}

fn logins() -> [Login; 2] {
    [
        Login::Password {
            user: "me".to_owned(),
            password: "secret".to_owned(),
        },
        Login::IdentityToken("secret".to_owned()),
    ]
}

/// Pulls `some/image` with this login.
fn pull(server: &Server, login: &Login, change: impl FnOnce(&mut Options)) -> Result<(), OciError> {
    let folder = tempfile::tempdir().unwrap();
    let cache = LayerCache::open(&folder.path().join("layers")).unwrap();
    let mut options = Options {
        platform: Platform::Amd64,
        plain_http: true,
        patience: Patience {
            pause: Duration::from_millis(1),
            ..Patience::default()
        },
        ..Options::default()
    };
    options.logins.insert(server.address.to_string(), login.clone());
    change(&mut options);
    let reference = RegistryReference::parse(&format!("{}/some/image:{TAG}", server.address)).unwrap();
    let registry = Registry::new(options).unwrap();
    registry
        .pull(&reference, &cache, &|_| {}, &Cancel::default())
        .map(drop)
}

/// Whether a request carries a login, or a token that was made of one.
fn carries(request: &Request) -> bool {
    request.header("authorization").is_some() || request.body.contains("secret")
}

fn redirect(to: &str) -> Response {
    Response::new(307, "").header("Location", to)
}

#[test]
fn a_redirects_target_that_asks_for_a_login_gets_none() {
    let image = image();
    for (registry_asks, target_asks) in [
        (None, "Basic"),
        (None, "Bearer"),
        (Some("Basic"), "Basic"),
        (Some("Basic"), "Bearer"),
        (Some("Bearer"), "Basic"),
        (Some("Bearer"), "Bearer"),
    ] {
        let challenge = |scheme: &str, at: &str| format!(r#"{scheme} realm="http://{at}/token",service="x""#);
        let target = Server::start(move |request| match request.path.starts_with("/token") {
            true => Response::new(200, r#"{"token":"stolen"}"#),
            false => {
                let at = request.header("host").unwrap().to_owned();
                Response::new(401, "").header("WWW-Authenticate", &challenge(target_asks, &at))
            }
        });
        let (files, address) = (Files::of(&image), target.address);
        let registry = Server::start(move |request| {
            if request.path.starts_with("/token") {
                return Response::new(200, r#"{"token":"good"}"#);
            }
            if let Some(scheme) = registry_asks
                && request.header("authorization").is_none()
            {
                let at = request.header("host").unwrap().to_owned();
                return Response::new(401, "").header("WWW-Authenticate", &challenge(scheme, &at));
            }
            match request.path.contains("/blobs/") {
                true => redirect(&format!("http://{address}/steal")),
                false => files.answer(request),
            }
        });
        for login in logins() {
            let failed = pull(&registry, &login, |_| {}).unwrap_err();
            let case = format!("{registry_asks:?} {target_asks} {login:?}: {failed}");
            let basic_without_password =
                registry_asks == Some("Basic") && matches!(login, Login::IdentityToken(_));
            if basic_without_password {
                assert!(matches!(failed, OciError::Unauthorised { .. }), "{case}");
                continue;
            }
            assert!(
                matches!(failed, OciError::RefusedElsewhere { status: 401, .. }),
                "{case}"
            );
            let message = failed.to_string();
            assert!(
                message.contains(&address.to_string()) && message.contains(&registry.address.to_string()),
                "{case}"
            );
        }
        let requests = target.requests();
        assert!(
            !requests.is_empty() && !requests.iter().any(carries),
            "{requests:?}"
        );
        assert!(
            requests.iter().all(|request| request.path == "/steal"),
            "its token server is not asked at all: {requests:?}"
        );
    }
}

#[test]
fn a_login_that_was_left_behind_is_not_picked_up_again() {
    let image = image();
    // There and back: the way back is the other server's wish, not the registry's.
    let other = Server::start(|request| {
        let back = request.path.split_once("back=").unwrap().1;
        redirect(&format!("http://{back}/private"))
    });
    let (files, address) = (Files::of(&image), other.address);
    let registry = Server::start(move |request| {
        if request.path == "/private" {
            return Response::new(404, "");
        }
        if request.header("authorization") != Some(BASIC) {
            return Response::new(401, "").header("WWW-Authenticate", "Basic realm=x");
        }
        match request.path.contains("/blobs/") {
            true => redirect(&format!(
                "http://{address}/?back={}",
                request.header("host").unwrap()
            )),
            false => files.answer(request),
        }
    });
    pull(&registry, &logins()[0], |_| {}).unwrap_err();
    let requests = registry.requests();
    let came_back: Vec<&Request> = requests
        .iter()
        .filter(|request| request.path == "/private")
        .collect();
    assert!(
        !came_back.is_empty() && !came_back.iter().any(|request| carries(request)),
        "{came_back:?}"
    );
    assert!(!other.requests().iter().any(carries));
}

#[test]
fn a_token_server_that_sends_on_is_not_followed() {
    let thief = Server::start(|_| Response::new(200, r#"{"token":"stolen"}"#));
    let address = thief.address;
    for status in [301, 302, 303, 307, 308] {
        let registry = Server::start(move |request| match request.path.starts_with("/token") {
            true => Response::new(status, "").header("Location", &format!("http://{address}/token")),
            false => {
                let realm = format!(
                    r#"Bearer realm="http://{}/token""#,
                    request.header("host").unwrap()
                );
                Response::new(401, "").header("WWW-Authenticate", &realm)
            }
        });
        for login in logins() {
            let failed = pull(&registry, &login, |_| {}).unwrap_err();
            assert!(matches!(failed, OciError::Status { .. }), "{status}: {failed}");
        }
    }
    assert_eq!(thief.asked(), Vec::<String>::new());
}

#[test]
fn a_token_server_without_tls_on_another_port_gets_no_login() {
    let image = image();
    let other = Server::start(|_| Response::new(200, r#"{"token":"public"}"#));
    let (address, files) = (other.address, Files::of(&image));
    let registry = Server::start(move |request| match request.header("authorization") {
        Some("Bearer good") => files.answer(request),
        Some(_) => Response::new(403, ""),
        None => {
            let realm = format!(r#"Bearer realm="http://{address}/token""#);
            Response::new(401, "").header("WWW-Authenticate", &realm)
        }
    });
    for login in logins() {
        let failed = pull(&registry, &login, |_| {}).unwrap_err();
        assert!(matches!(failed, OciError::LoginWithheld { .. }), "{failed}");
    }
    assert!(!other.requests().iter().any(carries), "{:?}", other.requests());
}

#[test]
fn a_token_server_without_tls_on_another_host_is_not_asked() {
    // `localhost` is another host than `127.0.0.1` by name.
    let thief = Server::start(|_| Response::new(200, r#"{"token":"stolen"}"#));
    let port = thief.address.port();
    let registry = Server::start(move |_| {
        let realm = format!(r#"Bearer realm="http://localhost:{port}/token""#);
        Response::new(401, "").header("WWW-Authenticate", &realm)
    });
    for login in logins() {
        let failed = pull(&registry, &login, |_| {}).unwrap_err();
        assert_eq!(
            failed.to_string(),
            format!(
                "registry {} names `http://localhost:{port}/token` as its token server, which is refused: \
                 without TLS only the registry's own host is asked for tokens",
                registry.address
            )
        );
    }
    assert_eq!(thief.asked(), Vec::<String>::new());
}

/// A token server that speaks TLS under the name `localhost`; it prints the method, `Authorization` and body of each
/// request. `anonymous` is the token that it gives to nobody.
const TOKEN_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *ignored): pass
    def do_GET(self): self.answer(b"")
    def do_POST(self): self.answer(self.rfile.read(int(self.headers["content-length"])))
    def answer(self, body):
        login = self.headers.get("authorization")
        print(self.command, login, body.decode(), flush=True)
        known = login == "Basic bWU6c2VjcmV0" or b"refresh_token=secret" in body
        token = "good" if known else sys.argv[2]
        answer = b'{"token":"%s"}' % token.encode()
        self.send_response(200 if token else 401)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// The running server; ends with this value.
struct TokenServer {
    process: Child,
    port: u16,
}

impl TokenServer {
    fn start(folder: &Path, anonymous: &str) -> Self {
        let status = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args([
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "openssl makes a certificate");
        let mut process = Command::new("python3")
            .args(["-c", TOKEN_SERVER])
            .arg(folder)
            .arg(anonymous)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        process.stdout = Some(lines.into_inner());
        Self {
            process,
            port: line.trim().parse().unwrap(),
        }
    }

    /// Ends it. Gives a line for each request that it got.
    fn end(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        let output = BufReader::new(self.process.stdout.take().unwrap());
        output.lines().map_while(Result::ok).collect()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A registry that believes `good` for all and `public` for none, and sends for tokens to this port of `localhost`.
fn with_tokens_from(image: &TestImage, port: u16) -> Server {
    let files = Files::of(image);
    Server::start(move |request| match request.header("authorization") {
        Some("Bearer good") => files.answer(request),
        Some(_) => Response::new(403, r#"{"errors":[{"code":"DENIED"}]}"#),
        None => {
            let realm = format!(r#"Bearer realm="https://localhost:{port}/token",service="x""#);
            Response::new(401, "").header("WWW-Authenticate", &realm)
        }
    })
}

#[test]
fn a_token_server_elsewhere_gets_the_login_only_once_the_user_has_confirmed_it() {
    let image = image();
    for (login, shown) in logins().iter().zip([BASIC, "refresh_token=secret"]) {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TokenServer::start(folder.path(), "public");
        let certificates = std::fs::read(folder.path().join("cert.pem")).unwrap();
        let registry = with_tokens_from(&image, issuer.port);
        let realm = format!("localhost:{}", issuer.port);
        let with = |realms: &[&str]| {
            pull(&registry, login, |options| {
                options.certificates.clone_from(&certificates);
                let realms = realms.iter().map(|realm| (*realm).to_owned()).collect();
                options.realms.insert(registry.address.to_string(), realms);
            })
        };
        // The port counts, and so does the name.
        for realms in [&[][..], &["localhost"], &["localhost:1", "elsewhere.example"]] {
            let failed = with(realms).unwrap_err();
            let OciError::LoginWithheld { realm: named, .. } = &failed else {
                panic!("{failed}");
            };
            assert_eq!(*named, realm, "the user learns what there is to confirm");
        }
        with(&[&realm]).unwrap();
        let requests = issuer.end();
        assert_eq!(requests.len(), 4, "{requests:?}");
        for request in &requests[..3] {
            assert_eq!(request.trim(), "GET None", "a token of nobody's");
        }
        assert!(requests[3].contains(shown), "{requests:?}");
    }
}

#[test]
fn what_is_public_comes_without_the_login_from_a_token_server_elsewhere() {
    let image = image();
    let folder = tempfile::tempdir().unwrap();
    let issuer = TokenServer::start(folder.path(), "good");
    let certificates = std::fs::read(folder.path().join("cert.pem")).unwrap();
    let registry = with_tokens_from(&image, issuer.port);
    pull(&registry, &logins()[0], |options| {
        options.certificates = certificates;
    })
    .unwrap();
    assert_eq!(issuer.end(), ["GET None "]);
}

#[test]
fn a_token_server_elsewhere_that_serves_nobody_without_a_login_is_named() {
    let image = image();
    let folder = tempfile::tempdir().unwrap();
    let issuer = TokenServer::start(folder.path(), "");
    let certificates = std::fs::read(folder.path().join("cert.pem")).unwrap();
    let registry = with_tokens_from(&image, issuer.port);
    let failed = pull(&registry, &logins()[0], |options| {
        options.certificates = certificates;
    })
    .unwrap_err();
    let told = format!("wants the login sent to localhost:{}", issuer.port);
    assert!(failed.to_string().contains(&told), "{failed}");
    assert_eq!(issuer.end(), ["GET None "]);
}

#[test]
fn a_registry_that_repeats_what_it_was_sent_puts_it_into_no_message() {
    for login in logins() {
        let server = Server::start(move |request| match request.header("authorization") {
            Some(sent) => {
                let said = format!(r#"{{"errors":[{{"code":"DENIED","message":"you said {sent}"}}]}}"#);
                Response::new(403, said)
            }
            None if request.path.starts_with("/token") => {
                let said = format!(
                    r#"{{"errors":[{{"code":"DENIED","message":"you said {}"}}]}}"#,
                    request.body
                );
                Response::new(403, said)
            }
            None => {
                let challenge = match &login {
                    Login::Password { .. } => "Basic realm=\"x\"".to_owned(),
                    Login::IdentityToken(_) => {
                        let host = request.header("host").unwrap();
                        format!("Bearer realm=\"http://{host}/token\",service=\"x\"")
                    }
                };
                Response::new(401, "").header("WWW-Authenticate", &challenge)
            }
        });
        for login in logins() {
            let Err(error) = pull(&server, &login, |_| {}) else {
                panic!("it was refused");
            };
            let said = format!("{error} {error:?}");
            assert!(
                !said.contains("secret") && !said.contains("bWU6c2VjcmV0"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_login_that_stands_where_no_words_are_expected_is_in_no_message_either() {
    let login = &logins()[0];
    let sent = "bWU6c2VjcmV0";
    type Answer = fn(&str) -> Response;
    let answers: [Answer; 4] = [
        |sent| Response::new(307, "").header("location", &format!("ftp://x/{sent}")),
        |sent| Response::new(307, "").header("location", &format!("http://somebody@x/{sent}")),
        |sent| Response::new(200, "{}").header("content-type", sent),
        |sent| {
            let digest = format!(r#"{{"mediaType":"a","size":1,"digest":"sha256:{sent}"}}"#);
            Response::new(
                200,
                format!(r#"{{"schemaVersion":2,"config":{digest},"layers":[]}}"#),
            )
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        },
    ];
    for answer in answers {
        let server = Server::start(move |request| match request.header("authorization") {
            Some(header) => {
                assert!(header.ends_with(sent));
                answer(sent)
            }
            None => Response::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        });
        let error = pull(&server, login, |options| options.patience.tries = 1).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains(sent), "{said}");
        assert!(
            matches!(error, OciError::RepeatsLogin { .. }),
            "one that says what it hides: {error}"
        );
    }
}
