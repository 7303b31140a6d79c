//! Pulls from a server that can be told to misbehave.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::{
    Compression, Digest, Event, Image, LayerCache, Login, Mirror, OciError, Options, Patience, Platform,
    Registry, RegistryReference,
};
use progress::Cancel;
use serde_json::json;
use support::server::{Files, Request, Response, Server};
use support::tar::Tar;
use support::{TAG, TestImage, flatten, names, tree};

/// Data that does not shrink.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 40) as u8 % 90)
    };
    (0..length).map(|_| next()).collect()
}

fn image() -> TestImage {
    TestImage::new(&[
        (Tar::new().file("a", &noise(400_000)).finish(), Compression::Gzip),
        (Tar::new().file("b", "two").finish(), Compression::Plain),
    ])
}

struct Client {
    cache: LayerCache,
    _folder: tempfile::TempDir,
    options: Options,
    events: Mutex<Vec<Event>>,
}

impl Client {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            cache: LayerCache::open(&folder.path().join("layers")).unwrap(),
            _folder: folder,
            options: Options {
                platform: Platform::Amd64,
                plain_http: true,
                patience: Patience {
                    pause: Duration::from_millis(1),
                    ..Patience::default()
                },
                ..Options::default()
            },
            events: Mutex::default(),
        }
    }

    fn login(mut self, server: &Server, login: Login) -> Self {
        self.options.logins.insert(server.address.to_string(), login);
        self
    }

    /// Lets the login for a registry go to its token server.
    fn trusting(mut self, server: &Server, issuer: &Server) -> Self {
        let realms = vec![issuer.address.to_string()];
        self.options.realms.insert(server.address.to_string(), realms);
        self
    }

    fn pull(&self, server: &Server) -> Result<Image, OciError> {
        self.pull_reference(&format!("{}/some/image:{TAG}", server.address))
    }

    fn pull_reference(&self, reference: &str) -> Result<Image, OciError> {
        let registry = Registry::new(self.options.clone()).unwrap();
        let reference = RegistryReference::parse(reference).unwrap();
        let told = |event| self.events.lock().unwrap().push(event);
        registry.pull(&reference, &self.cache, &told, &Cancel::default())
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

fn assert_whole(image: &Image) {
    let tree = tree(&flatten(&image.layers).unwrap());
    assert_eq!(tree["b"], "file two");
    assert_eq!(tree["a"], format!("file {}", noise(400_000).escape_default()));
}

fn password(user: &str, password: &str) -> Login {
    Login::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

#[test]
fn a_second_pull_of_the_same_image_downloads_nothing() {
    let image = image();
    let server = Server::of_image(&image);
    let client = Client::new();
    let first = client.pull(&server).unwrap();
    assert_whole(&first);
    assert_eq!(first.digest, image.manifest);
    assert_eq!(first.config.env, [("A".to_owned(), "B".to_lowercase())]);
    let asked = server.asked();
    assert_eq!(
        asked.iter().filter(|path| path.contains("/blobs/")).count(),
        3,
        "{asked:?}"
    );
    let done = client.events();
    for layer in &image.layers {
        assert!(done.contains(&Event::Downloaded { layer: *layer }));
    }

    let second = client.pull(&server).unwrap();
    assert_whole(&second);
    assert_eq!(server.asked(), [format!("/v2/some/image/manifests/{TAG}")]);
    let told = client.events();
    for layer in &image.layers {
        assert!(told.contains(&Event::Cached { layer: *layer }));
    }
    assert!(
        !told
            .iter()
            .any(|event| matches!(event, Event::Downloading { .. }))
    );
}

#[test]
fn two_pulls_of_the_same_at_once_fetch_each_blob_once() {
    let server = Server::of_image(&image());
    let client = Client::new();
    std::thread::scope(|scope| {
        let pulls = [(); 4].map(|()| scope.spawn(|| client.pull(&server).unwrap()));
        for pull in pulls {
            assert_whole(&pull.join().unwrap());
        }
    });
    let mut blobs = server.asked();
    blobs.retain(|path| path.contains("/blobs/"));
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    assert_eq!((blobs.len(), all), (3, 3));
    // Three blobs, and neither locks nor halves.
    assert_eq!(names(client.cache.folder()).len(), 3);
}

#[test]
fn a_broken_layer_is_continued_where_it_broke() {
    let image = image();
    let (files, layer) = (Files::of(&image), image.layers[0].to_string());
    let server = Server::start(move |request| {
        let response = files.answer(request);
        match request.path.ends_with(&layer) && response.body.len() > 100_000 {
            true => response.cut(100_000),
            false => response,
        }
    });
    let client = Client::new();
    assert_whole(&client.pull(&server).unwrap());
    let requests = server.requests();
    let mut starts: Vec<usize> = requests
        .iter()
        .filter(|request| request.path.ends_with(&image.layers[0].to_string()))
        .map(Request::from)
        .collect();
    assert_eq!(starts.remove(0), 0);
    assert!(
        starts.len() >= 2 && starts.is_sorted() && starts[0] > 0,
        "{starts:?}"
    );
}

#[test]
fn what_came_before_a_failure_is_continued_by_the_next_pull() {
    let image = image();
    let (files, layer) = (Files::of(&image), image.layers[0].to_string());
    let broken = Server::start(move |request| match request.path.ends_with(&layer) {
        true if request.from() == 0 => files.answer(request).cut(200_000),
        true => Response::new(500, ""),
        false => files.answer(request),
    });
    let client = Client::new();
    let error = client.pull(&broken).unwrap_err();
    assert!(matches!(error, OciError::Status { status: 500, .. }), "{error}");
    let server = Server::of_image(&image);
    assert_whole(&client.pull(&server).unwrap());
    let requests = server.requests();
    let resumed = requests
        .iter()
        .find(|request| request.path.ends_with(&image.layers[0].to_string()));
    assert!(resumed.unwrap().from() > 0);
}

#[test]
fn a_server_that_cannot_continue_is_read_from_the_start() {
    let image = image();
    let (files, layer) = (Files::of(&image), image.layers[0].to_string());
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        if !request.path.ends_with(&layer) {
            return files.answer(request);
        }
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let whole = Response::new(200, files.blob(&layer));
        match call {
            0 => whole.cut(50_000),
            // A part, but another than was asked for.
            1 => Response::new(206, "xyz").header("Content-Range", "bytes 7-9/10"),
            _ => whole,
        }
    });
    assert_whole(&Client::new().pull(&server).unwrap());
}

