//! Bundles and catalogs from a server that does what servers do, and from hands that mean harm.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use catalog::bundle::{
    Bundle, BundleError, BundleImage, BundleKernel, BundleRef, Description, Manifest, RootFs, RootFsKind,
    write_image, write_kernel,
};
use catalog::{CatalogError, Fetcher};
use progress::Cancel;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use ureq::tls::TlsConfig;

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// What begins like an EROFS and cannot be packed away.
fn rootfs() -> Vec<u8> {
    let mut rootfs: Vec<u8> = (0..300_000_u64)
        .flat_map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).to_le_bytes())
        .take(1_000_000)
        .collect();
    rootfs[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    rootfs
}

fn about() -> Description {
    Description {
        name: "box".into(),
        distro: "debian".into(),
        arch: "amd64".into(),
        description: "for tests".into(),
    }
}

fn image_of(rootfs: &[u8]) -> BundleImage {
    BundleImage {
        schema_version: 1,
        about: about(),
        kernel: "cloud".into(),
        rootfs: RootFs {
            kind: RootFsKind::Erofs,
            bytes: rootfs.len() as u64,
            sha256: sha256(rootfs),
            entries: 3,
        },
        config: None,
    }
}

fn bundle() -> Vec<u8> {
    let mut out = Vec::new();
    write_image(image_of(&rootfs()), rootfs().as_slice(), &mut out).unwrap();
    out
}

fn reference(bundle: &[u8]) -> BundleRef {
    BundleRef {
        url: "box.tar.zst".into(),
        sha256: sha256(bundle),
        size: bundle.len() as u64,
    }
}

/// Takes a bundle in; gives the root file system.
fn take(source: impl io::Read, expected: &BundleRef) -> Result<Vec<u8>, BundleError> {
    let mut out = tempfile::tempfile().unwrap();
    take_into(source, expected, &mut out)?;
    let mut bytes = Vec::new();
    out.rewind().unwrap();
    out.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

fn take_into(source: impl io::Read, expected: &BundleRef, out: &mut File) -> Result<(), BundleError> {
    let bundle = Bundle::open(source, expected, &Cancel::new(), |_| {})?;
    let Manifest::Image(image) = bundle.manifest().clone() else {
        panic!("it is an image");
    };
    bundle.write_rootfs(&image.rootfs, out)
}

/// A bundle of these members, well packed whatever they are.
fn packed(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, data) in members {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..11].copy_from_slice(b"/etc/passwd");
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, *data).unwrap();
    }
    zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap()
}

fn refused(members: &[(&str, tar::EntryType, &[u8])]) -> String {
    let bundle = packed(members);
    take(bundle.as_slice(), &reference(&bundle))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_bundle_gives_back_what_went_in_and_equal_content_gives_equal_bytes() {
    let bundle = bundle();
    assert!(bundle == self::bundle());
    assert!(take(bundle.as_slice(), &reference(&bundle)).unwrap() == rootfs());
    let lying = write_image(image_of(&rootfs()), &rootfs()[1..], io::sink());
    assert!(matches!(
        lying,
        Err(BundleError::Write(_) | BundleError::Mismatch { .. })
    ));
}

#[test]
fn the_members_of_a_kernel_come_as_they_went_in() {
    let manifest = BundleKernel {
        schema_version: 1,
        about: about(),
    };
    let mut out = Vec::new();
    let written = write_kernel(manifest, &mut out, |tar| {
        let mut header = tar::Header::new_gnu();
        header.set_size(6);
        tar.append_data(&mut header, "vmlinux", &b"kernel"[..])
            .map_err(BundleError::Write)
    })
    .unwrap();
    assert_eq!((written.bytes, written.sha256), (out.len() as u64, sha256(&out)));
    let mut bundle = Bundle::open(out.as_slice(), &reference(&out), &Cancel::new(), |_| {}).unwrap();
    assert!(matches!(bundle.manifest(), Manifest::Kernel(_)));
    let mut tar = Vec::new();
    bundle.members().read_to_end(&mut tar).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names, [std::path::Path::new("vmlinux")]);
    bundle.finish().unwrap();
}

#[test]
fn a_bundle_that_is_cut_longer_or_another_is_told_apart_from_a_damaged_one() {
    let whole = bundle();
    let expected = reference(&whole);
    let told = |bytes: &[u8]| take(bytes, &expected).unwrap_err().to_string();
    for cut in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        assert_eq!(
            told(&whole[..cut]),
            format!("it ended after {cut} of {} bytes", whole.len())
        );
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert_eq!(
        told(&longer),
        format!(
            "it has more than the {} bytes that the catalog tells",
            whole.len()
        )
    );
    for at in [0, 4, 20, whole.len() / 2, whole.len() - 1] {
        let mut other = whole.clone();
        other[at] ^= 0x10;
        assert_eq!(
            told(&other),
            format!(
                "its sha256 is {}; the catalog tells {}",
                sha256(&other),
                sha256(&whole)
            ),
            "byte {at}"
        );
    }
    let noise = vec![7; 5000];
    let damaged = take(noise.as_slice(), &reference(&noise)).unwrap_err();
    assert!(matches!(damaged, BundleError::Decompress(_)), "{damaged}");
}

