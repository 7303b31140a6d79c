//! Merging: what later layers hide, replace and link to.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use oci::Kind;
use proptest::prelude::*;
use support::tar::Tar;
use support::{files, flatten, flatten_and_tell, layers, pair, tree};

#[test]
fn whiteouts_hide_what_older_layers_have_and_nothing_of_their_own() {
    let base = Tar::new()
        .dir("d")
        .file("d/a", "1")
        .file("d/b", "1")
        .file("e", "1")
        .finish();
    let next = Tar::new()
        .file("d/.wh.a", "")
        .file("e", "2")
        .file(".wh.e", "")
        .file("d/.wh.nothing", "")
        .finish();
    assert_eq!(files(&[base, next]), [pair("d/b", "file 1"), pair("e", "file 2")]);
}

#[test]
fn an_opaque_directory_hides_what_older_layers_have_in_it_wherever_its_mark_stands() {
    let base = Tar::new()
        .file("d/a", "1")
        .file("d/s/b", "1")
        .file("x", "1")
        .finish();
    for next in [
        Tar::new().dir("d").file("d/c", "2").file("d/.wh..wh..opq", ""),
        Tar::new().dir("d").file("d/.wh..wh..opq", "").file("d/c", "2"),
    ] {
        let merged = files(&[base.clone(), next.finish()]);
        assert_eq!(merged, [pair("d/c", "file 2"), pair("x", "file 1")]);
    }
}

#[test]
fn a_later_kind_replaces_an_earlier_one_with_all_that_was_in_it() {
    let base = Tar::new()
        .dir("a")
        .file("a/x", "1")
        .file("b", "1")
        .symlink("c", "a")
        .finish();
    let next = Tar::new()
        .file("a", "2")
        .dir("b")
        .file("b/y", "2")
        .dir("c")
        .file("c/z", "2")
        .finish();
    assert_eq!(
        files(&[base.clone(), next.clone()]),
        [pair("a", "file 2"), pair("b/y", "file 2"), pair("c/z", "file 2")]
    );
    let last = Tar::new().dir("a").finish();
    assert_eq!(
        files(&[base, next, last]),
        [pair("b/y", "file 2"), pair("c/z", "file 2")]
    );
}

#[test]
fn nothing_that_is_hidden_comes_out() {
    let base = Tar::new().file("a", "old").file("b", "hidden").finish();
    let next = Tar::new().file("a", "new").file(".wh.b", "").finish();
    let flat = flatten(&layers(&[base, next])).unwrap();
    let data: Vec<&[u8]> = flat.iter().map(|(_, data)| data.as_slice()).collect();
    assert_eq!(data, [b"new"]);
}

#[test]
fn the_newest_layer_comes_first() {
    let archives = ["a", "b", "c"].map(|name| Tar::new().file(name, name).finish());
    let flat = flatten(&layers(&archives)).unwrap();
    let paths: Vec<&[u8]> = flat.iter().map(|(entry, _)| entry.path.as_slice()).collect();
    assert_eq!(paths, [b"c", b"b", b"a"]);
}

#[test]
fn a_directory_takes_the_attributes_of_the_newest_layer_and_keeps_what_is_in_it() {
    let base = Tar::new().dir("d").file("d/a", "1").finish();
    let meta = support::tar::Meta {
        mode: 0o1770,
        uid: 5,
        gid: 3_000_000,
        mtime: 7,
    };
    let next = Tar::new()
        .entry(tar::EntryType::Directory, "d", "", b"", meta)
        .finish();
    let flat = flatten(&layers(&[base, next])).unwrap();
    let directory = &flat.iter().find(|(entry, _)| entry.path == b"d").unwrap().0;
    assert_eq!(
        (directory.mode, directory.uid, directory.gid),
        (0o1770, 5, 3_000_000)
    );
    assert_eq!(directory.modified.seconds, 7);
    assert_eq!(flat.len(), 2);
}

