//! Credential helpers, run as docker runs them. Alone in its process, since it changes `PATH`.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use oci::credentials::DockerConfig;
use oci::{Login, OciError};

/// Set in the process that has the helpers in its `PATH`.
const INSIDE: &str = "OCI_TEST_HELPERS";

fn helper(folder: &Path, name: &str, script: &str) {
    let path = folder.join(format!("docker-credential-{name}"));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn helpers_are_asked_as_docker_asks_them() {
    if std::env::var_os(INSIDE).is_some() {
        return ask();
    }
    let folder = tempfile::tempdir().unwrap();
    let answer = r#"[ "$1" = get ] || exit 9; read server; printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$server""#;
    helper(folder.path(), "own", &format!("{answer} me \"$server secret\""));
    helper(
        folder.path(),
        "store",
        &format!("{answer} '<token>' \"$server token\""),
    );
    helper(
        folder.path(),
        "empty",
        "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
    );
    helper(
        folder.path(),
        "broken",
        "cat >/dev/null; echo 'keychain is locked'; exit 1",
    );
    helper(folder.path(), "babble", "cat >/dev/null; yes");
    let path = std::env::join_paths(
        std::iter::once(folder.path().to_owned()).chain(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        )),
    );
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helpers_are_asked_as_docker_asks_them", "--nocapture"])
        .env("PATH", path.unwrap())
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn ask() {
    let folder = std::env::var_os(INSIDE).unwrap();
    let file = Path::new(&folder).join("config.json");
    let config = r#"{"auths":{"file.x":{"username":"u","password":"p"}},"credsStore":"store",
        "credHelpers":{"own.x":"own","file.x":"empty","none.x":"empty","broken.x":"broken","babble.x":"babble","gone.x":"gone",
        "evil.x":"../../bin/sh"}}"#;
    fs::write(&file, config).unwrap();
    let config = DockerConfig::read(&file).unwrap();
    let password = |user: &str, password: &str| {
        Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    };
    assert_eq!(config.login("own.x").unwrap(), password("me", "own.x secret"));
    assert_eq!(config.login("file.x").unwrap(), password("u", "p"));
    assert_eq!(config.login("none.x").unwrap(), None);
    let token = Login::IdentityToken("https://index.docker.io/v1/ token".to_owned());
    assert_eq!(config.login("docker.io").unwrap(), Some(token));
    for (host, reason) in [
        ("broken.x", "keychain is locked"),
        ("babble.x", "its answer is no login"),
        ("evil.x", "its name is no word"),
    ] {
        match config.login(host) {
            Err(OciError::Helper { reason: found, .. }) if host != "babble.x" => assert_eq!(found, reason),
            Err(OciError::Helper { .. }) => {}
            other => panic!("{host}: {other:?}"),
        }
    }
    assert!(matches!(config.login("gone.x"), Err(OciError::Helper { .. })));
}
