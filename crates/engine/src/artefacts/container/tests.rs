//! Layers into images.

use std::cell::RefCell;

use super::*;

/// A layer of these members: `text` is a file's content, or where a link leads.
fn layer(members: &[(&str, tar::EntryType, &str)]) -> oci::Layer {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        match kind {
            tar::EntryType::Link => {
                header.set_size(0);
                tar.append_link(&mut header, path, text).unwrap();
            }
            _ => {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
    }
    let mut file = tempfile::tempfile().unwrap();
    std::io::copy(&mut tar.into_inner().unwrap().as_slice(), &mut file).unwrap();
    oci::Layer::new("x", file, oci::Compression::Plain, None).unwrap()
}

/// What is written of these layers, and what was told meanwhile.
fn written(layers: Vec<oci::Layer>) -> (Written, Vec<(String, u64, u64)>) {
    let image = oci::Image {
        digest: Digest::of(b"x"),
        config: oci::ImageConfig::default(),
        layers,
        warnings: Vec::new(),
    };
    let told = RefCell::new(Vec::new());
    let tell = |what: &str, done, total| told.borrow_mut().push((what.to_owned(), done, total));
    let mut out = tempfile::tempfile().unwrap();
    let written = write(&image, Compression::None, &mut out, &Cancel::default(), &tell).unwrap();
    (written, told.into_inner())
}

#[test]
fn what_is_told_of_the_writing_of_an_image_counts_to_the_end() {
    use tar::EntryType::{Directory, Link, Regular};
    let large = "x".repeat(1 << 20);
    let one_pass = vec![
        layer(&[("bin", Directory, ""), ("bin/a", Regular, &large)]),
        layer(&[("b", Regular, &large)]),
    ];
    // A link to what an older layer has cannot be told from one layer alone.
    let by_plan = vec![
        layer(&[("a", Regular, &large), ("c", Regular, &large)]),
        layer(&[("b", Regular, &large)]),
        layer(&[("d", Link, "a")]),
    ];
    for (layers, what) in [(one_pass, "one pass"), (by_plan, "a plan")] {
        let stored: u64 = layers.iter().map(oci::Layer::bytes).sum();
        let (written, told) = written(layers);
        for stage in ["unpack", "check"] {
            let steps: Vec<(u64, u64)> = told
                .iter()
                .filter(|(told, ..)| told == stage)
                .map(|(_, done, total)| (*done, *total))
                .collect();
            assert!(
                steps.iter().all(|(done, total)| done <= total),
                "{what}: {steps:?}"
            );
            assert!(steps.is_sorted_by_key(|(done, _)| *done), "{what}: {steps:?}");
            let (done, total) = *steps.last().unwrap();
            let expected = if stage == "unpack" { stored } else { written.bytes };
            assert!(done == total && total >= expected, "{what}: {done} of {total}");
            assert!(steps.len() > 2, "{what}: {steps:?}");
        }
    }
}

#[test]
fn a_layer_that_takes_back_what_it_brought_is_written_all_the_same() {
    use tar::EntryType::{Directory, Regular};
    let (written, told) = written(vec![layer(&[
        ("d", Directory, ""),
        ("d/x", Regular, "1"),
        ("d", Regular, "2"),
    ])]);
    assert_eq!(written.entries, 2, "the root and one file");
    let (_, done, total) = told.iter().rfind(|(what, ..)| what == "unpack").unwrap();
    assert_eq!(done, total);
}

#[test]
fn no_hint_names_a_flag_that_was_given() {
    for (plain, named) in [(false, true), (true, false)] {
        let hint = unreachable("localhost:5000", plain);
        assert_eq!(hint.contains("--plain-http"), named, "{hint}");
        assert!(hint.contains("localhost:5000"), "{hint}");
    }
}

#[test]
fn a_token_server_that_is_refused_is_for_the_registrys_keeper_to_change() {
    let origin = Origin::Registry {
        reference: RegistryReference::parse("r.x:5000/a:1").unwrap(),
        access: RegistryAccess::default(),
    };
    for (fault, way_out) in [
        (RealmFault::NoTls, "https://auth.example/token"),
        (RealmFault::NoTlsElsewhere, "one on r.x:5000 itself"),
    ] {
        let error = ContainerError::Oci(OciError::BadRealm {
            host: "r.x:5000".to_owned(),
            realm: "http://auth.x/token".to_owned(),
            fault,
        });
        let hint = error.hint(&origin).unwrap();
        assert!(hint.starts_with("whoever runs r.x:5000 "), "{hint}");
        assert!(hint.contains(way_out), "{hint}");
    }
}
