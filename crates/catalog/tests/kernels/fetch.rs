//! Kernels from an archive on loopback: what is fetched is what the archive's signature promises, or nothing is.

use std::io::Read as _;
use std::net::TcpListener;

use crate::support::{Archive, Key, Package, is_empty, recorder};
use catalog::apt::fetch_kernel;
use catalog::{Catalog, CatalogError, KernelEntry, KernelPackage, RecipeSettings, Stage};
use progress::Cancel;

const KERNEL: &str = "linux-image-6.1.0-9-test";

fn archive() -> Archive {
    let file = ("boot/vmlinuz", "a kernel");
    Archive::new(&[
        Package {
            name: "linux-image-test",
            version: "6.1.9",
            depends: "linux-image-6.1.0-9-test (= 1:6.1.9-1)",
            file,
        },
        Package {
            name: KERNEL,
            version: "1:6.1.9-1",
            depends: "kmod, linux-base (>= 4.3~)",
            file,
        },
    ])
}

fn entry(suite: &str, package: &str) -> KernelEntry {
    let text = format!(
        "[[kernel]]\nname=\"k\"\ndistro=\"d\"\narch=\"amd64\"\ndescription=\"\"\n\
         [kernel.apt]\nsuite=\"{suite}\"\ncomponent=\"main\"\npackage=\"{package}\"\n"
    );
    Catalog::parse("", &text, &[])
        .unwrap()
        .kernel("k")
        .unwrap()
        .clone()
}

fn fetch(settings: &RecipeSettings, entry: &KernelEntry) -> Result<KernelPackage, CatalogError> {
    let work = tempfile::tempdir().unwrap();
    let result = fetch_kernel(entry, settings, work.path(), &recorder().0, &Cancel::new());
    if result.is_err() {
        assert!(is_empty(work.path()), "a failure leaves nothing");
    }
    result
}

fn failure(settings: &RecipeSettings) -> CatalogError {
    let error = fetch(settings, &entry("testing", "linux-image-test")).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1);
    assert!(error.hint().is_some());
    error
}

#[test]
fn the_kernel_that_a_package_leads_to_is_fetched_with_progress_and_leaves_nothing() {
    let archive = archive();
    let work = tempfile::tempdir().unwrap();
    let (sink, seen) = recorder();
    let cancel = Cancel::new();
    let package = fetch_kernel(
        &entry("testing", "linux-image-test"),
        &archive.settings(),
        work.path(),
        &sink,
        &cancel,
    )
    .unwrap();
    assert_eq!((package.package(), package.version()), (KERNEL, "1:6.1.9-1"));
    assert_eq!(package.bytes(), archive.get(&archive.pool(KERNEL)).len() as u64);
    let mut bytes = Vec::new();
    let mut stream = package.open(&cancel).unwrap();
    // The stream alone keeps its file.
    drop(package);
    stream.read_to_end(&mut bytes).unwrap();
    drop(stream);
    let mut tar = tar::Archive::new(bytes.as_slice());
    let paths: Vec<_> = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(paths, ["./", "./boot/", "./boot/vmlinuz"]);
    assert!(is_empty(work.path()));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|progress| progress.stage == Stage::Lists));
    let last = seen.last().unwrap();
    assert_eq!((last.stage, last.done), (Stage::Download, last.total));
}

#[test]
fn a_package_that_was_tampered_with_is_refused() {
    let archive = archive();
    let path = archive.pool(KERNEL);
    let mut deb = archive.get(&path);
    *deb.last_mut().unwrap() ^= 1;
    archive.put(&path, deb);
    assert!(matches!(
        failure(&archive.settings()),
        CatalogError::Unverified { .. }
    ));
}

#[test]
fn a_list_that_was_tampered_with_is_refused() {
    let archive = archive();
    let path = "dists/testing/main/binary-amd64/Packages";
    let mut list = archive.get(path);
    list.extend_from_slice(b"\n");
    archive.put(path, list);
    assert!(matches!(
        failure(&archive.settings()),
        CatalogError::Unverified { .. }
    ));
}

#[test]
fn a_release_that_was_changed_after_signing_is_refused() {
    let archive = archive();
    let signed = String::from_utf8(archive.get("dists/testing/InRelease")).unwrap();
    archive.put(
        "dists/testing/InRelease",
        signed.replace("Origin: test", "Origin: evil").into_bytes(),
    );
    assert!(matches!(
        failure(&archive.settings()),
        CatalogError::Unverified { .. }
    ));
}

#[test]
fn a_release_without_a_signature_is_refused() {
    let archive = archive();
    let release = archive.release();
    archive.put("dists/testing/InRelease", release.clone().into_bytes());
    assert!(matches!(
        failure(&archive.settings()),
        CatalogError::Unverified { .. }
    ));
    archive.remove("dists/testing/InRelease");
    archive.put("dists/testing/Release", release.into_bytes());
    assert!(matches!(
        failure(&archive.settings()),
        CatalogError::Unverified { .. }
    ));
}

#[test]
fn a_release_signed_by_an_unknown_key_is_refused() {
    let archive = archive();
    let other = Key::new();
    let mut settings = archive.settings();
    settings.keyring = Some(other.public());
    assert!(matches!(failure(&settings), CatalogError::Unverified { .. }));
}

#[test]
fn a_mirror_that_does_not_answer_is_named() {
    let archive = archive();
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mirror = format!("http://{address}/debian");
    let settings = RecipeSettings {
        mirror: Some(mirror.clone()),
        ..archive.settings()
    };
    let error = failure(&settings).to_string();
    assert!(
        error.starts_with(&format!("cannot reach the mirror {mirror}: ")),
        "{error}"
    );
}

#[test]
fn a_release_that_the_mirror_does_not_have_is_told_as_such() {
    let archive = archive();
    let error = fetch(&archive.settings(), &entry("nosuch", "linux-image-test")).unwrap_err();
    assert!(matches!(error, CatalogError::SuiteMissing { .. }), "{error}");
}

#[test]
fn a_package_that_the_archive_does_not_have_is_named() {
    let archive = archive();
    let error = fetch(&archive.settings(), &entry("testing", "linux-image-nosuch")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no package linux-image-nosuch in testing"
    );
}

#[test]
fn a_package_file_that_the_mirror_has_lost_is_one_line() {
    let archive = archive();
    archive.remove(&archive.pool(KERNEL));
    let error = fetch(&archive.settings(), &entry("testing", "linux-image-test"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("apt-get failed: ") && error.contains("404"),
        "{error}"
    );
}

#[test]
fn cancelling_ends_a_fetch_at_once_and_leaves_nothing() {
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let archive = archive();
    let mirror = format!("http://{}/debian", silent.local_addr().unwrap());
    let settings = RecipeSettings {
        mirror: Some(mirror),
        ..archive.settings()
    };
    let work = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let canceller = cancel.clone();
    let thread = std::thread::spawn(move || {
        let connection = silent.accept().unwrap();
        canceller.cancel();
        connection
    });
    let result = fetch_kernel(
        &entry("testing", "linux-image-test"),
        &settings,
        work.path(),
        &recorder().0,
        &cancel,
    );
    assert!(matches!(result, Err(CatalogError::Cancelled)));
    assert!(is_empty(work.path()));
    drop(thread.join().unwrap());
}
