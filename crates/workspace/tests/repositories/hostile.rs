//! Repositories and guests that wish us ill: what each must not bring about.

use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;

use testkit::make_fifo;
use workspace::{
    Apply, Base, Choice, Destination, Ended, Guest, LARGEST_PATCH, Parcel, Repository, Selection, Terms,
    WorkspaceError, export, prepare, to_branch,
};

use crate::support::{Local, Scene, git, make_executable, parsed, tree};

/// Looks at a repository in every way there is, sends it and applies a patch to it.
fn whole_round(scene: &Scene) {
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let first = scene.prepare_as(&choice, None, false).unwrap();
    scene.write("README", "edited again by the host\n");
    scene.prepare_as(&choice, Some(&first), false).unwrap();
    scene.write_inside("src/main.c", "by the guest\n");
    let patch = scene.export(&Base::Prepared);
    scene
        .apply_as(
            &patch,
            Apply {
                three_way: true,
                ..Apply::default()
            },
        )
        .unwrap();
    assert_eq!(scene.read("src/main.c"), "by the guest\n");
    scene.assert_nothing_was_run();
}

#[test]
fn no_setting_of_a_repository_runs_anything() {
    let everything_but_filters = [
        ("core.hooksPath", "TRAPS"),
        ("core.fsmonitor", "TRAP"),
        ("core.sshCommand", "TRAP"),
        ("remote.origin.url", "ssh://example.com/x"),
        ("diff.evil.command", "TRAP"),
        ("diff.evil.textconv", "TRAP"),
        ("diff.external", "TRAP"),
        ("merge.evil.driver", "TRAP"),
        ("merge.default", "evil"),
        ("core.pager", "TRAP"),
        ("pager.status", "TRAP"),
        ("core.editor", "TRAP"),
        ("core.askPass", "TRAP"),
        ("core.alternateRefsCommand", "TRAP"),
        ("credential.helper", "!TRAP"),
        ("gpg.program", "TRAP"),
        ("commit.gpgSign", "true"),
        ("gc.auto", "1"),
        ("alias.status", "!TRAP"),
        ("status.submoduleSummary", "true"),
        ("submodule.recurse", "true"),
    ];
    for settings in [
        &everything_but_filters[..],
        &[
            ("filter.a=b.clean", "TRAP"),
            ("filter.evil.clean", "TRAP"),
            ("filter.evil.smudge", "TRAP"),
            ("filter.evil.required", "true"),
        ],
        &[("filter.evil.process", "TRAP"), ("filter.evil.required", "true")],
    ] {
        let scene = Scene::committed();
        scene.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
        scene.commit("attributes");
        scene.write("README", "edited\n");
        let trap = scene.trap();
        hooks(&scene.path("traps"), &trap);
        for (key, value) in settings {
            let value = value.replace("TRAPS", &scene.path("traps").display().to_string());
            scene.git(&["config", key, &value.replace("TRAP", &trap)]);
        }
        // Set by this test's own git.
        let _ = std::fs::remove_file(scene.evidence());
        whole_round(&scene);
    }
}

fn hooks(folder: &std::path::Path, trap: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for hook in [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "pre-commit",
        "pre-auto-gc",
        "post-rewrite",
    ] {
        std::fs::copy(trap, folder.join(hook)).unwrap();
        make_executable(&folder.join(hook));
    }
}

#[test]
fn hooks_and_included_settings_run_nothing() {
    let scene = Scene::committed();
    scene.write(".gitattributes", "*.c filter=evil\n");
    scene.commit("attributes");
    let trap = scene.trap();
    hooks(&scene.top().join(".git/hooks"), &trap);
    scene.write(
        "more",
        &format!("[filter \"evil\"]\n\tclean = {trap}\n\tsmudge = {trap}\n"),
    );
    scene.git(&["config", "include.path", "../more"]);
    scene.write("src/main.c", "edited\n");
    let _ = std::fs::remove_file(scene.evidence());
    whole_round(&scene);
}

