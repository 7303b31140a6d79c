//! What a guest could plant: files that run by themselves, repositories, links that lead out with what is there.

use std::os::unix::fs::symlink;

use workspace::patch::{Onto, RiskKind, Weight};

use crate::patches::makes;
use crate::support::{Local, Scene, parsed, tree};

use RiskKind as K;

/// A patch of files, each with its mode and what it holds.
fn patch(files: &[(&str, &str, &str)]) -> Vec<u8> {
    let files = files.iter().map(|(path, mode, text)| makes(path, mode, text));
    files.collect::<String>().into_bytes()
}

fn plain(paths: &[&str]) -> Vec<u8> {
    let files: Vec<_> = paths.iter().map(|path| (*path, "100644", "x")).collect();
    patch(&files)
}

/// A patch that changes a file of one line.
fn changes(path: &str) -> Vec<u8> {
    format!(
        "diff --git a/{path} b/{path}\nindex {}..{} 100644\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x\n+y\n",
        "1".repeat(40),
        "2".repeat(40)
    )
    .into_bytes()
}

fn deletes(path: &str) -> Vec<u8> {
    format!(
        "diff --git a/{path} b/{path}\ndeleted file mode 100644\nindex {}..{}\n--- a/{path}\n+++ /dev/null\n\
         @@ -1 +0,0 @@\n-x\n",
        "1".repeat(40),
        "0".repeat(40)
    )
    .into_bytes()
}

fn kinds(scene: &Scene, patch: &[u8]) -> Vec<RiskKind> {
    scene.risks(patch).into_iter().map(|risk| risk.kind).collect()
}

fn asks(scene: &Scene, patch: &[u8]) -> bool {
    scene.risks(patch).iter().any(|risk| risk.weight == Weight::Asked)
}

#[test]
fn what_should_be_looked_at_first_is_named() {
    let scene = Scene::committed();
    let mode = |path: &str, from: &str, to: &str| {
        format!("diff --git a/{path} b/{path}\nold mode {from}\nnew mode {to}\n").into_bytes()
    };
    for (patch, kind) in [
        (makes("link", "120000", "/etc/passwd").into_bytes(), K::LinkOut),
        (makes("a/link", "120000", "../../out").into_bytes(), K::LinkOut),
        (makes("link", "120000", "a/../../out").into_bytes(), K::LinkOut),
        (makes("link", "120000", ".git/config").into_bytes(), K::LinkOut),
        (
            makes("a/link", "120000", "../.GIT/hooks").into_bytes(),
            K::LinkOut,
        ),
        (makes("link", "120000", "a/../b").into_bytes(), K::LinkAround),
        (mode("tool", "100644", "100755"), K::Mode),
        (mode("tool", "100755", "100644"), K::Mode),
        (plain(&[".githooks/x"]), K::Hook),
        (plain(&[".husky/pre-push"]), K::Hook),
        (plain(&[".pre-commit-config.yaml"]), K::Hook),
        (plain(&["dev/pre-commit"]), K::Hook),
        (plain(&["sub/.gitattributes"]), K::GitSettings),
        (plain(&[".gitmodules"]), K::GitSettings),
        (plain(&[".github/workflows/x.yml"]), K::Ci),
        (plain(&[".GitHub/workflows/x.yml"]), K::Ci),
        (plain(&["Jenkinsfile"]), K::Ci),
        (plain(&[".vscode/tasks.json"]), K::Editor),
        (plain(&["x.code-workspace"]), K::Editor),
        (plain(&["CLAUDE.md"]), K::Agent),
        (plain(&["sub/AGENTS.md"]), K::Agent),
        (plain(&[".envrc"]), K::Environment),
        (plain(&["mise.toml"]), K::Environment),
        (plain(&[".unheard-of"]), K::Hidden),
        (plain(&["a/.unheard-of/x"]), K::Hidden),
        (plain(&["a\u{202e}b"]), K::Name),
        (plain(&["GITMOD~1"]), K::Name),
        (plain(&["a\\..\\..\\b"]), K::Name),
        (plain(&["Makefile"]), K::Build),
        (plain(&["x/conftest.py"]), K::Build),
        (plain(&["lib/x.so"]), K::Library),
    ] {
        let text = String::from_utf8_lossy(&patch).into_owned();
        assert_eq!(kinds(&scene, &patch), [kind], "{text}");
        assert!(asks(&scene, &patch), "{text}");
    }
    for patch in [
        makes("link", "120000", "src/main.c").into_bytes(),
        makes("a/b", "120000", "../c").into_bytes(),
        plain(&["src/new.rs"]),
        plain(&["web/hooks/useThing.ts"]),
        plain(&["docs/HEADING", "docs/objects.md", "docs/refs.md"]),
        plain(&["a/.gitkeep"]),
        plain(&[".editorconfig"]),
    ] {
        assert_eq!(kinds(&scene, &patch), [], "{}", String::from_utf8_lossy(&patch));
    }
    let seen = scene.risks(makes("link", "120000", "/etc/\u{1b}[31m").as_bytes());
    assert_eq!(seen[0].detail.as_deref(), Some("/etc/\\u{1b}[31m"));
}

