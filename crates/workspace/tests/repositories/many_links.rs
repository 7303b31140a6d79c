//! Trees and commits with more links than are followed.

use std::fs;
use std::os::unix::fs::symlink;

use workspace::patch::{Onto, Risk, RiskKind, Weight};

use crate::patches::makes;
use crate::support::{Scene, parsed};

/// More than is kept of links.
const LINKS: usize = 20_000;

/// One that is followed in no time.
fn long_target() -> String {
    format!("x{}", "/".repeat(4000))
}

/// What is said once, of the tree, and of no file.
fn assert_said_of_the_tree_alone(risks: &[Risk]) {
    let [risk] = risks else {
        panic!("{} risks, {:?} first", risks.len(), risks.first());
    };
    assert_eq!(
        (risk.kind, risk.weight, risk.path.as_str()),
        (RiskKind::ManyLinks, Weight::Asked, ".")
    );
}

#[test]
fn a_tree_of_more_links_than_are_kept_is_named_and_no_file_of_a_patch() {
    let scene = Scene::committed();
    let folder = scene.top().join("links");
    fs::create_dir(&folder).unwrap();
    let first = folder.join("first");
    symlink(long_target(), &first).unwrap();
    // One inode, so that they cost the disk nothing.
    for number in 0..LINKS {
        fs::hard_link(&first, folder.join(number.to_string())).unwrap();
    }
    let patch = makes("new.txt", "100644", "plain");
    assert_said_of_the_tree_alone(&scene.risks(patch.as_bytes()));
}

/// They cost the repository next to nothing: all are one object.
#[test]
fn a_commit_of_more_links_than_are_kept_is_named_and_no_file_of_a_patch() {
    let scene = Scene::committed();
    let target = scene.top().join("target");
    fs::write(&target, long_target()).unwrap();
    let id = scene.git(&["hash-object", "-w", "target"]);
    fs::remove_file(target).unwrap();
    let id = id.trim().as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    });
    let id: Vec<u8> = id.collect();
    let entries = (0..LINKS).flat_map(|number| [format!("120000 {number:06}\0").as_bytes(), &id].concat());
    let list = scene.path("list");
    fs::write(&list, entries.collect::<Vec<u8>>()).unwrap();
    let tree = scene.git(&["hash-object", "-w", "-t", "tree", list.to_str().unwrap()]);
    let commit = scene.git(&["commit-tree", "-m", "links", tree.trim()]);
    let patch = makes("new.txt", "100644", "plain");
    let patch = parsed(patch.as_bytes()).unwrap();
    let risks = patch
        .risks(&scene.find(), Onto::Commit(Some(commit.trim())))
        .unwrap();
    assert_said_of_the_tree_alone(&risks);
}