#[test]
fn submodules_that_name_commands_and_other_places_run_nothing() {
    let scene = Scene::committed();
    let trap = scene.trap();
    let commit = scene.git(&["rev-parse", "HEAD"]);
    let mut modules = String::new();
    for (name, path, url) in [
        ("plain", "plain", "--upload-pack=TRAP"),
        ("helper", "helper", "ext::TRAP"),
        ("-c", "-c", "ssh://-oProxyCommand=TRAP/x"),
        ("../../up", "--", "file:///etc"),
        ("hooks/x", "hooks", "https://user:token@example.com/x"),
    ] {
        let url = url.replace("TRAP", &trap);
        modules.push_str(&format!(
            "[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n\tupdate = !{trap}\n\tignore = none\n"
        ));
        let entry = format!("160000,{},{path}", commit.trim());
        scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
        scene.git(&["config", &format!("submodule.{name}.url"), &url]);
        scene.git(&["config", &format!("submodule.{name}.update"), &format!("!{trap}")]);
        // Checked out, as far as a folder tells.
        std::fs::create_dir_all(scene.top().join(path)).unwrap();
        std::fs::write(scene.top().join(path).join(".git"), "gitdir: ../.git\n").unwrap();
    }
    scene.write(".gitmodules", &modules);
    scene.git(&["config", "submodule.recurse", "true"]);
    scene.git(&["config", "submodule.active", "."]);
    scene.git(&["add", ".gitmodules"]);
    scene.git(&["commit", "-qm", "submodules"]);
    let _ = std::fs::remove_file(scene.evidence());
    let choice = Choice {
        mode: workspace::Mode::Full,
        ..Choice::default()
    };
    let selection = scene.select(&choice);
    assert_eq!(selection.submodules.len(), 5);
    for path in &selection.submodules {
        let path = scene.top().join(String::from_utf8(path.clone()).unwrap());
        let refused = Repository::find(&path).unwrap_err();
        assert!(
            matches!(
                refused,
                WorkspaceError::ForeignTree { .. } | WorkspaceError::ForeignRepository { .. }
            ),
            "{refused}"
        );
    }
    scene.prepare_as(&choice, None, false).unwrap();
    scene.assert_nothing_was_run();
    let config = std::fs::read_to_string(scene.inside().join(".git/config")).unwrap();
    for word in [trap.as_str(), "token", "upload-pack", "ext::", "/etc", "update ="] {
        assert!(!config.contains(word), "{word}: {config}");
    }
}

#[test]
fn a_working_tree_elsewhere_is_refused() {
    let scene = Scene::committed();
    let other = scene.path("private");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("README"), "private\n").unwrap();
    scene.git(&["config", "core.worktree", other.to_str().unwrap()]);
    let refused = Repository::find(&scene.top()).unwrap_err();
    assert!(matches!(refused, WorkspaceError::ForeignTree { .. }), "{refused}");
    // Even if it looks like a repository's own.
    std::fs::write(
        other.join(".git"),
        format!("gitdir: {}\n", scene.top().join(".git").display()),
    )
    .unwrap();
    let refused = Repository::find(&scene.top()).unwrap_err();
    assert!(matches!(refused, WorkspaceError::ForeignTree { .. }), "{refused}");
}

