//! Repositories whose `.git` leads elsewhere: by a link, a setting or a name, in every place that is looked at. Each of
//! these is refused by one line, before git looks; nothing of what it leads to is in a guest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use workspace::{Base, Choice, Mode as History, Repository, Selection, Terms, WorkspaceError};

use crate::support::{Scene, git, make_executable, tree};

const SECRET: &str = "-----BEGIN PRIVATE KEY-----";

/// A scene, and a file of the user's elsewhere.
fn with_a_secret() -> Scene {
    let scene = Scene::committed();
    fs::write(scene.path("secret"), format!("{SECRET}\n")).unwrap();
    scene
}

fn refused(scene: &Scene, what: &str) {
    let before = tree(&scene.top(), true);
    let error = scene.prepare_as(&Choice::default(), None, false).unwrap_err();
    let line = error.to_string();
    assert!(
        matches!(
            error,
            WorkspaceError::NoFile { .. }
                | WorkspaceError::LeadsOut { .. }
                | WorkspaceError::NoSetting { .. }
        ),
        "{what}: {line}"
    );
    assert!(!line.contains(SECRET) && !line.contains('\n'), "{what}: {line}");
    assert!(!scene.inside().exists(), "{what}");
    assert_eq!(tree(&scene.top(), true), before, "{what}");
}

#[test]
fn a_link_in_any_place_where_git_looks_is_refused_and_nothing_behind_it_goes() {
    for place in [
        "HEAD",
        "config",
        "index",
        "packed-refs",
        "shallow",
        "info/sparse-checkout",
        "info/exclude",
        "info/attributes",
        "objects/info/alternates",
        "objects/pack/pack-0.pack",
        "objects/00/11111111111111111111111111111111111111",
        "refs/heads/other",
        "refs/tags/deep/er",
        "commondir",
        "sharedindex.1111111111111111111111111111111111111111",
    ] {
        let targets = ["../../secret", "/dev/zero", "HEAD"];
        let read_here = matches!(place, "info/sparse-checkout" | "config");
        for target in targets.into_iter().take(if read_here { 3 } else { 1 }) {
            let scene = with_a_secret();
            scene.git(&["config", "core.sparseCheckout", "true"]);
            let place = scene.top().join(".git").join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&place);
            symlink(target, &place).unwrap();
            let what = format!("{} -> {target}", place.display());
            refused(&scene, &what);
        }
    }
}

#[test]
fn a_folder_that_is_a_link_to_another_repositorys_is_refused() {
    let private = Scene::committed();
    private.write("private", SECRET);
    private.commit("private");
    let commit = private.git(&["rev-parse", "HEAD"]);
    for place in [
        "refs",
        "refs/heads",
        "objects",
        "objects/pack",
        "objects/00",
        "info",
        "objects/info",
    ] {
        let scene = Scene::committed();
        let own = scene.top().join(".git").join(place);
        let _ = fs::remove_dir_all(&own);
        let theirs = private.top().join(".git").join(place);
        fs::create_dir_all(&theirs).unwrap();
        if place == "info" || place == "objects/info" {
            fs::write(theirs.join("sparse-checkout"), SECRET).unwrap();
            scene.git(&["config", "core.sparseCheckout", "true"]);
        }
        symlink(&theirs, &own).unwrap();
        if !place.starts_with("info") {
            fs::write(scene.top().join(".git/HEAD"), &commit).unwrap();
        }
        refused(&scene, place);
    }
}

#[test]
fn a_head_that_leads_out_of_the_repository_is_refused() {
    for head in [
        "ref: refs/../../../secret",
        "ref: ../../secret",
        "ref: /etc/passwd",
        "what",
        "",
    ] {
        let scene = with_a_secret();
        fs::write(scene.top().join(".git/HEAD"), head).unwrap();
        refused(&scene, head);
    }
}