#[test]
fn members_that_no_image_has_are_refused_by_name() {
    use tar::EntryType;
    let file = EntryType::Regular;
    let rootfs = rootfs();
    let json = serde_json::to_vec(&Manifest::Image(image_of(&rootfs))).unwrap();
    let manifest = ("manifest.json", file, json.as_slice());
    let root = ("rootfs.erofs", file, rootfs.as_slice());
    let refused_by = |name: &str| format!("`{name}` does not belong into it");
    for (name, kind) in [
        ("../rootfs.erofs", file),
        ("/rootfs.erofs", file),
        ("a/../rootfs.erofs", file),
        ("etc/passwd", file),
        ("rootfs.erofs", EntryType::Symlink),
        ("rootfs.erofs", EntryType::Link),
        ("rootfs.erofs", EntryType::Fifo),
        ("rootfs.erofs", EntryType::Directory),
        ("manifest.json", file),
    ] {
        assert_eq!(
            refused(&[manifest, (name, kind, b"")]),
            refused_by(name),
            "{kind:?}"
        );
        assert_eq!(
            refused(&[manifest, root, (name, kind, b"")]),
            refused_by(name),
            "{kind:?}"
        );
    }
    assert_eq!(refused(&[manifest, root, root]), refused_by("rootfs.erofs"));
    assert_eq!(refused(&[manifest]), "it holds no rootfs.erofs");
    for first in [&[root][..], &[], &[("manifest.json", EntryType::Symlink, b"")]] {
        let message = refused(first);
        assert!(
            message.starts_with("it does not begin with manifest.json"),
            "{message}"
        );
    }
    let large = vec![b' '; (1 << 20) + 1];
    assert!(refused(&[("manifest.json", file, &large), root]).starts_with("it does not begin with"));
}

#[test]
fn a_root_file_system_that_is_not_the_manifests_or_none_is_refused() {
    let file = tar::EntryType::Regular;
    let good = rootfs();
    let with = |image: BundleImage, rootfs: &[u8]| {
        let json = serde_json::to_vec(&Manifest::Image(image)).unwrap();
        refused(&[("manifest.json", file, &json), ("rootfs.erofs", file, rootfs)])
    };
    let mut other = good.clone();
    other[5000] ^= 1;
    assert_eq!(
        with(image_of(&good), &other),
        format!(
            "its root file system is `{}`; `{}` was due",
            sha256(&other),
            sha256(&good)
        )
    );
    assert_eq!(
        with(image_of(&good), &good[..5000]),
        "its root file system's size is `5000`; `1000000` was due"
    );
    for none in [&b"text"[..], &[0; 5000]] {
        assert_eq!(
            with(image_of(none), none),
            "its root file system is `something else`; `an EROFS` was due"
        );
    }
}

#[test]
fn a_manifest_of_a_future_version_or_with_a_mistake_is_refused() {
    let file = tar::EntryType::Regular;
    let good = serde_json::to_string(&Manifest::Image(image_of(&rootfs()))).unwrap();
    for (json, message) in [
        (
            r#"{"schema_version": 7, "kind": "unheard of"}"#.to_owned(),
            "it is of version 7; this banger reads up to 1",
        ),
        (good.replace("\"box\"", "\"../box\""), "manifest.json is wrong: "),
        (good.replace("\"image\"", "\"disk\""), "manifest.json is wrong: "),
        (good.replace("1000000", "0"), "manifest.json is wrong: "),
        (
            good.replace("1000000", "99999999999999"),
            "manifest.json is wrong: ",
        ),
        (
            good.replace("for tests", "for\\ntests"),
            "manifest.json is wrong: ",
        ),
        (
            "{}".to_owned(),
            "manifest.json is wrong: missing field `schema_version`",
        ),
        (String::new(), "manifest.json is wrong: "),
    ] {
        let message_found = refused(&[("manifest.json", file, json.as_bytes())]);
        assert!(
            message_found.starts_with(message),
            "{message_found}\nnot {message}"
        );
    }
}