#[test]
fn a_repository_that_leads_to_another_one_is_refused() {
    // What is the user's, and elsewhere.
    let private = Scene::committed();
    let other = private.top().join(".git");
    let refused = |top: &std::path::Path| {
        let refused = Repository::find(top).unwrap_err();
        assert!(
            matches!(refused, WorkspaceError::ForeignRepository { .. }),
            "{refused}"
        );
    };
    let scene = Scene::new();
    let own = scene.top().join(".git");
    // Its commits borrowed.
    std::fs::write(own.join("commondir"), other.as_os_str().as_encoded_bytes()).unwrap();
    refused(&scene.top());
    // A linked working tree of it that it does not know.
    let linked = scene.top().join("linked");
    std::fs::create_dir(&linked).unwrap();
    std::fs::rename(&own, linked.join("worktree")).unwrap();
    let link = linked.join("worktree/gitdir");
    std::fs::write(link, own.as_os_str().as_encoded_bytes()).unwrap();
    std::fs::write(&own, "gitdir: linked/worktree\n").unwrap();
    refused(&scene.top());
    // The repository itself, by a file or a link.
    std::fs::write(&own, format!("gitdir: {}\n", other.display())).unwrap();
    refused(&scene.top());
    std::fs::remove_file(&own).unwrap();
    symlink(&other, &own).unwrap();
    let linked = Repository::find(&scene.top()).unwrap_err();
    assert!(matches!(linked, WorkspaceError::LinkedGit { .. }), "{linked}");
    // Its own linked working tree, and one whose repository lies apart, are the user's.
    private.git(&["worktree", "add", "-q", "../linked"]);
    Repository::find(&private.path("linked")).unwrap();
    git(
        &scene.path(""),
        &["init", "-q", "--separate-git-dir", "apart", "tree"],
    );
    Repository::find(&scene.path("tree")).unwrap();
}

#[test]
fn files_behind_links_do_not_go() {
    let scene = Scene::committed();
    let other = scene.path("private");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("main.c"), "private\n").unwrap();
    std::fs::remove_dir_all(scene.top().join("src")).unwrap();
    symlink(&other, scene.top().join("src")).unwrap();
    symlink("/etc/passwd", scene.top().join("passwd")).unwrap();
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    scene.prepare_as(&choice, None, false).unwrap();
    assert!(scene.inside().join("src").is_symlink());
    assert!(scene.inside().join("passwd").is_symlink());
    assert!(
        !tree(&scene.inside(), true)
            .iter()
            .any(|(_, data)| data == b"private\n")
    );
}

#[test]
fn names_that_pass_for_the_repository_stay_behind() {
    let scene = Scene::committed();
    for name in [
        ".GIT/config",
        "sub/.Git/hooks/post-checkout",
        "git~1",
        ".g\u{200c}it",
    ] {
        scene.write(name, "evil");
    }
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let selection = scene.select(&choice);
    assert_eq!((selection.edited.len(), selection.refused), (0, 4));
}

#[test]
fn replaced_objects_grafts_and_alternates_change_nothing() {
    let scene = Scene::committed();
    scene.write("README", "second\n");
    scene.commit("second");
    scene.git(&["replace", "HEAD:README", "HEAD~1:README"]);
    let graft = scene.git(&["rev-parse", "HEAD"]);
    std::fs::create_dir_all(scene.top().join(".git/info")).unwrap();
    std::fs::write(scene.top().join(".git/info/grafts"), graft).unwrap();
    let clone = scene.path("clone");
    git(&scene.path(""), &["clone", "-q", "--shared", "host", "clone"]);
    std::fs::remove_dir_all(scene.top().join(".git/refs/replace")).unwrap();
    // Only on the user's word.
    let refused = Repository::find(&clone).unwrap_err();
    assert!(matches!(refused, WorkspaceError::Borrows { .. }), "{refused}");
    let terms = Terms {
        alternates: true,
        ..Terms::default()
    };
    let repository = Repository::find_on(&clone, terms).unwrap();
    let choice = Choice {
        mode: workspace::Mode::Full,
        ..Choice::default()
    };
    let selection = Selection::of(&repository, &choice).unwrap();
    let path = scene.inside().display().to_string();
    let destination = Destination {
        path: &path,
        before: None,
        force: false,
        user: None,
    };
    prepare(&repository, &selection, &mut Local::default(), destination).unwrap();
    assert_eq!(scene.read_inside("README"), "second\n");
    assert_eq!(scene.git_inside(&["rev-list", "--count", "HEAD"]), "2\n");
    assert!(!scene.inside().join(".git/objects/info/alternates").exists());
    scene.git_inside(&["fsck", "--strict"]);
}