#[test]
fn a_setting_that_names_a_file_elsewhere_is_refused_by_its_key() {
    let scene = with_a_secret();
    let secret = scene.path("secret").display().to_string();
    let config = scene.top().join(".git/config");
    let before = fs::read(&config).unwrap();
    for (key, value) in [
        ("core.excludesFile", secret.as_str()),
        ("core.attributesFile", "../secret"),
        ("core.excludesFile", "~/.ssh/config"),
        ("include.path", secret.as_str()),
        ("include.path", "../../secret"),
        ("include.path", "~/.netrc"),
        ("includeIf.gitdir:/**.path", "/etc/passwd"),
        ("includeIf.onbranch:main.path", "../../secret"),
    ] {
        scene.git(&["config", key, value]);
        let error = Repository::find(&scene.top()).unwrap_err();
        let WorkspaceError::LeadsOut { key: named, .. } = &error else {
            panic!("{key}: {error}");
        };
        let first = key.split('.').next().unwrap().to_lowercase();
        assert!(named.starts_with(&first), "{key}: {named}");
        refused(&scene, key);
        // git itself reads what is included, and fails.
        fs::write(&config, &before).unwrap();
    }
    // Below the repository such a file is read, and over no link.
    scene.write("ignored", "notes\n");
    scene.write("notes", "private\n");
    scene.git(&["config", "core.excludesFile", "ignored"]);
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    assert!(!scene.select(&choice).files.contains(&b"notes".to_vec()));
    fs::remove_file(scene.top().join("ignored")).unwrap();
    symlink("../secret", scene.top().join("ignored")).unwrap();
    refused(&scene, "a link");
}

#[test]
fn a_setting_of_an_included_file_counts_where_the_file_is_the_repositorys() {
    let scene = Scene::committed();
    scene.write(
        "shared/config",
        "[user]\n\tname = From the tree\n[include]\n\tpath = further\n",
    );
    scene.write(
        "shared/further",
        "[user]\n\temail = further@example.com\n[include]\n\tpath = config\n",
    );
    scene.git(&["config", "include.path", "../shared/config"]);
    // Each includes the other, without end.
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(error.to_string().contains("includes too many"), "{error}");
    scene.write("shared/further", "[user]\n\temail = further@example.com\n");
    scene.prepare();
    assert_eq!(scene.git_inside(&["config", "user.name"]), "From the tree\n");
    assert_eq!(
        scene.git_inside(&["config", "user.email"]),
        "further@example.com\n"
    );
}

#[test]
fn a_driver_runs_nothing_whatever_bytes_its_name_has() {
    let names: [&[u8]; 6] = [b"evil", b"e\xffvil", b"e=vil", b"e.vil", b"\"e\\vil", b"e vil"];
    for name in names {
        let scene = Scene::committed();
        let trap = scene.trap();
        let attributes = [b"* filter=", name, b" diff=", name, b" merge=", name, b"\n"].concat();
        fs::write(scene.top().join(".gitattributes"), attributes).unwrap();
        let quoted: Vec<u8> = name
            .iter()
            .flat_map(|byte| {
                if b"\"\\".contains(byte) {
                    vec![b'\\', *byte]
                } else {
                    vec![*byte]
                }
            })
            .collect();
        let mut config = fs::read(scene.top().join(".git/config")).unwrap();
        for kind in ["filter", "diff", "merge"] {
            config.extend([b"[", kind.as_bytes(), b" \"", &*quoted, b"\"]\n"].concat());
            for key in ["clean", "smudge", "process", "command", "textconv", "driver"] {
                config.extend(format!("\t{key} = {trap}\n").as_bytes());
            }
            config.extend(b"\trequired = true\n");
        }
        fs::write(scene.top().join(".git/config"), config).unwrap();
        scene.write("README", "edited\n");
        let choice = Choice {
            untracked: true,
            ..Choice::default()
        };
        scene.prepare_as(&choice, None, false).unwrap();
        scene.write_inside("README", "by the guest\n");
        scene.apply(&scene.export(&Base::Prepared)).unwrap();
        scene.assert_nothing_was_run();
    }
}