/// What tools find by its name needs a word where it is new, and is said where it is changed: else nobody could work.
#[test]
fn what_is_changed_every_day_is_said_and_goes_on() {
    let scene = Scene::committed();
    for path in [
        "Makefile",
        "Cargo.toml",
        "web/package.json",
        "tests/conftest.py",
        "pom.xml",
    ] {
        assert_eq!(kinds(&scene, &changes(path)), [K::Build], "{path}");
        assert!(!asks(&scene, &changes(path)), "{path}");
        assert!(!asks(&scene, &deletes(path)), "{path}");
        assert!(asks(&scene, &plain(&[path])), "{path}");
    }
    for patch in [
        plain(&[".gitignore"]),
        changes("a/.gitignore"),
        patch(&[("tool", "100755", "x")]),
    ] {
        assert_eq!(kinds(&scene, &patch).len(), 1);
        assert!(!asks(&scene, &patch), "{}", String::from_utf8_lossy(&patch));
    }
    for path in [".envrc", "AGENTS.md", ".gitattributes", ".unheard-of", "x.so"] {
        assert!(asks(&scene, &changes(path)), "{path}");
        assert!(asks(&scene, &deletes(path)), "{path}");
    }
}

/// Whatever name a file system takes for another.
#[test]
fn names_are_known_in_every_form() {
    let scene = Scene::committed();
    for path in [
        "MAKEFILE",
        "Makefile. .",
        "Makefile::$DATA",
        "ma\u{212a}efile",
        ".ENVRC",
        ".envrc.",
        "CLAUDE.MD",
        "a/.VsCode/tasks.json",
        "a\\.vscode\\tasks.json",
        "Build.RS",
    ] {
        let quoted = path.replace('\\', "\\\\");
        let patch = makes("NAME", "100644", "x");
        let patch = match quoted == path {
            true => patch.replace("NAME", path),
            false => patch
                .replace("a/NAME b/NAME", &format!("\"a/{quoted}\" \"b/{quoted}\""))
                .replace("b/NAME", &format!("\"b/{quoted}\"")),
        };
        assert!(asks(&scene, patch.as_bytes()), "{path}");
    }
}

