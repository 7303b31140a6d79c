//! Images that lie on disk: layouts, and what `docker save` writes.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use oci::{Compression, Digest, Image, OciError, Platform};
use progress::Cancel;
use serde_json::json;
use support::tar::Tar;
use support::{TAG, TestImage, flatten, has, names, pack, tree};

fn archives() -> [Vec<u8>; 2] {
    [
        Tar::new().file("a", "1").file("b", "1").finish(),
        Tar::new().file(".wh.a", "").file("c", "2").finish(),
    ]
}

fn image() -> TestImage {
    let [first, second] = archives();
    TestImage::new(&[(first, Compression::Gzip), (second, Compression::Zstd)])
}

fn layout(folder: &Path, tag: Option<&str>) -> Result<Image, OciError> {
    oci::open_layout(folder, tag, Platform::Amd64, &Cancel::default())
}

fn archive(file: &Path, scratch: &Path) -> Result<Image, OciError> {
    oci::open_docker_archive(file, None, scratch, 1 << 30, Platform::Amd64, &Cancel::default())
}

fn assert_whole(image: &Image) {
    let tree = tree(&flatten(&image.layers).unwrap());
    let lines: Vec<_> = tree.into_iter().collect();
    assert_eq!(
        lines,
        [support::pair("b", "file 1"), support::pair("c", "file 2")]
    );
}