#[test]
fn a_damaged_start_is_thrown_away_and_fetched_anew() {
    let image = image();
    let server = Server::of_image(&image);
    let client = Client::new();
    for left in [b"damaged".to_vec(), vec![0; 2_000_000]] {
        let name = format!("{}.partial", image.layers[0].hex());
        std::fs::write(client.cache.folder().join(name), left).unwrap();
        assert_whole(&client.pull(&server).unwrap());
        assert_eq!(client.cache.prune(|_| false, false).unwrap().len(), 3);
    }
}

#[test]
fn a_tampered_blob_is_refused_and_leaves_nothing() {
    let image = image();
    let (files, layer) = (Files::of(&image), image.layers[1]);
    let server = Server::start(move |request| {
        let mut response = files.answer(request);
        if request.path.ends_with(&layer.to_string()) {
            *response.body.last_mut().unwrap() ^= 1;
        }
        response
    });
    let client = Client::new();
    match client.pull(&server) {
        Err(OciError::WrongDigest { expected, .. }) => assert_eq!(expected, layer),
        other => panic!("{other:?}"),
    }
    let left = names(client.cache.folder());
    assert!(
        !left.iter().any(|name| name.starts_with(&layer.hex())),
        "{left:?}"
    );
}

#[test]
fn sizes_that_lie_are_refused() {
    let image = image();
    let layer = image.layers[1];
    for (body, length) in [
        (b"x".repeat(100_000), None),
        (b"x".to_vec(), None),
        (b"x".to_vec(), Some(100_000)),
    ] {
        let files = Files::of(&image);
        let server = Server::start(move |request| match request.path.ends_with(&layer.to_string()) {
            true => Response {
                length,
                ..Response::new(200, body.clone())
            },
            false => files.answer(request),
        });
        let error = Client::new().pull(&server).unwrap_err();
        assert!(
            matches!(error, OciError::TooLarge { .. } | OciError::Broken { .. }),
            "{error}"
        );
    }
}