#[test]
fn a_folder_that_becomes_a_repository_is_named_with_what_is_there_already() {
    let repository = |scene: &Scene, patch: &[u8]| kinds(scene, patch).contains(&K::Repository);
    let scene = Scene::committed();
    for paths in [
        &["docs/HEAD", "docs/config", "docs/objects/x", "docs/refs/x"][..],
        &["docs/head", "docs/Objects/x", "docs/REFS/x"],
        &["a/b/HEAD", "a/b/objects", "a/b/refs"],
        &["docs/HEAD", "docs/commondir"],
        &["docs/HEAD", "docs/COMMON~1"],
        &[
            "docs/HEAD.",
            "docs/objects::$INDEX_ALLOCATION/x",
            "docs/ref\u{17f}/x",
        ],
    ] {
        assert!(repository(&scene, &plain(paths)), "{paths:?}");
    }
    for paths in [
        &["docs/HEAD", "docs/objects/x"][..],
        &["docs/HEAD/x", "docs/objects/x", "docs/refs/x"],
        &["docs/HEAD", "other/objects/x", "docs/refs/x"],
    ] {
        assert!(!repository(&scene, &plain(paths)), "{paths:?}");
    }
    // One piece is the guest's, the others are there: tracked, ignored, as links, in any case.
    for (there, brought) in [
        (&["docs/objects/x", "docs/refs/x"][..], "docs/HEAD"),
        (&["docs/HEAD", "docs/refs/x"], "docs/objects/x"),
        (&["docs/HEAD", "docs/Objects/x"], "docs/Refs/x"),
        (&["docs/HEAD"], "docs/commondir"),
        (&["docs/HEAD", "docs/objects/x", "docs/refs/x"], "docs/config"),
        (&["docs/HEAD", "docs/objects/x", "docs/refs/x"], "docs/deep/er"),
        (&["docs/commondir"], "docs/HEAD"),
    ] {
        let scene = Scene::committed();
        for path in there {
            scene.write(path, "x\n");
        }
        assert!(repository(&scene, &plain(&[brought])), "{there:?} {brought}");
        // The commit has none of it, and it may be checked out among these.
        let commit = scene.git(&["rev-parse", "HEAD"]);
        let onto = Onto::Commit(Some(commit.trim()));
        let risks = parsed(&plain(&[brought])).unwrap().risks(&scene.find(), onto);
        assert!(risks.unwrap().iter().any(|risk| risk.kind == K::Repository));
        // The commit has it, and the files do not.
        scene.commit("pieces");
        scene.git(&["rm", "-rq", "docs"]);
        let onto = Onto::Commit(Some("HEAD"));
        let risks = parsed(&plain(&[brought])).unwrap().risks(&scene.find(), onto);
        assert!(risks.unwrap().iter().any(|risk| risk.kind == K::Repository));
        assert!(!repository(&scene, &plain(&[brought])));
    }
    let scene = Scene::committed();
    scene.write("docs/refs/x", "x\n");
    symlink("elsewhere", scene.top().join("docs/objects")).unwrap();
    let head = patch(&[("docs/HEAD", "120000", "refs/x")]);
    assert!(repository(&scene, &head));
    // Another repository of the user's in the tree.
    scene.write("vendor/lib/.git", "gitdir: /somewhere\n");
    assert!(repository(&scene, &plain(&["vendor/lib/src/x"])));
}

#[test]
fn a_planted_repository_is_not_applied_unseen_and_git_runs_nothing_of_it() {
    let scene = Scene::committed();
    let trap = scene.trap();
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = {trap}"
    );
    let files = [
        ("docs/HEAD", "ref: refs/heads/main"),
        ("docs/objects/x", "x"),
        ("docs/refs/x", "x"),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, "100644", *text))
        .collect();
    let mut planted = patch(&files);
    let lines = config.lines().count();
    let config = makes("docs/config", "100644", &config.replace('\n', "\n+"));
    planted.extend(
        config
            .replace("@@ -0,0 +1 @@", &format!("@@ -0,0 +1,{lines} @@"))
            .into_bytes(),
    );
    assert!(asks(&scene, &planted));
    // It is what it is said to be: git would run it.
    scene.apply(&planted).unwrap();
    let status = std::process::Command::new("git")
        .arg("status")
        .current_dir(scene.top().join("docs"))
        .output();
    status.unwrap();
    assert!(scene.evidence().exists());
}

