//! Files of git's own making that were made by another hand: an index, a list of packs, a list of tables. git believes what
//! they say of paths.

use std::fs;

use workspace::{Choice, Mode as History, Repository, Selection, WorkspaceError};

use crate::support::{Scene, git};

/// Puts one run of bytes in the place of another of the same length.
fn replace(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|part| part == from);
    let at = at.expect("they are there");
    bytes.splice(at..at + from.len(), to.iter().copied());
}

#[test]
fn a_path_that_git_never_adds_is_refused_wherever_it_stands() {
    // Of the same length, and at the same place in the index's order.
    for (added, forged, shown) in [
        (".fit/config", ".git/config", ".git/config"),
        (".fit/logs/HEAD", ".git/logs/HEAD", ".git/logs/HEAD"),
        (".fiT/index", ".giT/index", ".giT/index"),
        ("-a/.fit/config", "-a/.git/config", "-a/.git/config"),
        ("-a/x", "../x", "../x"),
    ] {
        let scene = Scene::committed();
        scene.write(added, "tracked\n");
        scene.git(&["add", "--", added]);
        scene.git(&["update-index", "--index-version", "2"]);
        let path = scene.top().join(".git/index");
        let mut index = fs::read(&path).unwrap();
        replace(&mut index, added.as_bytes(), forged.as_bytes());
        fs::write(&path, index).unwrap();
        // git itself takes it for a file that was edited, or is gone.
        assert!(scene.git(&["status", "--porcelain"]).contains(shown), "{forged}");
        for mode in [History::Shallow, History::Full] {
            let choice = Choice {
                mode,
                ..Choice::default()
            };
            let error = Selection::of(&scene.find(), &choice).unwrap_err();
            assert!(
                matches!(&error, WorkspaceError::Tracked { path, .. } if path == shown),
                "{forged}: {error}"
            );
        }
    }
}

#[test]
fn a_list_of_packs_that_leads_into_another_repository_is_not_read() {
    let scene = Scene::committed();
    // In the tree, so that a confined git could read it, too.
    let other = scene.top().join("other");
    fs::create_dir(&other).unwrap();
    git(&other, &["init", "-q"]);
    fs::write(other.join("secret"), "secret\n").unwrap();
    git(&other, &["add", "."]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    git(
        &other,
        &[&identity[..], &["commit", "-q", "-m", "secret"]].concat(),
    );
    git(&other, &["repack", "-a", "-d", "-q"]);
    let commit = git(&other, &["rev-parse", "HEAD"]).trim().to_owned();
    let packs = scene.top().join(".git/objects/pack");
    let mut names = Vec::new();
    for entry in fs::read_dir(other.join(".git/objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        fs::copy(&path, packs.join(names.last().unwrap())).unwrap();
    }
    scene.git(&["multi-pack-index", "write"]);
    let index = names.iter().find(|name| name.ends_with(".idx")).unwrap();
    // A name of the same length that leads to it.
    let way = "../../../other/";
    let stem = format!("{way}{}", "a".repeat(index.len() - way.len() - ".idx".len()));
    for end in [".idx", ".pack"] {
        let pack = index.replace(".idx", end);
        fs::rename(
            other.join(".git/objects/pack").join(&pack),
            packs.join(format!("{stem}{end}")),
        )
        .unwrap();
        fs::remove_file(packs.join(&pack)).unwrap();
    }
    let list = packs.join("multi-pack-index");
    let mut bytes = fs::read(&list).unwrap();
    replace(&mut bytes, index.as_bytes(), format!("{stem}.idx").as_bytes());
    fs::remove_file(&list).unwrap();
    fs::write(&list, bytes).unwrap();
    // git itself has the other's commit by it.
    assert_eq!(scene.git(&["cat-file", "-t", &commit]).trim(), "commit");
    let choice = Choice {
        from: Some(commit.clone()),
        ..Choice::default()
    };
    let refused = Selection::of(&scene.find(), &choice).unwrap_err();
    assert!(
        matches!(&refused, WorkspaceError::NoSuchCommit { reference } if *reference == commit),
        "{refused}"
    );
}

#[test]
fn a_linked_working_tree_whose_head_is_in_a_table_is_refused() {
    let scene = Scene::committed();
    let other = scene.top().with_file_name("other");
    scene.git(&[
        "worktree",
        "add",
        "-q",
        "-b",
        "other",
        &other.display().to_string(),
    ]);
    Repository::find(&other).unwrap();
    scene.git(&["config", "core.repositoryFormatVersion", "1"]);
    scene.git(&["config", "extensions.refStorage", "reftable"]);
    let error = Repository::find(&other).unwrap_err();
    assert!(error.to_string().contains("linked working tree"), "{error}");
}

#[test]
fn a_list_of_tables_names_files_of_its_folder_only() {
    let scene = Scene::committed();
    let folder = scene.top().join(".git/reftable");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("tables.list"),
        "0x000000000001-0x000000000002-00000000.ref\n",
    )
    .unwrap();
    Repository::find(&scene.top()).unwrap();
    fs::write(folder.join("tables.list"), "../../other/.git/reftable/0x1.ref\n").unwrap();
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(error.to_string().contains("tables.list"), "{error}");
}