#[test]
fn documents_are_held_to_their_digest_size_and_kind() {
    let image = image();
    let reference = |server: &Server| format!("{}/x@{}", server.address, image.manifest);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let files = Files::of(&image);
    let good = Server::of_image(&image);
    assert_eq!(
        Client::new().pull_reference(&reference(&good)).unwrap().digest,
        image.manifest
    );
    let other = Server::start(move |request| match request.path.contains("/manifests/") {
        true => Response::new(200, r#"{"schemaVersion":2}"#).header("Content-Type", kind),
        false => files.answer(request),
    });
    let error = Client::new().pull_reference(&reference(&other)).unwrap_err();
    assert!(matches!(error, OciError::WrongDigest { .. }), "{error}");
    for (body, kind, message) in [
        ("{".to_owned(), kind, "does not parse"),
        ("[]".to_owned(), kind, "does not parse"),
        ("x".repeat(5 << 20), kind, "is larger than 4194304 bytes"),
        (
            "<html>".to_owned(),
            "text/html",
            "media type `text/html`, which is not supported",
        ),
        (
            "{}".to_owned(),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "v1+prettyjws`, which is not supported",
        ),
    ] {
        let server = Server::start(move |_| Response::new(200, body.clone()).header("Content-Type", kind));
        let text = Client::new().pull(&server).unwrap_err().to_string();
        assert!(text.contains(message) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_missing_platform_of_an_index_says_which_exist() {
    let entry = |os: &str, architecture: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": Digest::of(b""),
            "platform": {"os": os, "architecture": architecture},
        })
    };
    let index = json!({"schemaVersion": 2, "manifests": [entry("linux", "arm64"), entry("linux", "s390x")]})
        .to_string();
    let kind = "application/vnd.oci.image.index.v1+json";
    let server = Server::start(move |_| Response::new(200, index.clone()).header("Content-Type", kind));
    let text = Client::new().pull(&server).unwrap_err().to_string();
    assert!(
        text.ends_with("has no image for linux/amd64; it has linux/arm64, linux/s390x"),
        "{text}"
    );
    let arm = TestImage::with(&[(Tar::new().finish(), Compression::Plain)], &json!({}), "arm64");
    let server = Server::of_image(&arm);
    let client = Client::new();
    let text = client.pull(&server).unwrap_err().to_string();
    assert!(
        text.ends_with("has no image for linux/amd64; it has linux/arm64"),
        "{text}"
    );
    assert!(
        !server
            .asked()
            .iter()
            .any(|path| path.ends_with(&arm.layers[0].to_string()))
    );
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_in_the_registrys_words() {
    let server = Server::of_image(&image());
    let text = Client::new()
        .pull_reference(&format!("{}/x:none", server.address))
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        format!("{0}/x:none not found in registry {0}", server.address)
    );
    let denied = r#"{"errors":[{"code":"DENIED","message":"go \u001b[31maway"}]}"#;
    let server = Server::start(move |_| Response::new(403, denied));
    let text = Client::new().pull(&server).unwrap_err().to_string();
    assert!(
        text.ends_with(r"refuses access to some/image: DENIED: go \u{1b}[31maway"),
        "{text}"
    );
    let server = Server::start(|_| Response::new(401, "").header("WWW-Authenticate", "Kerberos"));
    assert!(matches!(
        Client::new().pull(&server),
        Err(OciError::BadChallenge { .. })
    ));
}

#[test]
fn server_errors_are_tried_again_and_not_for_ever() {
    let files = Files::of(&image());
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Response::new(500, ""),
        1 => Response::new(429, "").header("Retry-After", "0"),
        2 => files.answer(request).cut(10),
        _ => files.answer(request),
    });
    assert_whole(&Client::new().pull(&server).unwrap());
    let server = Server::start(|_| Response::new(502, ""));
    assert!(matches!(
        Client::new().pull(&server),
        Err(OciError::Status { status: 502, .. })
    ));
    assert_eq!(server.requests().len(), Patience::default().tries as usize);
    let server = Server::start(|_| Response::new(429, "").header("Retry-After", "86400"));
    assert!(matches!(
        Client::new().pull(&server),
        Err(OciError::Throttled { .. })
    ));
    assert_eq!(server.requests().len(), 1);
}