#[test]
fn hard_links_keep_their_data_when_their_first_name_is_hidden() {
    let base = Tar::new()
        .file("a", "data")
        .link("b", "a")
        .link("c", "b")
        .finish();
    let next = Tar::new().file(".wh.a", "").finish();
    let flat = flatten(&layers(&[base.clone(), next])).unwrap();
    assert!(matches!(flat[1].0.kind, Kind::HardLink { .. }));
    assert_eq!(
        tree(&flat).into_iter().collect::<Vec<_>>(),
        [pair("b", "file data"), pair("c", "file data")]
    );
    let replaced = Tar::new().file("a", "new").finish();
    assert_eq!(
        files(&[base, replaced]),
        [
            pair("a", "file new"),
            pair("b", "file data"),
            pair("c", "file data")
        ]
    );
}

#[test]
fn hard_links_lead_across_layers() {
    let base = Tar::new().file("a", "data").finish();
    let next = Tar::new().link("b", "a").finish();
    let last = Tar::new().file(".wh.a", "").link("c", "./b").finish();
    assert_eq!(
        files(&[base, next, last]),
        [pair("b", "file data"), pair("c", "file data")]
    );
}

#[test]
fn a_hard_link_to_a_link_is_one_more_name_of_it() {
    let base = Tar::new().symlink("s", "nowhere").link("t", "s").finish();
    assert_eq!(
        files(&[base]),
        [pair("s", "link nowhere"), pair("t", "link nowhere")]
    );
}

#[test]
fn paths_through_links_of_older_layers_end_where_they_would_on_a_disk() {
    let base = Tar::new()
        .dir("usr/bin")
        .symlink("bin", "usr/bin")
        .symlink("abs", "/usr/bin/../lib/./new")
        .symlink("up", "../../../usr")
        .finish();
    let next = Tar::new()
        .file("bin/sh", "2")
        .file("abs/x", "2")
        .file("up/y", "2")
        .link("up/z", "bin/sh")
        .finish();
    assert_eq!(
        files(&[base, next]),
        [
            pair("abs", "link /usr/bin/../lib/./new"),
            pair("bin", "link usr/bin"),
            pair("up", "link ../../../usr"),
            pair("usr/bin/sh", "file 2"),
            pair("usr/lib/new/x", "file 2"),
            pair("usr/y", "file 2"),
            pair("usr/z", "file 2"),
        ]
    );
}

#[test]
fn absolute_symlinks_are_kept_as_they_are() {
    let base = Tar::new()
        .symlink("etc/x", "/var/y")
        .symlink("up", "../../../../etc/passwd")
        .finish();
    assert_eq!(
        files(&[base]),
        [
            pair("etc/x", "link /var/y"),
            pair("up", "link ../../../../etc/passwd")
        ]
    );
}

#[test]
fn of_a_path_that_comes_twice_in_a_layer_the_last_counts() {
    let base = Tar::new()
        .file("a", "1")
        .link("b", "a")
        .file("a", "2")
        .file("./a/", "")
        .finish();
    // A name that ends in a slash is a directory's, whatever its type says, as old archives write it.
    let tree = tree(&flatten(&layers(&[base])).unwrap());
    assert_eq!(
        tree.into_iter().collect::<Vec<_>>(),
        [pair("a", "directory"), pair("b", "file 1")]
    );
}

#[test]
fn entries_may_be_dropped_unread() {
    let base = Tar::new().file("a", &"x".repeat(100_000)).file("b", "b").finish();
    let next = Tar::new().file("c", "c").finish();
    let layers = layers(&[base, next]);
    let mut flattened = oci::flatten(&layers, &oci::Limits::default(), &progress::Cancel::default());
    let mut paths = Vec::new();
    while let Some(merged) = flattened.next().unwrap() {
        paths.push(merged.entry.path.clone());
    }
    assert_eq!(paths, [b"c", b"a", b"b"]);
}

