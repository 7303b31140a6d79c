//! Registries that name scopes which are not granted, and mirrors that keep repositories below a path or do not serve.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use oci::{
    Compression, Event, LayerCache, Login, Mirror, OciError, Options, Patience, Platform, Registry,
    RegistryReference,
};
use progress::Cancel;
use support::server::{Files, Request, Response, Server};
use support::tar::Tar;
use support::{TAG, TestImage};

const OWN: &str = "scope=repository%3Asome%2Fimage%3Apull";

fn image() -> TestImage {
    TestImage::new(&[(Tar::new().file("a", "content").finish(), Compression::Plain)])
}

/// Pulls `some/image`; also what was told of mirrors.
fn pull(server: &Server, change: impl FnOnce(&mut Options)) -> (Result<(), OciError>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = LayerCache::open(&folder.path().join("layers")).unwrap();
    let mut options = Options {
        platform: Platform::Amd64,
        plain_http: true,
        patience: Patience {
            pause: Duration::from_millis(1),
            tries: 2,
            ..Patience::default()
        },
        ..Options::default()
    };
    change(&mut options);
    let reference = RegistryReference::parse(&format!("{}/some/image:{TAG}", server.address)).unwrap();
    let registry = Registry::new(options).unwrap();
    let told = Mutex::new(Vec::new());
    let progress = |event| {
        if let Event::MirrorFailed { mirror, reason } = event {
            told.lock().unwrap().push(format!("{mirror}: {reason}"));
        }
    };
    let pulled = registry.pull(&reference, &cache, &progress, &Cancel::default());
    (pulled.map(drop), told.into_inner().unwrap())
}