#[test]
fn objects_that_are_borrowed_go_only_on_the_users_word() {
    let private = Scene::committed();
    private.write("private", SECRET);
    private.commit("private");
    let commit = private.git(&["rev-parse", "HEAD"]);
    let objects = private.top().join(".git/objects");
    for line in [
        objects.display().to_string(),
        format!("# x\n{}/../objects\n", objects.display()),
        "http://example.com/objects".to_owned(),
        // A folder of this name, whose own list leads on.
        "\r\n".to_owned(),
        " \n".to_owned(),
    ] {
        let scene = Scene::committed();
        let list = scene.top().join(".git/objects/info/alternates");
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        for name in ["\r", " "] {
            let further = scene.top().join(".git/objects").join(name).join("info");
            fs::create_dir_all(&further).unwrap();
            fs::write(further.join("alternates"), format!("{}\n", objects.display())).unwrap();
        }
        fs::write(&list, &line).unwrap();
        fs::write(scene.top().join(".git/refs/heads/main"), &commit).unwrap();
        let error = scene.prepare_as(&Choice::default(), None, false).unwrap_err();
        assert!(matches!(error, WorkspaceError::Borrows { .. }), "{line}: {error}");
        assert!(!scene.inside().exists());
        let terms = Terms {
            alternates: true,
            ..Terms::default()
        };
        let repository = Repository::find_on(&scene.top(), terms).unwrap();
        let choice = Choice {
            mode: History::Full,
            ..Choice::default()
        };
        let goes = Selection::of(&repository, &choice);
        assert_eq!(
            goes.is_ok_and(|goes| goes.commit.is_some()),
            !line.starts_with("http"),
            "{line}"
        );
    }
}

#[test]
fn a_format_that_is_not_known_is_refused_before_git_looks() {
    let scene = Scene::committed();
    scene.git(&["config", "core.repositoryFormatVersion", "1"]);
    scene.git(&["config", "extensions.elsewhere", "/etc"]);
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(error.to_string().ends_with("elsewhere"), "{error}");
}

#[test]
fn a_repository_of_another_user_is_refused_as_git_refuses_it() {
    if !rustix::process::getuid().is_root() {
        // Another user's is had by root alone; `/` belongs to root, and is no repository.
        return;
    }
    let scene = Scene::committed();
    let give = |user: u32| {
        let output = Command::new("chown")
            .args(["-R", &format!("{user}:{user}")])
            .arg(scene.top())
            .status();
        assert!(output.unwrap().success());
    };
    give(61_000);
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(matches!(error, WorkspaceError::ForeignOwner { .. }), "{error}");
}

#[test]
fn a_program_of_the_users_own_filter_runs_confined() {
    // Needs settings of its own: another process.
    let scene = Scene::committed();
    let home = scene.path("home");
    fs::create_dir_all(home.join("bin")).unwrap();
    let clean = home.join("bin/clean");
    let seen = "for path in /proc/self /etc/passwd \"$HOME/secret\" /sys/class; do [ ! -e $path ] || echo seen $path; done";
    fs::write(&clean, format!("#!/bin/sh\n{seen}\ntr a-z A-Z\n")).unwrap();
    make_executable(&clean);
    fs::write(home.join("secret"), SECRET).unwrap();
    fs::write(
        home.join(".gitconfig"),
        "[filter \"loud\"]\n\tclean = clean\n\trequired = true\n[core]\n\texcludesFile = ~/ignored\n",
    )
    .unwrap();
    fs::write(home.join("ignored"), ".env\n").unwrap();
    scene.write(".gitattributes", "*.txt filter=loud\n");
    scene.write("a.txt", "QUIET\n");
    scene.write(".env", SECRET);
    scene.git(&["add", "-f", ".gitattributes"]);
    scene.git(&["-c", "filter.loud.clean=cat", "add", "a.txt"]);
    scene.git(&["commit", "-qm", "filtered"]);
    // As the filter sees it, it is as it was committed.
    scene.write("a.txt", "quiet\n");
    let status = run_here("leading_out::looks_at_a_repository", &scene.top(), &home);
    assert!(status.contains("edited: []\n"), "{status}");
    assert!(!status.contains(".env"), "{status}");
}

/// Runs a test of this program with other settings of git's.
pub fn run_here(test: &str, top: &Path, home: &Path) -> String {
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("HOME", home)
        .env("PATH", format!("{}:{path}", home.join("bin").display()))
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("GIT_CONFIG_GLOBAL")
        .env("BANGER_TEST_TOP", top)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said
}

