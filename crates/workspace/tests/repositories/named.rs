//! What the user's own settings of git lead to in the tree, over links, conditions and what only a shell knows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use workspace::Repository;
use workspace::patch::{Onto, RiskKind};

use crate::leading_out::run_here;
use crate::patches::makes;
use crate::support::{Scene, make_executable, parsed};

/// The files that a patch would have to be allowed for, by the settings in a home.
fn named(top: &Path, home: &Path) -> Vec<String> {
    let said = run_here("named::looks_at_a_patch", top, home);
    let lines = said.lines().filter_map(|line| line.strip_prefix("named: "));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    // By another name, too.
    lines.dedup();
    lines
}

#[test]
#[ignore = "run by the other tests of this file"]
fn looks_at_a_patch() {
    let top = PathBuf::from(std::env::var_os("BANGER_TEST_TOP").unwrap());
    let repository = Repository::find(&top).unwrap();
    let paths = ["tools/watch.sh", "git/extra", "git/settings", "other/file"];
    let patch: String = paths.into_iter().map(|path| makes(path, "100755", "x")).collect();
    let patch = parsed(patch.as_bytes()).unwrap();
    let risks = patch.risks(&repository, Onto::Files).unwrap();
    println!();
    for risk in risks.iter().filter(|risk| risk.kind == RiskKind::GitSettings) {
        println!("named: {}", risk.path);
    }
}

#[test]
fn what_the_users_settings_lead_to_is_named_whatever_lies_on_the_way() {
    let watch = &["tools/watch.sh"][..];
    for (settings, further, expected) in [
        ("[core]\n\tfsmonitor = tools/watch.sh\n", "", watch),
        (
            "[core]\n\tfsmonitor = $(git rev-parse --show-toplevel)/tools/watch.sh\n",
            "",
            watch,
        ),
        ("[core]\n\tfsmonitor = cd tools && ./watch.sh\n", "", watch),
        ("[core]\n\tfsmonitor = ~/watch.sh\n", "", watch),
        ("[core]\n\tfsmonitor = watch\n", "", watch),
        (
            "[includeIf \"gitdir:~/elsewhere/\"]\n\tpath = further\n",
            "[core]\n\tfsmonitor = tools/watch.sh\n",
            watch,
        ),
        ("[include]\n\tpath = ~/dots/git/extra\n", "", &["git/extra"]),
        ("[include]\n\tpath = cfg/extra\n", "", &["git/extra"]),
        ("[user]\n\tname = Ada\n", "", &[]),
    ] {
        let scene = Scene::committed();
        let home = scene.path("real-home");
        fs::create_dir_all(home.join("bin")).unwrap();
        scene.write("tools/watch.sh", "#!/bin/sh\n");
        make_executable(&scene.top().join("tools/watch.sh"));
        symlink(scene.top(), home.join("dots")).unwrap();
        symlink("dots/git", home.join("cfg")).unwrap();
        symlink("dots/tools/watch.sh", home.join("watch.sh")).unwrap();
        symlink("../watch.sh", home.join("bin/watch")).unwrap();
        symlink(&home, scene.path("home")).unwrap();
        fs::write(home.join(".gitconfig"), settings).unwrap();
        fs::write(home.join("further"), further).unwrap();
        assert_eq!(named(&scene.top(), &scene.path("home")), expected, "{settings}");
    }
}

#[test]
fn the_users_files_of_settings_are_named_where_links_lead_to_them() {
    let scene = Scene::committed();
    let home = scene.path("home");
    fs::create_dir_all(home.join(".config")).unwrap();
    scene.write("git/settings", "[user]\n\tname = Ada\n");
    symlink("../host/git/settings", home.join(".gitconfig")).unwrap();
    assert_eq!(named(&scene.top(), &home), ["git/settings"]);
    // One that is not there yet.
    fs::remove_file(home.join(".gitconfig")).unwrap();
    symlink("../../host/git", home.join(".config/git")).unwrap();
    symlink("extra", scene.top().join("git/attributes")).unwrap();
    assert_eq!(named(&scene.top(), &home), ["git/extra"]);
}
