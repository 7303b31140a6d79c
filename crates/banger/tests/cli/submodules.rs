//! `--mode full`: submodules go along, each a workspace of its own.

use std::fs;

use super::support::Workshop;

/// A repository with a submodule that has one itself, and one that is not checked out.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let home = workshop.daemon.folder().to_owned();
    let git = |folder: &str, arguments: &str| {
        let file = ["-c", "protocol.file.allow=always"];
        let arguments: Vec<&str> = file.into_iter().chain(arguments.split(' ')).collect();
        workshop.git_in(&home.join(folder), &arguments)
    };
    for name in ["part", "piece"] {
        fs::create_dir(home.join(name)).unwrap();
        git(name, "init -q -b main");
        git(name, "config user.name Ada");
        git(name, "config user.email ada@example.com");
        fs::write(home.join(name).join(name), "one\n").unwrap();
        git(name, "add -A");
        git(name, "commit -qm first");
    }
    let url = |name: &str| home.join(name).display().to_string();
    git("part", &format!("submodule add -q {} piece", url("piece")));
    git("part", "commit -qm piece");
    git("site", &format!("submodule add -q {} lib/part", url("part")));
    git("site", &format!("submodule add -q {} lib/none", url("piece")));
    git("site", "commit -qm parts");
    git("site", "submodule deinit -q -f lib/none");
    git("site", "submodule update -q --init --recursive lib/part");
    workshop
}

#[test]
fn submodules_that_are_checked_out_go_along_and_come_back_by_their_paths() {
    let workshop = workshop();
    let top = workshop.top.to_str().unwrap();
    let refused = workshop.workspace("prepare", &[top]);
    insta::assert_snapshot!("refused", workshop.screen(&refused));
    fs::write(workshop.top.join("lib/part/part"), "mine\n").unwrap();
    let listed = workshop.workspace("prepare", &[top, "--mode", "full", "--dry-run"]);
    assert_eq!(
        listed.out,
        ".gitignore\n.gitmodules\nREADME\nlib/part/.gitmodules\nlib/part/part\nlib/part/piece/piece\n"
    );
    let prepare = || {
        let prepared = workshop.workspace("prepare", &[top, "--mode", "full", "-q"]);
        assert_eq!((prepared.code, prepared.err.as_str()), (0, ""));
    };
    prepare();
    for below in ["", "lib/part", "lib/part/piece"] {
        for arguments in [&["status", "--porcelain"][..], &["diff"], &["log", "--format=%H"]] {
            assert_eq!(
                workshop.git_in(&workshop.top.join(below), arguments),
                workshop.git_in(&workshop.inside.join(below), arguments),
                "{below}: git {arguments:?}"
            );
        }
    }
    assert!(
        fs::read_dir(workshop.inside.join("lib/none"))
            .unwrap()
            .next()
            .is_none()
    );

    // Worked on there, and brought back by its own path; the others see nothing of it.
    fs::write(workshop.inside.join("lib/part/piece/piece"), "by the guest\n").unwrap();
    let path = workshop.inside.join("lib/part/piece").display().to_string();
    let applied = workshop
        .daemon
        .run(&["vm", "workspace", "apply", "box", "--guest-path", &path, "-q"]);
    assert_eq!((applied.code, applied.err.as_str()), (0, ""));
    let here = fs::read_to_string(workshop.top.join("lib/part/piece/piece")).unwrap();
    assert_eq!(here, "by the guest\n");
    assert_eq!(workshop.workspace("diff", &[]).out, "");

    // A commit of a submodule's, here; then all are the same again.
    let part = workshop.top.join("lib/part");
    workshop.git_in(
        &part,
        &[
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b",
            "commit",
            "-qam",
            "mine",
        ],
    );
    prepare();
    prepare();
    for below in ["", "lib/part", "lib/part/piece"] {
        assert_eq!(
            workshop.git_in(&workshop.top.join(below), &["status", "--porcelain"]),
            workshop.git_in(&workshop.inside.join(below), &["status", "--porcelain"]),
            "{below}"
        );
    }
}

#[test]
fn a_submodule_that_is_another_repository_of_the_users_does_not_go() {
    let workshop = workshop();
    let private = workshop.daemon.folder().join("part/.git");
    let link = workshop.top.join("lib/part/.git");
    fs::write(&link, format!("gitdir: {}\n", private.display())).unwrap();
    let top = workshop.top.to_str().unwrap();
    let refused = workshop.workspace("prepare", &[top, "--mode", "full"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("is no working tree of the repository"),
        "{}",
        refused.err
    );
    assert!(!workshop.inside.exists());
}
