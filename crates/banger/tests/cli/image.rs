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
    let settings = daemon.folder().join(".config/banger");
    fs::create_dir_all(&settings).unwrap();
    let mirrors =
        "[registry_mirrors]\n\"other.test\" = [\"https://registry.test:5000\", \"https://third.test\"]";
    fs::write(settings.join("config.toml"), mirrors).unwrap();
    other.env("DOCKER_CONFIG", &config).status().unwrap();
    let call = daemon.calls().pop().unwrap();
    assert!(
        call.ends_with("login false, of mirrors registry.test:5000"),
        "{call}"
    );
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
fn a_token_server_is_confirmed_once_and_for_its_registry_only() {
    let daemon = FakeDaemon::with(Vec::new());
    let pull = |arguments: &[&str]| {
        let finished = daemon.run(&[&["image", "pull", "--name", "app"], arguments].concat());
        assert_eq!(finished.code, 0, "{}", finished.err);
        let call = daemon.calls().pop().unwrap();
        call.split_once("login false").unwrap().1.to_owned()
    };
    assert_eq!(pull(&["registry.test/team/app"]), "");
    let confirmed = pull(&["--trust-realm", "Auth.Test:443", "registry.test/team/app"]);
    assert_eq!(confirmed, ", of registry.test also to auth.test");
    assert_eq!(pull(&["registry.test/team/app"]), confirmed, "it is remembered");
    assert_eq!(pull(&["registry.test:5000/team/app"]), "", "another registry");
    let both = pull(&["--trust-realm", "other.test:8443", "registry.test/team/app"]);
    assert_eq!(both, ", of registry.test also to auth.test and other.test:8443");
    for (realm, reference) in [
        ("https://auth.test/token", "registry.test/app"),
        ("me@auth.test", "registry.test/app"),
        ("", "registry.test/app"),
        ("auth.test", "oci:layout"),
    ] {
        let refused = daemon.run(&["image", "pull", "--trust-realm", realm, reference]);
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (2, ""),
            "{realm}: {}",
            refused.err
        );
    }
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
    let reference = format!("docker-archive:{}:team/app:2", archive.display());
    assert_eq!(daemon.run(&["image", "pull", &reference]).out, "app\n");
    let reference = format!("oci-archive:{}:v1", archive.display());
    assert_eq!(daemon.run(&["image", "pull", &reference]).out, "app\n");
    let calls = daemon.calls();
    assert_eq!(calls[0], "upload app format=docker-archive: 1000000 bytes");
    assert_eq!(
        calls[2..],
        [
            "upload app format=docker-archive&tag=team%2Fapp%3A2: 1000000 bytes",
            "upload app format=oci-layout&tag=v1: 1000000 bytes"
        ]
    );
    assert!(
        calls[1].starts_with("upload app format=oci-layout&tag=v1: "),
        "{calls:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let daemon = FakeDaemon::with(Vec::new());
    let missing = daemon.run(&["image", "pull", "docker-archive:/proc/nonexistent/app.tar"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing
            .err
            .contains("banger: cannot read /proc/nonexistent/app.tar: No such file"),
        "{}",
        missing.err
    );
    let missing = daemon.run(&["image", "pull", "oci:/proc/nonexistent/layout"]);
    assert!(
        missing
            .err
            .contains("/proc/nonexistent/layout/oci-layout: cannot open"),
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
    for reference in ["UPPER", "a:b:c", "oci:", "oci-archive:", "docker-archive:"] {
        let refused = daemon.run(&["image", "pull", reference]);
        assert_eq!(refused.code, 2, "{reference}: {}", refused.err);
    }
    for (reference, said) in [
        (
            "docker://alpine:3",
            "transport `docker:` is not known; a registry's image is named without one",
        ),
        ("docker-daemon:app", "transport `docker-daemon:` is not known; "),
        ("dir:/tmp/x", "transport `dir:` is not known; "),
    ] {
        let refused = daemon.run(&["image", "pull", reference]);
        assert_eq!(refused.code, 2, "{reference}: {}", refused.err);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
    assert_eq!(daemon.calls(), Vec::<String>::new());
}

#[test]
fn an_export_appears_whole_under_the_name_asked_for_or_its_own() {
    let daemon = FakeDaemon::with(Vec::new());
    let folder = daemon.folder().join("published");
    fs::create_dir(&folder).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let exported = daemon.run(&["image", "export", "app", "-o", &at("app.bundle")]);
    assert_eq!(
        (exported.code, exported.out),
        (0, format!("{}\n", at("app.bundle")))
    );
    let bytes = fs::read(at("app.bundle")).unwrap();
    assert!(bytes.starts_with(b"a bundle"));
    let sha256 = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(&bytes));
    assert_eq!(exported.err, format!("sha256 {sha256}, {} bytes\n", bytes.len()));
    let own = daemon.run(&["image", "export", "app", "-o", folder.to_str().unwrap(), "--json"]);
    let own: serde_json::Value = serde_json::from_str(&own.out).unwrap();
    let name = format!("app-amd64-{}.tar.zst", &sha256[..12]);
    assert_eq!(own["file"], at(&name));
    assert_eq!(
        own["bundle"],
        serde_json::json!({"url": name, "sha256": sha256, "size": bytes.len()})
    );
    for (image, output) in [("nosuch", at("x")), ("app", "/proc/nonexistent/x".to_owned())] {
        let refused = daemon.run(&["image", "export", image, "-o", &output]);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing half is left");
    assert_eq!(daemon.calls(), ["export app", "export app"]);
}

#[test]
fn a_bundle_is_made_of_a_tar_or_a_folder_and_gives_its_entry_of_a_catalog() {
    use catalog::bundle::{Bundle, BundleRef, Manifest};
    let daemon = FakeDaemon::with(Vec::new());
    let folder = daemon.folder().join("out");
    fs::create_dir(&folder).unwrap();
    let out = folder.to_str().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o755);
    tar.append_data(&mut header, "bin/sh", &b"a shell"[..6]).unwrap();
    let tar = tar.into_inner().unwrap();
    let make = ["internal", "make-bundle", "--out", out, "--distro", "debian"];
    let of_tar = ["--rootfs-tar", "-", "--name", "box", "--kernel", "debian-cloud"];
    let made = daemon.run_with_stdin(&[&make[..], &of_tar].concat(), &tar);
    assert_eq!(made.code, 0, "{}", made.err);
    let built = daemon.folder().join("built");
    fs::create_dir(&built).unwrap();
    fs::write(built.join("vmlinuz"), "kernel").unwrap();
    let of_folder = ["--kernel-from", built.to_str().unwrap(), "--name", "tiny"];
    let kernel = daemon.run(&[&make[..], &of_folder].concat());
    assert_eq!(kernel.code, 0, "{}", kernel.err);
    for (entry, kind) in [(made.out, "image"), (kernel.out, "kernel")] {
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        let reference: BundleRef = serde_json::from_value(entry["bundle"].clone()).unwrap();
        let file = fs::File::open(folder.join(&reference.url)).unwrap();
        let bundle = Bundle::open(file, &reference, &progress::Cancel::new(), |_| {}).unwrap();
        match bundle.manifest() {
            Manifest::Image(image) => {
                assert_eq!(
                    (kind, image.kernel.as_str(), image.rootfs.entries),
                    ("image", "debian-cloud", 3)
                );
            }
            Manifest::Kernel(_) => assert_eq!(kind, "kernel"),
        }
        assert_eq!(entry["name"], bundle.manifest().about().name);
    }
    for wrong in [
        &make[..],
        &[&make[..], &["--rootfs-tar", "-", "--name", "box"]].concat(),
        &[&make[..], &["--rootfs-tar", "-", "--kernel", "k"]].concat(),
    ] {
        assert_eq!(daemon.run(wrong).code, 2, "{wrong:?}");
    }
    let empty = daemon.run(&[&make[..], &of_tar].concat());
    assert_eq!(empty.code, 1, "{}", empty.out);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing half is left");
}

#[test]
fn a_file_is_registered_by_its_whole_path_and_promoted_by_its_name() {
    let daemon = FakeDaemon::with(Vec::new());
    let disk = daemon.folder().join("disk.ext4");
    fs::write(&disk, "").unwrap();
    std::os::unix::fs::symlink(&disk, daemon.folder().join("link")).unwrap();
    let mut register = daemon.command(&["image", "register", "--name", "mine", "--rootfs", "link"]);
    let registered = register.current_dir(daemon.folder()).output().unwrap();
    assert_eq!(String::from_utf8(registered.stdout).unwrap(), "mine\n");
    let promoted = daemon.run(&["image", "promote", "-q", "mine"]);
    assert_eq!(
        (promoted.code, promoted.out.as_str(), promoted.err.as_str()),
        (0, "mine\n", "")
    );
    let disk = disk.canonicalize().unwrap();
    let calls = [
        format!(
            "register mine RegisterImage {{ rootfs: {disk:?}, kernel: None, boot: Overlay, work_seed: None }}"
        ),
        "promote mine".to_owned(),
    ];
    assert_eq!(daemon.calls(), calls);
    let missing = daemon.run(&[
        "image",
        "register",
        "--name",
        "mine",
        "--rootfs",
        "/proc/nonexistent/disk",
    ]);
    assert_eq!(
        (missing.code, missing.err.as_str()),
        (
            1,
            "banger: cannot read /proc/nonexistent/disk: No such file or directory (os error 2)\n"
        )
    );
    for wrong in [
        &["image", "register", "--rootfs", "/x"][..],
        &["image", "register", "--name", "mine"],
        &["image", "register", "--name", "Mine", "--rootfs", "/x"],
        &["image", "promote"],
    ] {
        assert_eq!(daemon.run(wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_kernel_that_comes_with_an_image_goes_first_and_goes_again_where_the_image_does_not_come() {
    let daemon = FakeDaemon::with(Vec::new());
    let kernel = daemon.folder().join("vmlinux");
    fs::write(&kernel, "a kernel").unwrap();
    let kernel = kernel.to_str().unwrap();
    let pull = |reference: &str, name: &str| {
        daemon.run(&[
            "image", "pull", "-q", reference, "--name", name, "--kernel", kernel,
        ])
    };
    let pulled = pull("registry.test:5000/team/app:1", "app");
    assert_eq!(pulled.code, 0, "{}", pulled.err);
    let broken = pull("registry.test/broken", "mine");
    assert_eq!(broken.code, 1, "{}", broken.err);
    insta::assert_snapshot!("pull_with_kernel", daemon.calls().join("\n"));
    for wrong in [
        &["--kernel", kernel][..],
        &["--name", "mine", "--modules", "/x"],
        &["--name", "mine", "--kernel", kernel, "--kernel-ref", "other"],
    ] {
        let wrong = [&["image", "pull", "registry.test/app:1"], wrong].concat();
        assert_eq!(daemon.run(&wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_recipe_is_sent_as_it_is_with_the_name_of_its_file() {
    let daemon = FakeDaemon::with(Vec::new());
    let recipe = daemon.folder().join("r.toml");
    fs::write(&recipe, "base = \"x\"\n").unwrap();
    let recipe = recipe.to_str().unwrap();
    let built = daemon.run(&["image", "build", "mine", "-q", "-f", recipe]);
    assert_eq!(
        (built.code, built.out.as_str(), built.err.as_str()),
        (0, "mine\n", "")
    );
    let piped = ["image", "build", "other", "--kernel-ref", "k", "-f", "-"];
    let piped = daemon.run_with_stdin(&piped, b"packages = []");
    assert_eq!((piped.code, piped.out.as_str()), (0, "other\n"), "{}", piped.err);
    let calls = [
        r#"build mine BuildImage { recipe: "base = \"x\"\n", file: Some("r.toml"), kernel: None }"#,
        r#"build other BuildImage { recipe: "packages = []", file: None, kernel: Some("k") }"#,
    ];
    assert_eq!(daemon.calls(), calls);

    for (content, said) in [
        (vec![b'#'; 600 << 10], "is larger than the 512 KiB of a recipe"),
        (vec![0xff], "is not UTF-8"),
    ] {
        fs::write(recipe, content).unwrap();
        let refused = daemon.run(&["image", "build", "mine", "-f", recipe]);
        assert_eq!(
            (refused.code, refused.err),
            (1, format!("banger: {recipe} {said}\n"))
        );
    }
    let missing = daemon.run(&["image", "build", "mine", "-f", "/proc/nonexistent/r.toml"]);
    assert_eq!(
        (missing.code, missing.err.as_str()),
        (
            1,
            "banger: cannot read /proc/nonexistent/r.toml: No such file or directory (os error 2)\n"
        )
    );
    for wrong in [
        &["image", "build", "mine"][..],
        &["image", "build", "Mine", "-f", "/x"],
    ] {
        assert_eq!(daemon.run(wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_vm_speaks_to_its_images_registry_without_tls_only_if_told_to() {
    let daemon = FakeDaemon::with(Vec::new());
    let create = |flags: &[&str]| {
        let create = [
            "vm",
            "create",
            "--no-start",
            "--image",
            "registry.test:5000/new:1",
        ];
        daemon.run(&[&create[..], flags].concat())
    };
    assert_eq!(create(&["--name", "a"]).code, 0);
    assert_eq!(create(&["--name", "b", "--plain-http"]).code, 0);
    assert_eq!(daemon.calls(), ["create a", "create b", "without TLS"]);
    let alone = daemon.run(&["vm", "run", "--plain-http", "--", "true"]);
    assert_eq!(alone.code, 2, "{}", alone.err);
}