/// One member, as the generator makes it.
#[derive(Clone, Debug)]
enum Op {
    Directory(String),
    File(String),
    Symlink(String),
    Link(String, String),
    Hide(String),
    Opaque(String),
}

/// The simplest thing that could be right: a map from path to what is there, copied about.
#[derive(Clone, Default)]
struct Model(BTreeMap<String, String>);

impl Model {
    fn remove_below(&mut self, path: &str) {
        let prefix = format!("{path}/");
        self.0.retain(|name, _| !name.starts_with(&prefix));
    }

    /// Whether everything above a path is a directory; missing ones are made.
    fn make_parents(&mut self, path: &str) -> bool {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        let parents = || ends.iter().map(|end| &path[..*end]);
        if parents().any(|parent| self.0.get(parent).is_some_and(|line| line != "directory")) {
            return false;
        }
        for parent in parents() {
            self.0.insert(parent.to_owned(), "directory".to_owned());
        }
        true
    }

    /// Hides what a layer's whiteouts hide.
    fn hide(&mut self, op: &Op) {
        match op {
            Op::Hide(path) => {
                self.remove_below(path);
                self.0.remove(path);
            }
            Op::Opaque(path) => self.remove_below(path),
            _ => {}
        }
    }

    /// Puts an entry, or says that it cannot be.
    fn put(&mut self, op: &Op, data: &str) -> bool {
        let (path, line) = match op {
            Op::Directory(path) => (path, "directory".to_owned()),
            Op::File(path) => (path, format!("file {data}")),
            Op::Symlink(path) => (path, format!("link {data}")),
            Op::Link(path, target) => match self.0.get(target) {
                Some(line) if line != "directory" && !target.starts_with(&format!("{path}/")) => {
                    (path, line.clone())
                }
                _ => return false,
            },
            Op::Hide(_) | Op::Opaque(_) => return true,
        };
        if !self.make_parents(path) {
            return false;
        }
        if line != "directory" {
            self.remove_below(path);
        }
        self.0.insert(path.clone(), line);
        true
    }
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..4).prop_map(|names| names.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => path().prop_map(Op::Directory),
        5 => path().prop_map(Op::File),
        1 => path().prop_map(Op::Symlink),
        3 => (path(), path()).prop_map(|(path, target)| Op::Link(path, target)),
        2 => path().prop_map(Op::Hide),
        1 => path().prop_map(Op::Opaque),
    ]
}

fn whiteout(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((parent, name)) => format!("{parent}/.wh.{name}"),
        None => format!(".wh.{path}"),
    }
}

/// Archives of those layers that a disk would take, and what is then on it. `named` layers tell of all directories above
/// what they hold, as those of builders do.
fn archives(layers: &[Vec<Op>], named: bool) -> (Vec<Vec<u8>>, Model) {
    let mut model = Model::default();
    let mut archives = Vec::new();
    for (number, ops) in layers.iter().enumerate() {
        let mut archive = Tar::new();
        ops.iter().for_each(|op| model.hide(op));
        let mut told = BTreeSet::new();
        let mut touched: Vec<String> = Vec::new();
        for (place, op) in ops.iter().enumerate() {
            let (Op::Directory(path)
            | Op::File(path)
            | Op::Symlink(path)
            | Op::Link(path, _)
            | Op::Hide(path)
            | Op::Opaque(path)) = op;
            let opaque = matches!(op, Op::Opaque(_)).then_some(path.len());
            let ends = path.match_indices('/').map(|(at, _)| at).chain(opaque);
            for parent in ends.map(|end| &path[..end]).filter(|_| named) {
                if told.insert(parent.to_owned()) {
                    touched.push(format!("{parent}/"));
                    model.put(&Op::Directory(parent.to_owned()), "");
                    archive = archive.dir(parent);
                }
            }
            // Links to nowhere, so that no path leads through them.
            let data = format!("nowhere-{number}-{place}");
            let directory = |touched: &String| touched.starts_with(&format!("{path}/"));
            if matches!(op, Op::File(_) | Op::Symlink(_) | Op::Link(..)) && touched.iter().any(directory) {
                // It would take back what is in a directory of the same layer.
                continue;
            }
            if !model.put(op, &data) {
                continue;
            }
            match op {
                Op::Hide(_) => {}
                Op::Opaque(path) | Op::Directory(path) => touched.push(format!("{path}/")),
                _ => touched.push(path.clone()),
            }
            archive = match op {
                Op::Directory(path) => archive.dir(path),
                Op::File(path) => archive.file(path, &data),
                Op::Symlink(path) => archive.symlink(path, &data),
                Op::Link(path, target) => archive.link(path, target),
                Op::Hide(path) => archive.file(&whiteout(path), ""),
                Op::Opaque(path) => archive.file(&format!("{path}/.wh..wh..opq"), ""),
            };
        }
        archives.push(archive.finish());
    }
    (archives, model)
}