#[test]
fn what_unpacks_without_end_is_cut_at_what_the_manifest_tells() {
    let file = tar::EntryType::Regular;
    let rootfs = rootfs();
    let json = serde_json::to_vec(&Manifest::Image(image_of(&rootfs))).unwrap();
    let zeros = vec![0; 8 << 20];
    let bundle = packed(&[("manifest.json", file, &json), ("rootfs.erofs", file, &rootfs)]);
    let mut tar = zstd::decode_all(bundle.as_slice()).unwrap();
    tar.extend(zeros);
    let bomb = zstd::encode_all(tar.as_slice(), 1).unwrap();
    assert_eq!(
        take(bomb.as_slice(), &reference(&bomb)).unwrap_err().to_string(),
        "`what comes after the archive` does not belong into it"
    );
}

#[test]
fn a_full_disk_is_told_as_such() {
    let bundle = bundle();
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = take_into(bundle.as_slice(), &reference(&bundle), &mut full).unwrap_err();
    let BundleError::Write(cause) = error else {
        panic!("{error}");
    };
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
}

/// What a server does with a request for a path.
enum Answer {
    /// These bytes, of which it says there are so many.
    Bytes(Vec<u8>, usize),
    Status(&'static str),
    Redirect(String),
    /// It says nothing, and tells that somebody asked.
    Silence(mpsc::Sender<TcpStream>),
    /// So many bytes, one at a time.
    Drip(usize),
}

fn whole(bytes: Vec<u8>) -> Answer {
    let length = bytes.len();
    Answer::Bytes(bytes, length)
}

/// Serves these; gives the address.
fn serve(answers: Vec<(&'static str, Answer)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers: HashMap<_, _> = answers.into_iter().collect();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &answers);
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: &HashMap<&str, Answer>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = request
        .split(' ')
        .nth(1)
        .unwrap()
        .trim_start_matches('/')
        .to_owned();
    let head = |status: &str, rest: String| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{rest}\r\n");
    let _ = match answers.get(path.as_str()) {
        Some(Answer::Bytes(bytes, length)) => {
            let head = head("200 OK", format!("Content-Length: {length}\r\n"));
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(bytes))
        }
        Some(Answer::Drip(length)) => {
            let head = head("200 OK", format!("Content-Length: {length}\r\n"));
            stream.write_all(head.as_bytes()).and_then(|()| {
                (0..*length).try_for_each(|_| {
                    std::thread::sleep(Duration::from_millis(5));
                    stream.write_all(b" ")
                })
            })
        }
        Some(Answer::Status(status)) => {
            stream.write_all(head(status, "Content-Length: 0\r\n".into()).as_bytes())
        }
        Some(Answer::Redirect(to)) => {
            let rest = format!("Location: {to}\r\nContent-Length: 0\r\n");
            stream.write_all(head("302 Found", rest).as_bytes())
        }
        Some(Answer::Silence(asked)) => {
            let _ = asked.send(stream);
            Ok(())
        }
        None => stream.write_all(head("404 Not Found", "Content-Length: 0\r\n".into()).as_bytes()),
    };
}

fn fetcher() -> Fetcher {
    Fetcher::new(TlsConfig::builder().build())
}

#[test]
fn a_download_that_breaks_off_is_truncated_whatever_the_server_said() {
    let whole_bundle = bundle();
    let expected = reference(&whole_bundle);
    let half = whole_bundle[..whole_bundle.len() / 2].to_vec();
    let length = whole_bundle.len();
    let server = serve(vec![
        ("whole", whole(whole_bundle.clone())),
        ("moved", Answer::Redirect("/whole".into())),
        ("cut", Answer::Bytes(half.clone(), length)),
        ("short", whole(half)),
        ("long", whole([whole_bundle.as_slice(), b"more"].concat())),
        ("gone", Answer::Status("410 Gone")),
    ]);
    let fetch = |path: &str| {
        let download = fetcher().open(&format!("{server}/{path}"), &Cancel::new())?;
        take(download, &expected).map_err(|source| CatalogError::Published {
            what: "bundle",
            url: path.into(),
            source,
        })
    };
    for good in ["whole", "moved"] {
        assert!(fetch(good).unwrap() == rootfs(), "{good}");
    }
    for cut in ["cut", "short"] {
        let error = fetch(cut).unwrap_err();
        let message = format!(
            "the bundle {cut} cannot be used: it ended after {} of {length} bytes",
            length / 2
        );
        assert_eq!(error.to_string(), message);
        assert_eq!(
            error.hint().as_deref(),
            Some("try again; the connection broke off")
        );
    }
    assert!(
        fetch("long")
            .unwrap_err()
            .to_string()
            .contains("it has more than")
    );
    for (missing, status) in [("nosuch", 404), ("gone", 410)] {
        let error = fetch(missing).unwrap_err();
        assert!(error.is_absence());
        assert_eq!(
            error.to_string(),
            format!("{server}/{missing} is not served: status {status}")
        );
    }
}

#[test]
fn a_catalog_is_fetched_whole_or_not_at_all() {
    let sha256 = "a".repeat(64);
    let json = format!(
        r#"{{"schema_version": 1, "images": [{{"name": "box", "arch": "amd64", "kernel": "cloud",
            "bundle": {{"url": "box.tar.zst", "sha256": "{sha256}", "size": 9}}}}]}}"#
    );
    let server = serve(vec![
        ("catalog.json", whole(json.clone().into_bytes())),
        (
            "cut.json",
            Answer::Bytes(json.clone().into_bytes(), json.len() + 1),
        ),
        ("future.json", whole(json.replace(": 1,", ": 2,").into_bytes())),
        ("huge.json", whole(vec![b' '; (16 << 20) + 1])),
    ]);
    let fetch = |path: &str| fetcher().catalog(&format!("{server}/{path}"), &Cancel::new());
    let catalog = fetch("catalog.json").unwrap();
    assert_eq!(catalog.images[0].bundle.url, format!("{server}/box.tar.zst"));
    let future = fetch("future.json").unwrap_err();
    assert_eq!(
        future.to_string(),
        format!(
            "the catalog {server}/future.json cannot be used: it is of version 2; this banger reads up to 1"
        )
    );
    assert_eq!(future.hint().as_deref(), Some("a newer banger reads it"));
    for bad in ["cut.json", "huge.json", "nosuch.json"] {
        assert!(fetch(bad).is_err(), "{bad}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetcher()
        .catalog(&format!("http://{nobody}/catalog.json"), &Cancel::new())
        .unwrap_err();
    assert!(error.is_absence(), "{error}");
    assert_eq!(
        error.to_string(),
        format!("cannot reach http://{nobody}/catalog.json")
    );
}

#[test]
fn a_server_that_falls_silent_is_waited_for_until_somebody_cancels() {
    let (sender, asked) = mpsc::channel();
    let server = serve(vec![("silent", Answer::Silence(sender))]);
    let cancel = Cancel::new();
    let canceller = cancel.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _connection = asked.recv().unwrap();
            canceller.cancel();
        });
        let error = fetcher().open(&format!("{server}/silent"), &cancel).unwrap_err();
        assert!(matches!(error, CatalogError::Cancelled), "{error}");
    });
    let (sender, _asked) = mpsc::channel();
    let server = serve(vec![("silent", Answer::Silence(sender))]);
    let impatient = fetcher().with_silence(Duration::from_millis(50));
    let error = impatient
        .open(&format!("{server}/silent"), &Cancel::new())
        .unwrap_err();
    assert!(matches!(error, CatalogError::ServerUnreachable { .. }), "{error}");
}