#[test]
fn no_git_but_one_that_looks_for_changes_waits_at_the_rules_of_the_tree() {
    let scene = Scene::committed();
    let prepared = scene.prepare();
    scene.write_inside("README", "by the guest\n");
    let patch = scene.export(&Base::Commit);
    make_fifo(scene.top().join(".gitattributes"));
    for mode in [workspace::Mode::Shallow, workspace::Mode::Full] {
        let choice = Choice {
            from: Some("HEAD".to_owned()),
            mode,
            ..Choice::default()
        };
        scene.prepare_as(&choice, None, true).unwrap();
        assert_eq!(scene.read_inside("README"), scene.read("README"));
    }
    let file = scene.path("patch");
    std::fs::write(&file, &patch).unwrap();
    let commit = prepared.commit.as_deref();
    to_branch(
        &scene.find(),
        &parsed(&patch).unwrap(),
        &file,
        commit,
        "topic",
        "message",
    )
    .unwrap();
    assert_eq!(scene.git(&["show", "topic:README"]), "by the guest\n");
    // The rules that a patch is applied by are copied before.
    let refused = scene.apply(&patch).unwrap_err();
    assert!(matches!(refused, WorkspaceError::InTheWay { .. }), "{refused}");
}

#[test]
fn refs_and_files_named_like_options_are_names() {
    let scene = Scene::committed();
    scene.write("--upload-pack=x", "1");
    scene.write("-rf", "1");
    scene.commit("names");
    let commit = scene.git(&["rev-parse", "HEAD"]);
    std::fs::write(scene.top().join(".git/refs/heads/--all"), &commit).unwrap();
    std::fs::write(scene.top().join(".git/HEAD"), "ref: refs/heads/--all\n").unwrap();
    scene.write("-rf", "edited\n");
    scene.prepare();
    assert_eq!(scene.read_inside("-rf"), "edited\n");
    assert_eq!(scene.git_inside(&["symbolic-ref", "HEAD"]), "refs/heads/--all\n");
}

/// An agent that answers what it likes.
struct Liar {
    code: i32,
    says: Vec<u8>,
}

impl Guest for Liar {
    fn run(&mut self, _: &[String], _: Box<dyn Read + Send>, output: &mut dyn Write) -> io::Result<Ended> {
        output.write_all(&self.says)?;
        Ok(Ended {
            code: self.code,
            stderr: self.says.clone(),
        })
    }

    fn unpack(&mut self, _: &str, parcel: Parcel) -> Result<(), WorkspaceError> {
        parcel.pack(&mut |_| Ok(()))
    }
}

#[test]
fn an_agent_that_lies_changes_nothing_on_the_host_and_its_words_are_harmless() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let before = tree(&scene.top(), true);
    let says = b"\x1b]0;evil\x07\x1b[2J\n\0../../etc/passwd\0\xff\xfe\0error: \x1b[31m".to_vec();
    for code in [0, 1, 90, 91, 92, 93, 94, 127, 255, -1] {
        let mut liar = Liar {
            code,
            says: says.clone(),
        };
        let prepared = scene.prepare_into(&mut liar, &Choice::default(), None, false);
        let mut patch = Vec::new();
        let exported = export(
            &mut liar,
            "/root/repo",
            &Base::Prepared,
            LARGEST_PATCH,
            &mut patch,
        );
        let failures = [prepared.err(), exported.err(), scene.apply(&patch).err()];
        for failure in failures.into_iter().flatten() {
            let line = failure.to_string();
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(line.len() < 2000, "{line}");
        }
    }
    assert_eq!(tree(&scene.top(), true), before);
}