proptest! {

    #[test]
    fn merging_gives_what_a_naive_model_gives(
        layers in proptest::collection::vec(proptest::collection::vec(op(), 0..12), 1..5),
        named: bool,
    ) {
        let (archives, model) = archives(&layers, named);
        let flat = flatten(&support::layers(&archives)).unwrap();
        let mut found = tree(&flat);
        let mut expected = model.0;
        // Directories that no layer describes are there by what is in them, and are not given out.
        found.retain(|_, line| line != "directory");
        expected.retain(|_, line| line != "directory");
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn layers_as_builders_make_them_are_read_once() {
    let base = Tar::new()
        .dir("./")
        .dir("etc")
        .file("etc/a", "1")
        .link("etc/b", "etc/a")
        .symlink("lib", "usr/lib")
        .finish();
    let next = Tar::new()
        .dir("etc")
        .file("etc/.wh.b", "")
        .file("etc/c", "2")
        .link("etc/d", "etc/c")
        .finish();
    let last = Tar::new()
        .dir("etc")
        .file("etc/.wh..wh..opq", "")
        .file("etc/e", "3")
        .finish();
    for (archives, plan) in [
        (vec![base.clone()], false),
        (vec![base.clone(), next.clone()], false),
        (vec![base.clone(), next, last], false),
        (
            vec![Tar::new().file("a/b/c", "").file("a/b/d", "").finish()],
            false,
        ),
        // A hard link whose first name is hidden, one into an older layer, a parent that nobody names, a path twice.
        (
            vec![base.clone(), Tar::new().dir("etc").file("etc/.wh.a", "").finish()],
            true,
        ),
        (vec![base.clone(), Tar::new().link("x", "etc/a").finish()], true),
        (vec![base.clone(), Tar::new().file("lib/x", "").finish()], true),
        (
            vec![base, Tar::new().file("x", "1").file("x", "2").finish()],
            true,
        ),
    ] {
        let (_, planned) = flatten_and_tell(&layers(&archives), &oci::Limits::default()).unwrap();
        assert_eq!(planned, plan);
    }
}

#[test]
fn a_whiteout_in_a_directory_that_replaces_a_link_does_not_reach_through_it() {
    let base = Tar::new()
        .dir("usr")
        .file("usr/x", "1")
        .symlink("bin", "usr")
        .finish();
    let next = Tar::new().dir("bin").file("bin/.wh.x", "").file("bin/y", "2");
    let expected = [pair("bin/y", "file 2"), pair("usr/x", "file 1")];
    assert_eq!(files(&[base.clone(), next.clone().finish()]), expected);
    // The same by plan, which the path that comes twice asks for.
    assert_eq!(files(&[base.clone(), next.file("bin/y", "2").finish()]), expected);
    let through = Tar::new().file("bin/.wh.x", "").finish();
    assert_eq!(files(&[base, through]), [pair("bin", "link usr")]);
}
