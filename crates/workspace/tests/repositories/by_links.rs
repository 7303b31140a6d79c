//! What a guest's change is by another name, which a link of the host's gives it.

use std::fs;
use std::os::unix::fs::symlink;

use workspace::Base;
use workspace::patch::{RiskKind, Weight};

use crate::support::Scene;

#[test]
fn a_link_of_the_hosts_is_looked_at_whether_git_tracks_it_or_not() {
    let scene = Scene::committed();
    scene.write(".gitignore", ".envrc\nout\n");
    for (path, text) in [
        ("envs/dev.sh", "x\n"),
        ("scripts/lint.sh", "x\n"),
        ("d/e/x", "x\n"),
    ] {
        scene.write(path, text);
    }
    scene.commit("files");
    symlink("envs/dev.sh", scene.top().join(".envrc")).unwrap();
    symlink("d/e/../../f", scene.top().join("out")).unwrap();
    symlink("../../scripts/lint.sh", scene.top().join(".git/hooks/pre-commit")).unwrap();
    scene.prepare();
    for path in ["envs/dev.sh", "scripts/lint.sh"] {
        scene.write_inside(path, "evil\n");
    }
    fs::remove_dir_all(scene.inside().join("d/e")).unwrap();
    symlink("..", scene.inside().join("d/e")).unwrap();
    let patch = scene.export(&Base::Prepared);
    let risks = scene.risks(&patch);
    for (path, kind) in [
        ("envs/dev.sh", RiskKind::Environment),
        ("scripts/lint.sh", RiskKind::GitSettings),
        ("out", RiskKind::LinkOut),
    ] {
        let named = risks
            .iter()
            .any(|risk| risk.path == path && risk.kind == kind && risk.weight == Weight::Asked);
        assert!(named, "{path}: {risks:?}");
    }
}

#[test]
fn links_that_take_too_long_to_follow_hide_no_other() {
    let scene = Scene::committed();
    scene.write("d/e/x", "x\n");
    symlink("d/e/../../f", scene.top().join("l")).unwrap();
    scene.commit("a link");
    scene.prepare();
    fs::remove_dir_all(scene.inside().join("d/e")).unwrap();
    symlink("..", scene.inside().join("d/e")).unwrap();
    // Each takes all the steps that one may; a thousand take all that there are.
    let around = format!("{}README", "./".repeat(1000));
    for number in 0..2100 {
        symlink(&around, scene.inside().join(format!("x{number:04}"))).unwrap();
    }
    let patch = scene.export(&Base::Prepared);
    let risks = scene.risks(&patch);
    let named = risks
        .iter()
        .any(|risk| risk.path == "l" && risk.kind == RiskKind::LinkOut);
    assert!(named, "{} risks", risks.len());
}