#[test]
fn a_catalog_that_comes_byte_by_byte_is_given_up_and_the_error_names_its_address() {
    let server = serve(vec![("catalog.json", Answer::Drip(4_000))]);
    let url = format!("{server}/catalog.json");
    let limit = Duration::from_millis(300);
    let error = fetcher()
        .with_exchange(limit)
        .catalog(&url, &Cancel::new())
        .unwrap_err();
    assert_eq!(error.to_string(), format!("{url} took longer than 300ms"));
    assert!(error.hint().unwrap().contains("catalog_url"));
}

#[test]
fn a_bundle_that_comes_byte_by_byte_breaks_off() {
    let server = serve(vec![("bundle", Answer::Drip(4_000))]);
    let mut download = fetcher()
        .with_silence(Duration::from_millis(500))
        .open(&format!("{server}/bundle"), &Cancel::new())
        .unwrap();
    let mut received = Vec::new();
    let error = download.read_to_end(&mut received).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert!(!received.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]

    #[test]
    fn no_bundle_makes_it_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<Option<prop::sample::Index>>(), honest in any::<bool>()) {
        let file = tar::EntryType::Regular;
        let rootfs = &rootfs()[..5000];
        let json = serde_json::to_vec(&Manifest::Image(image_of(rootfs))).unwrap();
        let whole = packed(&[("manifest.json", file, &json), ("rootfs.erofs", file, rootfs)]);
        let mut tar = if honest { zstd::decode_all(whole.as_slice()).unwrap() } else { whole };
        for (at, byte) in flips {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let bundle = if honest { zstd::encode_all(tar.as_slice(), 1).unwrap() } else { tar };
        if let Ok(open) = Bundle::open(bundle.as_slice(), &reference(&bundle), &Cancel::new(), |_| {})
            && let Manifest::Image(image) = open.manifest().clone()
        {
            let _ = open.write_rootfs(&image.rootfs, &mut tempfile::tempfile().unwrap());
        }
    }
}