#[test]
#[ignore = "run by a_program_of_the_users_own_filter_runs_confined and others"]
fn looks_at_a_repository() {
    let top = std::env::var_os("BANGER_TEST_TOP").unwrap();
    let repository = Repository::find(Path::new(&top)).unwrap();
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let selection = Selection::of(&repository, &choice).unwrap();
    let names = |list: &[Vec<u8>]| {
        list.iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect::<Vec<_>>()
    };
    println!("edited: {:?}", names(&selection.edited));
    println!("files: {:?}", names(&selection.files));
    println!("unconfined: {:?}", workspace::unconfined());
}

#[test]
fn settings_of_the_users_with_conditions_count_where_they_hold() {
    let scene = Scene::committed();
    let home = scene.path("home");
    fs::create_dir_all(&home).unwrap();
    let top = scene.top().display().to_string();
    fs::write(
        home.join(".gitconfig"),
        format!(
            "[includeIf \"gitdir:{top}/\"]\n\tpath = here\n[includeIf \"gitdir:/elsewhere/\"]\n\tpath = there\n"
        ),
    )
    .unwrap();
    fs::write(home.join("here"), "[core]\n\texcludesFile = ~/of-here\n").unwrap();
    fs::write(home.join("there"), "[core]\n\texcludesFile = ~/none\n").unwrap();
    fs::write(home.join("of-here"), "private\n").unwrap();
    scene.write("private", SECRET);
    scene.write("other", "goes\n");
    let status = run_here("leading_out::looks_at_a_repository", &scene.top(), &home);
    assert!(status.contains("edited: [\"other\"]"), "{status}");
    // As the user went there, too.
    symlink(scene.path(""), home.join("work")).unwrap();
    let include = "[includeIf \"gitdir:~/w[[:alpha:]]rk/\"]\n\tpath = here\n";
    fs::write(home.join(".gitconfig"), include).unwrap();
    for (top, edited) in [
        (home.join("work/host"), "[\"other\"]"),
        (scene.top(), "[\"other\", \"private\"]"),
    ] {
        let status = run_here("leading_out::looks_at_a_repository", &top, &home);
        assert!(status.contains(&format!("edited: {edited}")), "{status}");
    }
}

#[test]
fn a_host_that_confines_nothing_refuses_the_same_and_says_that_it_does_not() {
    let none = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -all";
    let how = format!("exec unshare --user --map-root-user sh -euc '{none} \"$@\"' sh \"$@\"");
    let tests = [
        "leading_out::a_link_in_any_place_where_git_looks_is_refused_and_nothing_behind_it_goes",
        "leading_out::a_driver_runs_nothing_whatever_bytes_its_name_has",
        "leading_out::objects_that_are_borrowed_go_only_on_the_users_word",
        "hostile::hooks_and_included_settings_run_nothing",
        "pulling::commits_come_with_their_messages_and_the_files_of_the_host_stay",
    ];
    let scene = Scene::committed();
    for (test, more) in tests.into_iter().map(|test| (test, &[][..])).chain([(
        "leading_out::looks_at_a_repository",
        &["--ignored", "--nocapture"][..],
    )]) {
        let output = Command::new("/bin/sh")
            .args(["-euc", &how, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .args(more)
            .env("BANGER_TEST_TOP", scene.top())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{test}: {said}"
        );
        if !more.is_empty() {
            assert!(
                said.contains("unconfined: Some(\"cannot make namespaces"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_linked_working_tree_goes_and_what_it_shares_is_looked_through() {
    let scene = Scene::committed();
    scene.git(&["worktree", "add", "-q", "-b", "topic", "../linked"]);
    let linked = Repository::find(&scene.path("linked")).unwrap();
    assert_eq!(linked.head, workspace::Head::Branch("topic".into()));
    // A link in what both share is one in each.
    symlink("/etc/passwd", scene.top().join(".git/refs/heads/evil")).unwrap();
    let error = Repository::find(&scene.path("linked")).unwrap_err();
    assert!(matches!(error, WorkspaceError::NoFile { .. }), "{error}");
    fs::remove_file(scene.top().join(".git/refs/heads/evil")).unwrap();
    let commit = Repository::head_of(&scene.path("linked")).unwrap();
    assert_eq!(commit, linked.commit);
    git(&scene.top(), &["pack-refs", "--all"]);
    assert_eq!(Repository::head_of(&scene.path("linked")).unwrap(), linked.commit);
}
