//! A layer is applied in the order of its members, as an archive tool would: the last one of a path counts.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use support::tar::Tar;
use support::{files, flatten, layers, pair, tree};

/// The whole tree, its directories too.
fn whole(archives: &[Vec<u8>]) -> Vec<(String, String)> {
    let tree = tree(&flatten(&layers(archives)).unwrap());
    tree.into_iter().filter(|(path, _)| path != ".").collect()
}

fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(path, line)| pair(path, line)).collect()
}

#[test]
fn the_last_member_of_a_path_counts_with_what_came_in_it() {
    let usr = || Tar::new().dir("usr").dir("usr/lib");
    let lib = "link usr/lib";
    for (what, layer, expected) in [
        (
            "a folder with content, then a link",
            usr().dir("lib").file("lib/f", "1").symlink("lib", "usr/lib"),
            pairs(&[("lib", lib), ("usr", "directory"), ("usr/lib", "directory")]),
        ),
        (
            "the link before what it leads to",
            Tar::new()
                .dir("lib")
                .file("lib/f", "1")
                .symlink("lib", "usr/lib")
                .dir("usr")
                .dir("usr/lib"),
            pairs(&[("lib", lib), ("usr", "directory"), ("usr/lib", "directory")]),
        ),
        (
            "what comes after the link goes through it",
            usr()
                .dir("lib")
                .file("lib/f", "1")
                .symlink("lib", "usr/lib")
                .file("lib/g", "2"),
            pairs(&[
                ("lib", lib),
                ("usr", "directory"),
                ("usr/lib", "directory"),
                ("usr/lib/g", "file 2"),
            ]),
        ),
        (
            "a link, then a folder with content",
            usr().symlink("lib", "usr/lib").dir("lib").file("lib/f", "1"),
            pairs(&[
                ("lib", "directory"),
                ("lib/f", "file 1"),
                ("usr", "directory"),
                ("usr/lib", "directory"),
            ]),
        ),
        (
            "a folder, a file, a folder again",
            Tar::new()
                .dir("d")
                .file("d/x", "1")
                .file("d", "2")
                .dir("d")
                .file("d/y", "3"),
            pairs(&[("d", "directory"), ("d/y", "file 3")]),
        ),
        (
            "a deep folder, then a file",
            Tar::new().dir("d").dir("d/e").file("d/e/f", "1").file("d", "2"),
            pairs(&[("d", "file 2")]),
        ),
        (
            "a folder that no member describes, then a link",
            Tar::new().file("d/e", "1").symlink("d", "x"),
            pairs(&[("d", "link x")]),
        ),
        (
            "a link to what is replaced later keeps what it was",
            Tar::new()
                .dir("d")
                .file("d/x", "1")
                .link("kept", "d/x")
                .symlink("d", "kept"),
            pairs(&[("d", "link kept"), ("kept", "file 1")]),
        ),
        (
            "a folder, then a device",
            Tar::new()
                .dir("d")
                .file("d/x", "1")
                .device(tar::EntryType::Char, "d", 1, 3),
            pairs(&[("d", "CharacterDevice { major: 1, minor: 3 }")]),
        ),
    ] {
        let layer = layer.finish();
        assert_eq!(whole(std::slice::from_ref(&layer)), expected, "{what}");
        // Nor does it matter whether the layer is the oldest one, or the newest.
        let older = Tar::new().dir("older").file("older/x", "0").finish();
        let newer = Tar::new().file("newer", "9").finish();
        let own: Vec<_> = whole(&[older, layer, newer])
            .into_iter()
            .filter(|(path, _)| !path.starts_with("older") && path != "newer")
            .collect();
        assert_eq!(own, expected, "{what}, among others");
    }
}

#[test]
fn a_hard_link_leads_to_what_its_own_layer_hides_later() {
    let base = || {
        Tar::new()
            .dir("d")
            .file("d/a", "old")
            .file("b", "old b")
            .symlink("s", "d")
            .finish()
    };
    for (what, layer, expected) in [
        (
            "a whiteout after the link",
            Tar::new().link("kept", "d/a").file("d/.wh.a", ""),
            pairs(&[("b", "file old b"), ("kept", "file old"), ("s", "link d")]),
        ),
        (
            "one of the whole folder",
            Tar::new().link("kept", "d/a").file(".wh.d", ""),
            pairs(&[("b", "file old b"), ("kept", "file old"), ("s", "link d")]),
        ),
        (
            "an opaque folder",
            Tar::new()
                .dir("d")
                .link("d/kept", "d/a")
                .file("d/.wh..wh..opq", ""),
            pairs(&[("b", "file old b"), ("d/kept", "file old"), ("s", "link d")]),
        ),
        (
            "through a link of an older layer",
            Tar::new().link("kept", "s/a").file("s/.wh.a", ""),
            pairs(&[("b", "file old b"), ("kept", "file old"), ("s", "link d")]),
        ),
        (
            "a new file of the old name",
            Tar::new().link("kept", "b").file(".wh.b", "").file("b", "new"),
            pairs(&[
                ("b", "file new"),
                ("d/a", "file old"),
                ("kept", "file old b"),
                ("s", "link d"),
            ]),
        ),
        (
            "a link to such a link",
            Tar::new().link("kept", "b").file(".wh.b", "").link("too", "kept"),
            pairs(&[
                ("d/a", "file old"),
                ("kept", "file old b"),
                ("s", "link d"),
                ("too", "file old b"),
            ]),
        ),
    ] {
        assert_eq!(files(&[base(), layer.finish()]), expected, "{what}");
    }
    // What was hidden before is not there.
    let layer = Tar::new().file(".wh.b", "").link("kept", "b").finish();
    let error = flatten(&layers(&[base(), layer])).unwrap_err().to_string();
    assert_eq!(error, "layer 1, `kept`: hard link to `b`, which is not there");
}
