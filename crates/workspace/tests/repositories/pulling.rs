//! A guest's commits on a branch of the host's.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use workspace::patch::RiskKind;
use workspace::{Ended, Guest, Input, Parcel, WorkspaceError, pull};

use crate::support::{Local, Scene, tree};

/// A prepared workspace with two commits of the guest's.
fn committed_inside() -> (Scene, String) {
    let scene = Scene::committed();
    scene.prepare();
    let base = scene.git(&["rev-parse", "HEAD"]).trim().to_owned();
    scene.write_inside("README", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "one"]);
    scene.write_inside("new", "new\n");
    scene.git_inside(&["add", "new"]);
    scene.git_inside(&["commit", "-qm", "two"]);
    (scene, base)
}

fn pull_into(scene: &Scene, guest: &mut dyn Guest, base: &str, branch: &str) -> Result<u64, WorkspaceError> {
    let repository = scene.find();
    let pulled = pull(
        &repository,
        guest,
        &scene.inside().display().to_string(),
        Some(base),
    )?;
    let Some(pulled) = pulled else { return Ok(0) };
    let commits = pulled.commits;
    pulled.keep_as(branch)?;
    Ok(commits)
}

#[test]
fn commits_come_with_their_messages_and_the_files_of_the_host_stay() {
    let (scene, base) = committed_inside();
    scene.write("README", "mine\n");
    assert_eq!(
        pull_into(&scene, &mut Local::default(), &base, "work/guest").unwrap(),
        2
    );
    assert_eq!(
        scene.git(&["log", "--format=%s %an", "work/guest"]),
        "two Ada\none Ada\nfirst Ada\n"
    );
    assert_eq!(
        scene.git(&["rev-parse", "work/guest"]),
        scene.git_inside(&["rev-parse", "HEAD"])
    );
    assert_eq!(scene.git(&["status", "--porcelain"]), " M README\n");
    scene.git(&["fsck", "--strict"]);
    // Further commits move the branch on; other ones do not, and none at all are none.
    scene.git_inside(&["commit", "-q", "--allow-empty", "-m", "three"]);
    assert_eq!(
        pull_into(&scene, &mut Local::default(), &base, "work/guest").unwrap(),
        3
    );
    let tip = scene.git_inside(&["rev-parse", "HEAD"]);
    assert_eq!(
        pull_into(&scene, &mut Local::default(), tip.trim(), "other").unwrap(),
        0
    );
    scene.git_inside(&["reset", "-q", "--hard", "HEAD~2"]);
    for branch in ["work/guest", "main"] {
        let taken = pull_into(&scene, &mut Local::default(), &base, branch).unwrap_err();
        assert!(matches!(taken, WorkspaceError::BranchTaken { .. }), "{taken}");
    }
    let left = std::fs::read_dir(scene.top().join(".git/objects")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains("banger")).count(), 0);
}

#[test]
fn a_branch_that_cannot_be_made_leaves_no_commits_of_the_guests() {
    let (scene, base) = committed_inside();
    // A branch of that name leaves no room for one below it; the check of names alone does not see that.
    scene.git(&["branch", "work"]);
    let packs = || {
        let packs = std::fs::read_dir(scene.top().join(".git/objects/pack"));
        packs.map_or(0, Iterator::count)
    };
    let before = packs();
    let failed = pull_into(&scene, &mut Local::default(), &base, "work/guest").unwrap_err();
    assert!(failed.to_string().contains("make the branch"), "{failed}");
    assert_eq!(packs(), before);
    assert_eq!(
        pull_into(&scene, &mut Local::default(), &base, "other").unwrap(),
        2
    );
    assert!(packs() > before);
}

#[test]
fn what_the_commits_bring_is_known_before_they_are_kept() {
    let (scene, base) = committed_inside();
    scene.write_inside(".gitattributes", "* filter=x\n");
    scene.git_inside(&["add", "-A"]);
    scene.git_inside(&["commit", "-qm", "risky"]);
    let before = tree(&scene.top(), true);
    let repository = scene.find();
    let pulled = pull(
        &repository,
        &mut Local::default(),
        scene.inside().to_str().unwrap(),
        Some(&base),
    );
    let pulled = pulled.unwrap().unwrap();
    let kinds: Vec<_> = pulled.risks.iter().map(|risk| risk.kind).collect();
    assert_eq!(kinds, [RiskKind::GitSettings]);
    drop(pulled);
    assert_eq!(tree(&scene.top(), true), before);
}

/// A guest that answers with an id and a pack of its own making.
struct Liar(Vec<u8>);

impl Guest for Liar {
    fn run(&mut self, _: &[String], _: Input, output: &mut dyn Write) -> io::Result<Ended> {
        output.write_all(&self.0)?;
        Ok(Ended::default())
    }