/// A registry that wants a token from a server of its own, which wants a login.
fn with_tokens(
    image: &TestImage,
    check: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> (Server, Server) {
    let issuer = Server::start(check);
    let (files, realm) = (Files::of(image), issuer.address);
    let registry = Server::start(move |request| {
        match request.header("authorization") {
        Some("Bearer good") => files.answer(request),
        _ => Response::new(401, "").header(
            "WWW-Authenticate",
            &format!(r#"Bearer realm="http://{realm}/token",service="the service",scope="repository:some/image:pull""#),
        ),
    }
    });
    (registry, issuer)
}

#[test]
fn a_token_is_fetched_once_with_the_login_and_used_for_all() {
    let image = image();
    let (registry, issuer) = with_tokens(&image, |request| match request.header("authorization") {
        // me:secret
        Some("Basic bWU6c2VjcmV0") => Response::new(200, r#"{"token":"good","expires_in":300}"#),
        _ => Response::new(
            401,
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#,
        ),
    });
    let client = Client::new()
        .login(&registry, password("me", "secret"))
        .trusting(&registry, &issuer);
    assert_whole(&client.pull(&registry).unwrap());
    assert_eq!(
        issuer.asked(),
        ["/token?scope=repository%3Asome%2Fimage%3Apull&service=the%20service"]
    );
    assert!(registry.requests().iter().all(|request| {
        request
            .header("authorization")
            .is_none_or(|value| value == "Bearer good")
    }));
    let text = Client::new().pull(&registry).unwrap_err().to_string();
    assert!(
        text.ends_with("refuses access to some/image: UNAUTHORIZED: who are you"),
        "{text}"
    );
    let wrong = Client::new()
        .login(&registry, password("me", "wrong"))
        .trusting(&registry, &issuer);
    assert!(matches!(
        wrong.pull(&registry),
        Err(OciError::Unauthorised { .. })
    ));
}

#[test]
fn anonymous_tokens_and_identity_tokens_work() {
    let image = image();
    let (registry, issuer) = with_tokens(&image, |request| match request.method.as_str() {
        "POST" if request.body.contains("refresh_token=id%3Dtok") => {
            Response::new(200, r#"{"access_token":"good"}"#)
        }
        "GET" if request.header("authorization").is_none() => Response::new(200, r#"{"token":"good"}"#),
        _ => Response::new(400, ""),
    });
    assert_whole(&Client::new().pull(&registry).unwrap());
    let client = Client::new()
        .login(&registry, Login::IdentityToken("id=tok".to_owned()))
        .trusting(&registry, &issuer);
    assert_whole(&client.pull(&registry).unwrap());
    let body = &issuer.requests()[1].body;
    assert!(
        body.contains("grant_type=refresh_token") && body.contains("service=the%20service"),
        "{body}"
    );
}

#[test]
fn a_token_that_runs_out_is_renewed() {
    let image = image();
    let issued = Arc::new(AtomicUsize::new(0));
    let (counted, files) = (Arc::clone(&issued), Files::of(&image));
    let issuer = Server::start(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        Response::new(200, format!(r#"{{"token":"t{number}"}}"#))
    });
    let realm = issuer.address;
    let used = AtomicUsize::new(0);
    let registry = Server::start(move |request| {
        let current = format!("Bearer t{}", issued.load(Ordering::SeqCst).wrapping_sub(1));
        let good = request.header("authorization") == Some(current.as_str());
        // Each token is good for one request.
        if good
            && used.fetch_max(issued.load(Ordering::SeqCst), Ordering::SeqCst) < issued.load(Ordering::SeqCst)
        {
            return files.answer(request);
        }
        Response::new(401, "").header("WWW-Authenticate", &format!(r#"Bearer realm="http://{realm}/""#))
    });
    let mut client = Client::new();
    client.options.downloads = 1;
    assert_whole(&client.pull(&registry).unwrap());
    assert_eq!(issuer.requests().len(), 4);
}

#[test]
fn answers_without_a_token_and_realms_without_tls_are_refused() {
    let image = image();
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(70_000));
    for answer in ["{}", r#"{"token":""}"#, r#"{"token":"a\r\nb"}"#, "<html>", &long] {
        let told = answer.to_owned();
        let (registry, _issuer) = with_tokens(&image, move |_| Response::new(200, told.as_str()));
        assert!(
            matches!(Client::new().pull(&registry), Err(OciError::NoToken { .. })),
            "{answer}"
        );
    }
    for realm in ["ftp://x/", "/token", "file:///etc/passwd"] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let server = Server::start(move |_| Response::new(401, "").header("WWW-Authenticate", &challenge));
        assert!(
            matches!(Client::new().pull(&server), Err(OciError::BadRealm { .. })),
            "{realm}"
        );
    }
}

#[test]
fn redirects_are_followed_without_the_credentials() {
    let image = image();
    let files = Files::of(&image);
    let store = Server::start(move |request| files.answer(request));
    let (files, target) = (Files::of(&image), store.address);
    let registry = Server::start(move |request| match request.header("authorization") {
        Some("Basic bWU6c2VjcmV0") if request.path.contains("/blobs/") => {
            Response::new(307, "").header("Location", &format!("http://{target}{}", request.path))
        }
        Some("Basic bWU6c2VjcmV0") => files.answer(request),
        _ => Response::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
    });
    let client = Client::new().login(&registry, password("me", "secret"));
    assert_whole(&client.pull(&registry).unwrap());
    let requests = store.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let text = Client::new().pull(&registry).unwrap_err().to_string();
    assert!(text.ends_with("refuses access to some/image"), "{text}");
}

#[test]
fn redirects_to_nowhere_and_in_circles_are_refused() {
    for location in ["ftp://x/", ""] {
        let server = Server::start(move |_| Response::new(302, "").header("Location", location));
        assert!(
            matches!(Client::new().pull(&server), Err(OciError::BadRedirect { .. })),
            "{location}"
        );
    }
    let server = Server::start(|_| Response::new(302, "").header("Location", "/v2/again"));
    let error = Client::new().pull(&server).unwrap_err().to_string();
    let address = server.address;
    assert_eq!(
        error,
        format!(
            "registry {address} redirects {address}/some/image:1 more than 5 times in a row, \
             the last time to `http://{address}/v2/again`"
        )
    );
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn mirrors_are_asked_first_and_the_registry_where_they_fail() {
    let image = image();
    let (good, files) = (Server::of_image(&image), Files::of(&image));
    let layer = image.layers[0].to_string();
    // It has all but one layer, and that one damaged.
    let mirror = Server::start(move |request| match request.path.ends_with(&layer) {
        true => Response::new(200, vec![0; files.blob(&layer).len()]),
        false => files.answer(request),
    });
    let mut client = Client::new();
    let mirrors = [mirror.address.to_string(), "127.0.0.1:1".to_owned()].map(|host| Mirror {
        host,
        path: String::new(),
        plain_http: true,
    });
    client
        .options
        .mirrors
        .insert(good.address.to_string(), mirrors.to_vec());
    client.options.patience.tries = 2;
    assert_whole(&client.pull(&good).unwrap());
    assert_eq!(mirror.asked().len(), 4);
    assert_eq!(
        good.asked(),
        [format!("/v2/some/image/blobs/{}", image.layers[0])]
    );
}

#[test]
fn an_unreachable_registry_is_named() {
    let mut client = Client::new();
    client.options.patience.tries = 2;
    let text = client.pull_reference("127.0.0.1:1/x").unwrap_err().to_string();
    assert_eq!(text, "cannot reach registry 127.0.0.1:1");
}

#[test]
fn plain_http_is_spoken_on_request_only() {
    let server = Server::of_image(&image());
    let mut client = Client::new();
    client.options.plain_http = false;
    client.options.patience.tries = 1;
    assert!(matches!(client.pull(&server), Err(OciError::Unreachable { .. })));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_pull_can_be_cancelled_while_a_server_is_silent() {
    let (asked, waiting) = std::sync::mpsc::channel();
    let (answer, released) = std::sync::mpsc::channel::<()>();
    let (asked, released) = (Mutex::new(asked), Mutex::new(released));
    let server = Server::start(move |_| {
        asked.lock().unwrap().send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        Response::new(200, "")
    });
    let client = Client::new();
    let cancel = Cancel::default();
    let registry = Registry::new(client.options.clone()).unwrap();
    let reference = RegistryReference::parse(&format!("{}/x", server.address)).unwrap();
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| registry.pull(&reference, &client.cache, &|_| {}, &cancel));
        waiting.recv().unwrap();
        cancel.cancel();
        assert!(matches!(pull.join().unwrap(), Err(OciError::Cancelled)));
    });
    drop(answer);
    assert_eq!(names(client.cache.folder()), Vec::<String>::new());
}

#[test]
fn a_silent_server_is_given_up() {
    let (answer, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let server = Server::start(move |_| {
        let _ = released.lock().unwrap().recv();
        Response::new(200, "")
    });
    let mut client = Client::new();
    client.options.patience.silence = Duration::from_millis(50);
    client.options.patience.tries = 2;
    assert!(matches!(client.pull(&server), Err(OciError::Unreachable { .. })));
    drop(answer);
}

#[test]
fn what_comes_byte_by_byte_is_given_up_be_it_a_document_or_a_layer() {
    let image = image();
    let layer = format!("/blobs/{}", image.layers[0]);
    for (part, broken) in [("/manifests/", false), (layer.as_str(), true)] {
        let (files, dripping) = (Files::of(&image), part.to_owned());
        let server = Server::start(move |request| Response {
            drips: request.path.contains(&dripping),
            ..files.answer(request)
        });
        let mut client = Client::new();
        client.options.patience.period = Duration::from_millis(500);
        client.options.patience.tries = 2;
        match client.pull(&server).unwrap_err() {
            OciError::Unreachable { .. } => assert!(!broken, "{part}"),
            OciError::Broken { source, .. } => {
                assert!(broken, "{part}");
                assert!(source.to_string().starts_with("only "), "{source}");
            }
            other => panic!("{part}: {other}"),
        }
    }
}

#[test]
fn a_layer_that_comes_twice_in_an_image_is_fetched_once() {
    let archive = Tar::new().file("a", "1").finish();
    let layers = [archive.clone(), Tar::new().file(".wh.a", "").finish(), archive]
        .map(|archive| (archive, Compression::Gzip));
    let server = Server::of_image(&TestImage::new(&layers));
    let pulled = Client::new().pull(&server).unwrap();
    assert_eq!(tree(&flatten(&pulled.layers).unwrap())["a"], "file 1");
    assert_eq!(
        server
            .asked()
            .iter()
            .filter(|path| path.contains("/blobs/"))
            .count(),
        3
    );
}

#[test]
fn what_is_pruned_while_it_is_read_stays_readable() {
    let server = Server::of_image(&image());
    let client = Client::new();
    let pulled = client.pull(&server).unwrap();
    assert_eq!(client.cache.prune(|_| false, false).unwrap().len(), 3);
    assert_eq!(names(client.cache.folder()), Vec::<String>::new());
    assert_whole(&pulled);
}

#[test]
fn an_image_larger_than_allowed_is_refused_before_it_comes() {
    let image = image();
    let server = Server::of_image(&image);
    let mut client = Client::new();
    client.options.bytes = 1000;
    assert!(matches!(
        client.pull(&server),
        Err(OciError::TooLarge { limit: 1000, .. })
    ));
    assert!(
        !server
            .asked()
            .iter()
            .any(|path| path.ends_with(&image.layers[0].to_string()))
    );
}