#[test]
fn links_are_followed_through_those_that_come_along_and_those_that_are_there() {
    let scene = Scene::committed();
    scene.write("data/file", "x\n");
    symlink("/mnt", scene.top().join("away")).unwrap();
    symlink("src", scene.top().join("in")).unwrap();
    scene.git(&["add", "-A"]);
    for (links, kind) in [
        (&[("d/b", ".."), ("z", "d/b/../victim")][..], K::LinkOut),
        (&[("d/b", ".."), ("z", "d/b/../../../etc/passwd")], K::LinkOut),
        (&[("one", "two"), ("two", "three"), ("three", "/etc")], K::LinkOut),
        (&[("one", "one")], K::LinkOut),
        (&[("z", "away/secret")], K::LinkOut),
        (&[("x/z", "../away")], K::LinkOut),
        (&[("z", "AWAY/secret")], K::LinkOut),
        (&[("deep/er/up", "../.."), ("z", "deep/er/up/../x")], K::LinkOut),
        (&[("x/y/b", "../.."), ("x/z", "y/b/../../out")], K::LinkOut),
        (&[("z", "in/../data")], K::LinkAround),
    ] {
        let files: Vec<_> = links.iter().map(|(path, to)| (*path, "120000", *to)).collect();
        assert!(kinds(&scene, &patch(&files)).contains(&kind), "{links:?}");
        assert!(asks(&scene, &patch(&files)), "{links:?}");
    }
    for links in [
        &[("z", "in/main.c")][..],
        &[("d/b", ".."), ("z", "d/b/src")],
        &[("one", "two"), ("two", "src")],
    ] {
        let files: Vec<_> = links.iter().map(|(path, to)| (*path, "120000", *to)).collect();
        assert_eq!(kinds(&scene, &patch(&files)), [], "{links:?}");
    }
}

/// A link of the user's, made when it was harmless, leads out by what a patch puts in its way.
#[test]
fn links_that_are_there_and_lead_out_from_now_on_are_named() {
    for (there, changes) in [
        // A folder becomes a link; a link becomes another; a link becomes a folder.
        (&[("z", "d/b/../x")][..], makes("d/b", "120000", "..")),
        (
            &[("z", "l/../../x"), ("l", "a/b")],
            String::from_utf8(deletes("l"))
                .unwrap()
                .replace("100644", "120000")
                + &makes("l/file", "100644", "x"),
        ),
        (&[("deep/z", "../d/e/../../x")], makes("d", "120000", ".")),
    ] {
        let scene = Scene::committed();
        for (path, to) in there {
            std::fs::create_dir_all(scene.top().join(path).parent().unwrap()).unwrap();
            symlink(to, scene.top().join(path)).unwrap();
        }
        scene.git(&["add", "-A"]);
        let risks = scene.risks(changes.as_bytes());
        let own = risks.iter().find(|risk| risk.path == there[0].0);
        assert_eq!(own.map(|risk| risk.kind), Some(K::LinkOut), "{there:?} {risks:?}");
        scene.commit("links");
        let risks = parsed(changes.as_bytes())
            .unwrap()
            .risks(&scene.find(), Onto::Commit(Some("HEAD")));
        assert!(risks.unwrap().iter().any(|risk| risk.path == there[0].0));
    }
}

/// A file with a harmless name that has another one by a link, or that the user's settings name.
#[test]
fn what_is_run_by_another_name_is_named() {
    let scene = Scene::committed();
    scene.write("tools/x", "x\n");
    scene.write("conf/direnv", "x\n");
    symlink("conf/direnv", scene.top().join(".envrc")).unwrap();
    symlink("tools", scene.top().join(".husky")).unwrap();
    symlink("../tools", scene.top().join("conf/also")).unwrap();
    symlink("conf", scene.top().join(".zed")).unwrap();
    scene.git(&["add", "-A"]);
    assert_eq!(
        kinds(&scene, &changes("conf/direnv")),
        [K::Editor, K::Environment]
    );
    assert_eq!(kinds(&scene, &plain(&["tools/commit"])), [K::Hook, K::Editor]);
    assert_eq!(kinds(&scene, &plain(&["src/x"])), []);
    let brought = [makes(".mise", "120000", "etc"), makes("etc/x", "100644", "x")].concat();
    assert!(kinds(&scene, brought.as_bytes()).contains(&K::Environment));

    let scene = Scene::committed();
    scene.git(&["config", "core.hooksPath", "dev/git"]);
    scene.git(&["config", "filter.x.clean", "python3 src/clean.py"]);
    scene.git(&["config", "include.path", "../etc/git"]);
    for path in ["dev/git/helper", "src/clean.py", "etc/git"] {
        assert_eq!(kinds(&scene, &plain(&[path])), [K::GitSettings], "{path}");
    }
    assert_eq!(kinds(&scene, &plain(&["dev/other"])), []);
}