    fn unpack(&mut self, _: &str, _: Parcel) -> Result<(), WorkspaceError> {
        Ok(())
    }
}

/// Runs git in the guest's repository with something on its stdin.
fn fed(scene: &Scene, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(scene.inside())
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let mut printed = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut printed).unwrap();
    assert!(child.wait().unwrap().success(), "git {arguments:?}");
    printed
}

fn line(printed: &[u8]) -> String {
    String::from_utf8(printed.trim_ascii().to_vec()).unwrap()
}

/// A tree of one entry, whatever it is called; then a commit of it on the base.
fn commit_of(scene: &Scene, base: &str, mode: &str, name: &str, object: &str) -> String {
    let mut entry = format!("{mode} {name}\0").into_bytes();
    let digits = (0..object.len()).step_by(2);
    entry.extend(digits.map(|at| u8::from_str_radix(&object[at..at + 2], 16).unwrap()));
    let tree = fed(
        scene,
        &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        &entry,
    );
    line(&fed(
        scene,
        &["commit-tree", &line(&tree), "-p", base, "-m", "evil"],
        b"",
    ))
}

#[test]
fn commits_with_hostile_trees_submodules_or_other_histories_are_refused_and_leave_nothing() {
    let (scene, base) = committed_inside();
    let blob = line(&fed(&scene, &["hash-object", "-w", "--stdin"], b"evil\n"));
    let modules = b"[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch evil\n";
    let modules = line(&fed(&scene, &["hash-object", "-w", "--stdin"], modules));
    let empty = line(&fed(&scene, &["mktree"], b""));
    let mut hostile: Vec<String> = [
        ("100644", ".git", &blob),
        ("40000", ".git", &empty),
        ("100644", ".GIT", &blob),
        ("100644", "git~1", &blob),
        ("100644", "..", &blob),
        ("100644", "a/b", &blob),
        ("100644", ".gitmodules", &modules),
        ("120000", ".gitmodules", &blob),
        ("160000", "sub", &base),
    ]
    .map(|(mode, name, object)| commit_of(&scene, &base, mode, name, object))
    .to_vec();
    // Ten levels of a hundred folders, and no file: a dozen objects.
    let mut bomb = empty.clone();
    for _ in 0..10 {
        let entries: String = (0..100)
            .map(|number| format!("040000 tree {bomb}\t{number:02}\n"))
            .collect();
        bomb = line(&fed(&scene, &["mktree"], entries.as_bytes()));
    }
    hostile.push(line(&fed(
        &scene,
        &["commit-tree", &bomb, "-p", &base, "-m", "bomb"],
        b"",
    )));
    hostile.push(line(&fed(
        &scene,
        &["commit-tree", &empty, "-m", "no parent"],
        b"",
    )));
    let before = tree(&scene.top(), true);
    for commit in hostile {
        scene.git_inside(&["update-ref", "--no-deref", "HEAD", &commit]);
        let refused = pull_into(&scene, &mut Local::default(), &base, "evil").unwrap_err();
        let expected = matches!(
            refused,
            WorkspaceError::Objects { .. } | WorkspaceError::Patch { .. }
        );
        assert!(expected, "{refused:?}");
        assert_eq!(tree(&scene.top(), true), before, "{refused}");
    }
}

#[test]
fn an_agent_that_lies_about_its_commits_leaves_nothing() {
    let (scene, base) = committed_inside();
    let tip = scene.git_inside(&["rev-parse", "HEAD"]).trim().to_owned();
    let wanted = format!("{tip}\n^{base}\n");
    let pack = fed(
        &scene,
        &["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"],
        wanted.as_bytes(),
    );
    let blob = line(&fed(&scene, &["rev-parse", "HEAD:README"], b""));
    let with = |first: &str, pack: &[u8]| [first.as_bytes(), b"\n", pack].concat();
    let mut damaged = pack.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let before = tree(&scene.top(), true);
    for says in [
        Vec::new(),
        b"--upload-pack=x\n".to_vec(),
        vec![b'x'; 100_000],
        with(&"0".repeat(40), &pack),
        with(&"f".repeat(40), &pack),
        with(&blob, &pack),
        with("HEAD", &pack),
        with(&tip, b""),
        with(&tip, b"PACK"),
        with(&tip, &pack[..pack.len() / 2]),
        with(&tip, &damaged),
        with(&tip, &[b'x'; 5000]),
    ] {
        let refused = pull_into(&scene, &mut Liar(says), &base, "evil").unwrap_err();
        assert!(!refused.to_string().chars().any(char::is_control), "{refused}");
        assert_eq!(tree(&scene.top(), true), before, "{refused}");
    }
    assert_eq!(
        pull_into(&scene, &mut Liar(with(&tip, &pack)), &base, "honest").unwrap(),
        2
    );
}
