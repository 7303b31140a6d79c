//! `banger image`, and images of container registries in `vm run`.

use std::fs;

use crate::support::{FakeDaemon, Finished};

fn without_times(finished: &Finished) -> String {
    let screen = finished.screen();
    let lines = screen.lines().map(|line| match line.strip_prefix("created ") {
        Some(_) => "created <time>",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn images_are_listed_and_shown_with_what_they_say() {
    let daemon = FakeDaemon::with(Vec::new());
    insta::assert_snapshot!("list", daemon.run(&["image", "list"]).screen());
    insta::assert_snapshot!("show", without_times(&daemon.run(&["image", "show", "app"])));
    assert_eq!(daemon.run(&["image", "list", "-q"]).out, "app\ndebian-minimal\n");
    let listed: Vec<api::Image> = serde_json::from_str(&daemon.run(&["image", "ls", "--json"]).out).unwrap();
    let named = "registry.test:5000/team/app:1";
    let shown: api::Image =
        serde_json::from_str(&daemon.run(&["image", "show", named, "--json"]).out).unwrap();
    assert_eq!((shown.id, shown.name), (listed[0].id.clone(), "app".to_owned()));
}

#[test]
fn a_pull_shows_its_layers_and_prints_the_name() {
    let daemon = FakeDaemon::with(Vec::new());
    let arguments = ["image", "pull", "registry.test:5000/team/app:1", "--plain-http"];
    insta::assert_snapshot!("pull", daemon.run(&arguments).screen());
    assert_eq!(
        daemon.calls(),
        ["pull registry.test:5000/team/app:1 as None plain true login false"]
    );
    insta::assert_snapshot!(
        "pull_broken",
        daemon.run(&["image", "pull", "registry.test/broken"]).screen()
    );
}

#[test]
fn the_login_for_the_registry_goes_along_and_no_other() {
    let daemon = FakeDaemon::with(Vec::new());
    let config = daemon.folder().join("docker");
    fs::create_dir(&config).unwrap();
    let auths = r#"{"auths": {"registry.test:5000": {"auth": "YWRhOmdlaGVpbQ=="}}}"#;
    fs::write(config.join("config.json"), auths).unwrap();
    let pull = |reference: &str| {
        let mut command = daemon.command(&["image", "pull", reference]);
        assert!(command.env("DOCKER_CONFIG", &config).status().unwrap().success());
    };
    pull("registry.test:5000/team/app:1");
    assert!(daemon.calls().last().unwrap().ends_with("login true"));
    let mut other = daemon.command(&["image", "pull", "other.test/app", "--name", "app"]);
    other.env("DOCKER_CONFIG", &config).status().unwrap();
    assert!(daemon.calls().last().unwrap().ends_with("login false"));
    fs::write(config.join("config.json"), "{").unwrap();
    let mut broken = daemon.command(&["image", "pull", "other.test/app"]);
    let output = broken.env("DOCKER_CONFIG", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.starts_with("banger: cannot look for a login to other.test: "),
        "{message}"
    );
}

#[test]
fn files_are_sent_and_never_named() {
    let daemon = FakeDaemon::with(Vec::new());
    let archive = daemon.folder().join("app.tar");
    fs::write(&archive, vec![7; 1_000_000]).unwrap();
    let reference = format!("docker-archive:{}", archive.display());
    assert_eq!(daemon.run(&["image", "pull", &reference]).out, "app\n");
    let layout = daemon.folder().join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("oci-layout"), "{}").unwrap();
    fs::write(layout.join("index.json"), "{}").unwrap();
    let reference = format!("oci:{}:v1", layout.display());
    let pulled = daemon.run(&["image", "pull", &reference, "--name", "app"]);
    assert_eq!((pulled.code, pulled.out.as_str()), (0, "app\n"), "{}", pulled.err);
    let calls = daemon.calls();
    assert_eq!(calls[0], "upload app format=docker-archive: 1000000 bytes");
    assert!(
        calls[1].starts_with("upload app format=oci-layout&tag=v1: "),
        "{calls:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let daemon = FakeDaemon::with(Vec::new());
    let missing = daemon.run(&["image", "pull", "docker-archive:/nonexistent/app.tar"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing
            .err
            .contains("banger: cannot read /nonexistent/app.tar: No such file"),
        "{}",
        missing.err
    );
    let missing = daemon.run(&["image", "pull", "oci:/nonexistent/layout"]);
    assert!(
        missing
            .err
            .contains("/nonexistent/layout/oci-layout: cannot open"),
        "{}",
        missing.err
    );
}

#[test]
fn an_image_in_use_is_not_deleted_and_the_others_are() {
    let daemon = FakeDaemon::with(Vec::new());
    let deleted = daemon.run(&["image", "delete", "nosuch", "debian-minimal", "app"]);
    insta::assert_snapshot!("delete", deleted.screen());
    assert_eq!(daemon.calls(), ["delete image app"]);
}

#[test]
fn pruning_tells_what_it_did_or_would_do() {
    let daemon = FakeDaemon::with(Vec::new());
    let would = daemon.run(&["image", "cache", "prune", "--dry-run"]);
    let did = daemon.run(&["image", "cache", "prune"]);
    assert_eq!(
        would.err,
        "would remove 3 cached blobs and 1 unused file system, 5.0 MiB\n"
    );
    assert_eq!(
        did.err,
        "removed 3 cached blobs and 1 unused file system, 5.0 MiB\n"
    );
    assert_eq!(daemon.calls(), ["prune dry_run=true", "prune dry_run=false"]);
}

#[test]
fn wrong_references_are_usage() {
    let daemon = FakeDaemon::with(Vec::new());
    for reference in ["UPPER", "a:b:c", "oci:", "docker-archive:"] {
        let refused = daemon.run(&["image", "pull", reference]);
        assert_eq!(refused.code, 2, "{reference}: {}", refused.err);
    }
    assert_eq!(daemon.calls(), Vec::<String>::new());
}