/// A registry that names this scope, and whose tokens for `granted` are good: told by the token server where it refuses.
fn registry(named: &'static str, granted: &'static str, tells: bool) -> Server {
    let files = Files::of(&image());
    Server::start(move |request| {
        if request.path.starts_with("/token") {
            let good = request.path.contains(granted);
            return match (good, tells) {
                (true, _) => Response::new(200, r#"{"token":"good"}"#),
                (false, false) => Response::new(200, r#"{"token":"useless"}"#),
                (false, true) => {
                    Response::new(403, r#"{"errors":[{"code":"DENIED","message":"no such scope"}]}"#)
                }
            };
        }
        if request.header("authorization") == Some("Bearer good") {
            return files.answer(request);
        }
        let host = request.header("host").unwrap();
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="r"{named}"#);
        Response::new(401, "{}").header("WWW-Authenticate", &challenge)
    })
}

fn tokens(server: &Server) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked.filter(|path| path.starts_with("/token")).collect()
}

#[test]
fn a_scope_that_is_refused_is_tried_once_more_as_the_repositorys_own() {
    for tells in [false, true] {
        for (named, asked) in [
            (r#",scope="repository:user/image:pull""#, 2),
            (r#",scope="repository:some/image:pull,push""#, 2),
            (r#",scope="registry:catalog:*""#, 2),
            (r#",scope="repository:some/image:pull""#, 1),
            (r#",scope="""#, 1),
            (r#",scope=" ""#, 1),
            ("", 1),
        ] {
            let server = registry(named, "some%2Fimage%3Apull&", tells);
            pull(&server, |_| {}).0.unwrap();
            let tokens = tokens(&server);
            assert_eq!(tokens.len(), asked, "{named}: {tokens:?}");
            assert!(tokens.last().unwrap().contains(OWN), "{named}: {tokens:?}");
        }
    }
}

#[test]
fn a_registry_that_refuses_its_own_scope_too_is_asked_no_more_and_what_it_said_first_is_said() {
    for tells in [false, true] {
        for (named, asked) in [
            (r#",scope="repository:user/image:pull""#, 2),
            (r#",scope="repository:some/image:pull""#, 1),
            ("", 1),
        ] {
            let server = registry(named, "nothing-at-all", tells);
            let error = pull(&server, |_| {}).0.unwrap_err();
            assert!(matches!(error, OciError::Unauthorised { .. }), "{named}: {error}");
            assert_eq!(tokens(&server).len(), asked, "{named}");
        }
    }
    // A login goes along with each, and to nowhere else.
    let server = registry(
        r#",scope="repository:user/image:pull""#,
        "some%2Fimage%3Apull&",
        false,
    );
    let login = Login::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let address = server.address.to_string();
    pull(&server, |options| drop(options.logins.insert(address, login)))
        .0
        .unwrap();
    let requests = server.requests();
    let sent: Vec<&Request> = requests
        .iter()
        .filter(|request| request.path.starts_with("/token"))
        .collect();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|request| request.header("authorization") == Some("Basic bWU6c2VjcmV0"))
    );
}

#[test]
fn a_mirror_keeps_repositories_below_its_project_or_its_own_api() {
    let registry = Server::start(|_| Response::new(500, "{}"));
    for (path, below, scope) in [
        ("", "/v2/some/image/", "some%2Fimage"),
        ("hub", "/v2/hub/some/image/", "hub%2Fsome%2Fimage"),
        ("a/b-c", "/v2/a/b-c/some/image/", "a%2Fb-c%2Fsome%2Fimage"),
        (
            "artifactory/api/docker/hub/v2",
            "/artifactory/api/docker/hub/v2/some/image/",
            "some%2Fimage",
        ),
    ] {
        let files = Files::of(&image());
        let mirror = Server::start(move |request| match request.path.split_once('?') {
            Some(("/token", asked)) if asked.contains(&format!("repository%3A{scope}%3Apull")) => {
                Response::new(200, r#"{"token":"good"}"#)
            }
            _ if request.header("authorization").is_none() => {
                let host = request.header("host").unwrap();
                let challenge = format!(r#"Bearer realm="http://{host}/token",service="r""#);
                Response::new(401, "{}").header("WWW-Authenticate", &challenge)
            }
            _ if request.path.starts_with(below) => files.answer(request),
            _ => Response::new(404, "{}"),
        });
        let mirrors = vec![Mirror {
            host: mirror.address.to_string(),
            path: path.to_owned(),
            plain_http: true,
        }];
        let address = registry.address.to_string();
        let (pulled, told) = pull(&registry, |options| {
            drop(options.mirrors.insert(address, mirrors));
        });
        pulled.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(told, Vec::<String>::new(), "{path}");
        assert_eq!(registry.asked(), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn a_mirror_that_does_not_serve_is_told_of_once_with_the_reason() {
    let image = image();
    let registry = Server::of_image(&image);
    let bare = Server::start(|_| Response::new(404, "{}"));
    let broken =
        Server::start(|_| Response::new(400, r#"{"errors":[{"code":"PROXY","message":"gone\u001b[2J"}]}"#));
    let closed = Server::start(|_| Response::new(403, "{}"));
    let mirrors = [
        "127.0.0.1:1".to_owned(),
        bare.address.to_string(),
        broken.address.to_string(),
        closed.address.to_string(),
    ];
    let mirrors: Vec<Mirror> = mirrors
        .into_iter()
        .map(|host| Mirror {
            host,
            path: "hub".to_owned(),
            plain_http: true,
        })
        .collect();
    let address = registry.address.to_string();
    let (pulled, told) = pull(&registry, |options| {
        drop(options.mirrors.insert(address, mirrors));
    });
    pulled.unwrap();
    let [unreachable, refused, access] = told.as_slice() else {
        panic!("once each, and not of what is merely not there: {told:?}");
    };
    assert!(
        unreachable.starts_with("127.0.0.1:1: cannot reach registry 127.0.0.1:1: "),
        "{unreachable}"
    );
    assert!(
        refused.contains(r"answered 400 for") && refused.ends_with(r": PROXY: gone\u{1b}[2J"),
        "{refused}"
    );
    assert!(access.contains("refuses access to some/image"), "{access}");
}

#[test]
fn a_mirror_that_cannot_be_reached_is_tried_once() {
    let image = image();
    let registry = Server::of_image(&image);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = gone.local_addr().unwrap().to_string();
    let counting = std::thread::spawn(move || {
        // The last connection is the test's own.
        gone.incoming()
            .take_while(|stream| is_cut_off(stream.as_ref().unwrap()))
            .count()
    });
    let mirrors = vec![Mirror {
        host: host.clone(),
        path: String::new(),
        plain_http: true,
    }];
    let address = registry.address.to_string();
    let (pulled, told) = pull(&registry, |options| {
        options.patience.tries = 5;
        drop(options.mirrors.insert(address, mirrors));
    });
    pulled.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    TcpStream::connect(&host).unwrap().write_all(b"end").unwrap();
    assert_eq!(counting.join().unwrap(), 1);
}

/// Closes a connection before anything is answered, unless it is the one that ends the test.
fn is_cut_off(mut stream: &TcpStream) -> bool {
    let mut start = [0; 3];
    stream.read_exact(&mut start).unwrap();
    &start != b"end"
}