#[test]
fn names_that_meet_on_some_file_systems_are_named() {
    let scene = Scene::committed();
    scene.write("\u{e9}t\u{e9}/own", "x\n");
    for patch in [
        plain(&["readme"]),
        plain(&["SRC/x"]),
        plain(&["new", "New"]),
        plain(&["caf\u{e9}", "cafe\u{301}"]),
        plain(&["e\u{301}te\u{301}/x"]),
        patch(&[("a", "120000", "src"), ("A/x", "100644", "x")]),
    ] {
        assert!(
            kinds(&scene, &patch).contains(&K::SameName),
            "{}",
            String::from_utf8_lossy(&patch)
        );
    }
    // A file that is only called otherwise.
    let renamed = [deletes("README"), plain(&["readme"])].concat();
    assert_eq!(kinds(&scene, &renamed), []);
}

#[test]
fn a_patch_of_many_links_is_looked_at_in_bounded_time() {
    let scene = Scene::committed();
    let mut links = String::new();
    for number in 0..400 {
        links.push_str(&makes(
            &format!("l{number:05}"),
            "120000",
            &format!("l{:05}/x", number + 1),
        ));
    }
    assert!(asks(&scene, links.as_bytes()));
    // Two links, each of which is two more on the way of the other.
    let bomb: String = (0..60)
        .map(|number| {
            makes(
                &format!("x{number}"),
                "120000",
                &format!("x{0}/x{0}/x{0}", number + 1),
            )
        })
        .collect();
    assert!(asks(&scene, bomb.as_bytes()));
}

/// A commit that brings what the next one takes back: it is in the history, to be checked out.
#[test]
fn what_a_commit_brings_and_the_next_takes_back_is_named() {
    let scene = Scene::committed();
    scene.prepare();
    let base = scene.git(&["rev-parse", "HEAD"]).trim().to_owned();
    for path in ["docs/HEAD", "docs/objects/x", "docs/refs/x", ".envrc"] {
        scene.write_inside(path, "x\n");
    }
    symlink("/etc", scene.inside().join("etc")).unwrap();
    scene.git_inside(&["add", "-A"]);
    scene.git_inside(&["commit", "-qm", "plant"]);
    scene.git_inside(&["rm", "-rq", "docs", ".envrc", "etc"]);
    scene.write_inside("harmless", "x\n");
    scene.git_inside(&["add", "-A"]);
    scene.git_inside(&["commit", "-qm", "harmless"]);
    // Between two branches, each of which is harmless, a merge is not.
    scene.git_inside(&["checkout", "-q", "-b", "side", &base]);
    scene.write_inside("other", "x\n");
    scene.git_inside(&["add", "-A"]);
    scene.git_inside(&["commit", "-qm", "side"]);
    scene.git_inside(&["merge", "-q", "--no-commit", "main"]);
    scene.write_inside("Jenkinsfile", "x\n");
    scene.git_inside(&["add", "-A"]);
    scene.git_inside(&["commit", "-qm", "merge"]);
    let before = tree(&scene.top(), true);
    let repository = scene.find();
    let inside = scene.inside();
    let pulled = workspace::pull(
        &repository,
        &mut Local::default(),
        inside.to_str().unwrap(),
        Some(&base),
    );
    let pulled = pulled.unwrap().unwrap();
    let found: Vec<_> = pulled
        .risks
        .iter()
        .map(|risk| (risk.kind, risk.path.as_str()))
        .collect();
    for expected in [
        (K::Environment, ".envrc"),
        (K::Repository, "docs/HEAD"),
        (K::LinkOut, "etc"),
        (K::Ci, "Jenkinsfile"),
    ] {
        assert!(found.contains(&expected), "{expected:?} {found:?}");
    }
    drop(pulled);
    assert_eq!(tree(&scene.top(), true), before);
}