#[test]
fn a_layout_is_opened_with_its_tag_or_with_none_where_there_is_one_image() {
    let image = image();
    let folder = image.folder.path();
    for tag in [Some(TAG), None] {
        let opened = layout(folder, tag).unwrap();
        assert_eq!(opened.digest, image.manifest);
        assert_whole(&opened);
    }
    let text = layout(folder, Some("2")).unwrap_err().to_string();
    assert_eq!(text, format!("{} has no image `2`; it has 1", folder.display()));
    let index = folder.join("index.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let mut second = value["manifests"][0].clone();
    second["annotations"]["org.opencontainers.image.ref.name"] = json!("other");
    value["manifests"].as_array_mut().unwrap().push(second);
    fs::write(&index, value.to_string()).unwrap();
    assert_whole(&layout(folder, Some("other")).unwrap());
    let text = layout(folder, None).unwrap_err().to_string();
    assert!(
        text.ends_with("has several images, and none was named; it has 1, other"),
        "{text}"
    );
}

#[test]
fn a_layouts_blobs_are_held_to_digest_and_size() {
    let damage: [fn(&Path); 3] = [
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
    ];
    for damage in damage {
        let names = names(&image().folder.path().join("blobs/sha256"));
        assert_eq!(names.len(), 4);
        for name in names {
            let image = image();
            damage(&image.folder.path().join("blobs/sha256").join(&name));
            let error = layout(image.folder.path(), None).unwrap_err();
            assert!(
                matches!(
                    error,
                    OciError::WrongDigest { .. } | OciError::WrongSize { .. } | OciError::File { .. }
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn a_folder_that_is_no_layout_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let text = layout(folder.path(), None).unwrap_err().to_string();
    assert_eq!(
        text,
        format!(
            "{}: is no OCI layout: it has no oci-layout",
            folder.path().display()
        )
    );
    fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    let text = layout(folder.path(), None).unwrap_err().to_string();
    assert!(text.ends_with("layout version `2.0.0` is not known"), "{text}");
}

#[test]
fn what_skopeo_writes_as_a_docker_archive_is_opened_packed_or_not() {
    if !has("skopeo") {
        eprintln!("left out: needs Debian's package `skopeo`");
        return;
    }
    // Docker knows no zstd.
    let image = TestImage::new(&archives().map(|archive| (archive, Compression::Gzip)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.tar");
    let output = Command::new("skopeo")
        .args(["copy", "--insecure-policy"])
        .arg(format!("oci:{}:{TAG}", image.folder.path().display()))
        .arg(format!("docker-archive:{}:name:1", file.display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let opened = archive(&file, folder.path()).unwrap();
    assert_whole(&opened);
    assert_eq!(opened.config.env, [("A".to_owned(), "b".to_owned())]);
    let plain = fs::read(&file).unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        fs::write(&file, pack(&plain, compression)).unwrap();
        assert_whole(&archive(&file, folder.path()).unwrap());
        let bounded = oci::open_docker_archive(
            &file,
            None,
            folder.path(),
            1000,
            Platform::Amd64,
            &Cancel::default(),
        );
        assert!(matches!(bounded, Err(OciError::TooMuch { limit: 1000, .. })));
    }
    assert_eq!(names(folder.path()), ["image.tar"]);
}

/// A docker archive, as `docker save` of old has made it, and parts of it that may be wrong.
fn docker(manifest: &str, layers: &[(&str, Vec<u8>)]) -> Result<Image, OciError> {
    let folder = tempfile::tempdir().unwrap();
    let diff_ids = archives().map(|archive| Digest::of(&archive));
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let mut tar = Tar::new().dir("one").file("config.json", &config.to_string());
    for (name, bytes) in layers {
        let meta = support::tar::Meta::default();
        tar = tar.entry(tar::EntryType::Regular, name, "", bytes, meta);
    }
    let tar = tar
        .dir("two")
        .symlink("two/layer.tar", "../one/second.tar")
        .file("manifest.json", manifest);
    let file = folder.path().join("x.tar");
    fs::write(&file, tar.finish()).unwrap();
    archive(&file, folder.path())
}

#[test]
fn links_among_layers_are_followed_and_layers_may_be_packed() {
    let manifest =
        r#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":["one/layer.tar","two/layer.tar"]}]"#;
    let [first, second] = archives();
    let layers = [
        ("one/layer.tar", pack(&first, Compression::Gzip)),
        ("./one/second.tar", second),
    ];
    assert_whole(&docker(manifest, &layers).unwrap());
}

#[test]
fn a_docker_archive_that_lacks_or_repeats_something_is_refused() {
    let entry = r#"{"Config":"config.json","RepoTags":["x:1"],"Layers":["one/layer.tar","two/layer.tar"]}"#;
    let [first, second] = archives();
    let whole = [("one/layer.tar", first), ("one/second.tar", second)];
    for (manifest, layers, message) in [
        (format!("[{entry}]"), &whole[..1], "holds no `two/layer.tar`"),
        (
            format!("[{entry},{entry}]"),
            &whole[..],
            "has 2 images, and none was named; it has @0, x:1",
        ),
        ("[]".to_owned(), &whole[..], "has no image; it has none"),
        ("{".to_owned(), &whole[..], "manifest.json does not parse"),
        (
            format!("[{}]", entry.replace(",\"two/layer.tar\"", "")),
            &whole[..],
            "manifest has 1 layers, configuration 2",
        ),
        (
            format!("[{}]", entry.replace("config.json", "../../etc/passwd")),
            &whole[..],
            "holds no `../../etc/passwd`",
        ),
    ] {
        let text = docker(&manifest, layers).unwrap_err().to_string();
        assert!(text.ends_with(message), "{text}");
    }
    let [first, second] = archives();
    let swapped = [("one/layer.tar", second), ("one/second.tar", first)];
    let opened = docker(&format!("[{entry}]"), &swapped).unwrap();
    assert!(matches!(
        flatten(&opened.layers),
        Err(OciError::WrongContent { .. })
    ));
}

/// An archive of images that hold a file `which` with `a`, `b` and `c`.
fn archive_of_three(manifest: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Tar::new();
    for which in ["a", "b", "c"] {
        let layer = Tar::new().file("which", which).finish();
        let config = json!({
            "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        });
        let meta = support::tar::Meta::default();
        tar = tar
            .entry(tar::EntryType::Regular, &format!("{which}.tar"), "", &layer, meta)
            .file(&format!("{which}.json"), &config.to_string());
    }
    let file = folder.path().join("x.tar");
    fs::write(&file, tar.file("manifest.json", manifest).finish()).unwrap();
    (folder, file)
}

#[test]
fn one_of_several_images_of_a_docker_archive_is_chosen_by_its_name_or_its_place() {
    let manifest = r#"[{"Config":"a.json","RepoTags":["docker.io/library/app:1","app:old"],"Layers":["a.tar"]},
        {"Config":"b.json","RepoTags":["host:5000/team/app:1"],"Layers":["b.tar"]},
        {"Config":"c.json","RepoTags":null,"Layers":["c.tar"]}]"#;
    let (folder, file) = archive_of_three(manifest);
    let open = |name: Option<&str>| {
        let cancel = Cancel::default();
        oci::open_docker_archive(&file, name, folder.path(), 1 << 20, Platform::Amd64, &cancel)
    };
    for (name, which) in [
        ("app:1", "a"),
        ("docker.io/library/app:1", "a"),
        ("app:old", "a"),
        ("@0", "a"),
        ("host:5000/team/app:1", "b"),
        ("@1", "b"),
        ("@2", "c"),
    ] {
        let image = open(Some(name)).unwrap();
        let tree = tree(&flatten(&image.layers).unwrap());
        assert_eq!(tree["which"], format!("file {which}"), "{name}");
    }
    let available = "it has docker.io/library/app:1, app:old, host:5000/team/app:1, @2";
    for (name, message) in [
        (None, "has 3 images, and none was named"),
        (Some("app"), "has no image `app`"),
        (Some("app:2"), "has no image `app:2`"),
        (Some("@3"), "has no image `@3`"),
        (Some("@"), "has no image `@`"),
        (Some("@-1"), "has no image `@-1`"),
        (Some("a\nb"), r"has no image `a\nb`"),
    ] {
        let error = open(name).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{message}; {available}")), "{error}");
    }
}

#[test]
fn of_images_of_one_name_in_a_docker_archive_the_last_is_taken_and_the_choice_is_said() {
    let manifest = r#"[{"Config":"a.json","RepoTags":["app:1","app:old"],"Layers":["a.tar"]},
        {"Config":"b.json","RepoTags":["docker.io/library/app:1"],"Layers":["b.tar"]},
        {"Config":"c.json","RepoTags":["other:1"],"Layers":["c.tar"]}]"#;
    let (folder, file) = archive_of_three(manifest);
    let open = |name: Option<&str>| {
        let cancel = Cancel::default();
        oci::open_docker_archive(&file, name, folder.path(), 1 << 20, Platform::Amd64, &cancel)
    };
    let said = "2 images are called `app:1`: the last, @1, was taken, not @0";
    for (name, which, warnings) in [
        ("app:1", "b", vec![said]),
        ("app:old", "a", vec![]),
        ("@0", "a", vec![]),
        ("other:1", "c", vec![]),
    ] {
        let image = open(Some(name)).unwrap();
        assert_eq!(image.warnings, warnings, "{name}");
        let tree = tree(&flatten(&image.layers).unwrap());
        assert_eq!(tree["which"], format!("file {which}"), "{name}");
    }
    let error = open(None).unwrap_err().to_string();
    let available = "it has app:old, docker.io/library/app:1, other:1";
    assert!(error.ends_with(available), "{error}");
}
