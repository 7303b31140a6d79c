//! `banger vm cp`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api::VmState;
use nix::sys::signal::Signal;

use super::support::{FakeDaemon, vm};

/// A daemon, and a folder with a tree in it.
fn with_tree() -> (FakeDaemon, PathBuf) {
    let daemon = FakeDaemon::with(vec![
        vm("box", 'b', VmState::Running),
        vm("other", 'c', VmState::Running),
    ]);
    let home = daemon.folder().join("home");
    fs::create_dir_all(home.join("tree/sub")).unwrap();
    fs::write(home.join("tree/sub/file"), "inside").unwrap();
    fs::write(home.join("tree/large"), vec![5; 700_000]).unwrap();
    (daemon, home)
}

fn same(one: &Path, other: &Path) {
    let differ = Command::new("diff")
        .arg("-r")
        .args([one, other])
        .status()
        .unwrap();
    assert!(differ.success(), "{} and {}", one.display(), other.display());
}

/// The verb ends with this code and begins with this message.
fn refuses(daemon: &FakeDaemon, arguments: &[String], code: i32, message: &str) {
    let mut whole = vec!["vm", "cp"];
    whole.extend(arguments.iter().map(String::as_str));
    let ran = daemon.run(&whole);
    assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
    assert!(
        ran.err.starts_with(&format!("banger: {message}\n")),
        "{arguments:?}: {}",
        ran.err
    );
}

/// A tar stream of a folder's `tree`.
fn tar(home: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["c", "-C"])
        .arg(home)
        .arg("tree")
        .output()
        .unwrap();
    output.stdout
}

#[test]
fn trees_and_files_are_copied_in_out_and_between() {
    let (daemon, home) = with_tree();
    let (path, tree) = (home.display(), home.join("tree"));
    for (from, to, result) in [
        (format!("{path}/tree"), format!("box:{path}/in"), "in"),
        (format!("box:{path}/in"), format!("{path}/out"), "out"),
        (
            format!("box:{path}/out"),
            format!("other:{path}/between"),
            "between",
        ),
        (format!("{path}/tree/."), format!("box:{path}/merged"), "merged"),
    ] {
        let ran = daemon.run(&["vm", "cp", &from, &to]);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "", ""),
            "{from} {to}"
        );
        same(&tree, &home.join(result));
    }
    let ran = daemon.run(&[
        "vm",
        "cp",
        &format!("{path}/tree/large"),
        &format!("box:{path}/file"),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(home.join("file")).unwrap(), vec![5; 700_000]);
}

#[test]
fn several_go_into_a_folder_that_is_there_each_under_its_own_name() {
    let (daemon, home) = with_tree();
    let path = home.display();
    fs::write(home.join("file"), "one").unwrap();
    for (prefix, target) in [("", "box:"), ("box:", ""), ("box:", "other:")] {
        let into = home.join("into");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        let ran = daemon.run(&[
            "vm",
            "cp",
            &format!("{prefix}{path}/file"),
            &format!("{prefix}{path}/tree"),
            &format!("{prefix}{path}/tree/."),
            &format!("{target}{}", into.display()),
        ]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{prefix} {target}");
        assert_eq!(fs::read(into.join("file")).unwrap(), b"one");
        same(&home.join("tree"), &into.join("tree"));
        assert_eq!(fs::read(into.join("large")).unwrap(), vec![5; 700_000]);
    }
}

#[test]
fn several_that_cannot_all_be_copied_are_not_begun() {
    let (daemon, home) = with_tree();
    let path = home.display();
    for name in ["one", "two"] {
        fs::write(home.join(name), name).unwrap();
    }
    fs::create_dir(home.join("into")).unwrap();
    let here = |name: &str| format!("{path}/{name}");
    let there = |name: &str| format!("box:{path}/{name}");
    for (arguments, code, message) in [
        (
            [here("one"), here("no"), there("into")],
            1,
            format!("cannot read `{path}/no`: No such file or directory"),
        ),
        (
            [here("one"), here("tree/../one"), there("into")],
            2,
            "two SRC are called `one`: one would replace the other".to_owned(),
        ),
        (
            [here("one"), "-".into(), there("into")],
            2,
            "`-` is one tar stream: it goes with one SRC".into(),
        ),
        (
            [there("one"), there("two"), "-".into()],
            2,
            "`-` is one tar stream: it goes with one SRC".into(),
        ),
        (
            [there("one"), here("two"), here("into")],
            2,
            "neither SRC nor DST is in a VM".into(),
        ),
        (
            [there("one"), there("two"), here("no")],
            1,
            format!("`{path}/no` is not a folder that is there: several SRC go into one"),
        ),
        (
            [there("one"), there("two"), here("tree/large")],
            1,
            format!("`{path}/tree/large` is not a folder that is there: several SRC go into one"),
        ),
        (
            [here("tree"), here("two"), there("no")],
            1,
            format!("in `box`: cannot write to `{path}/no`: No such file or directory"),
        ),
        (
            [here("one"), here("two"), there("tree/large")],
            1,
            format!("in `box`: cannot write to `{path}/tree/large`: Not a directory"),
        ),
    ] {
        refuses(&daemon, &arguments, code, &message);
        assert_eq!(fs::read_dir(home.join("into")).unwrap().count(), 0);
        assert!(!home.join("no").exists());
    }
}

#[test]
fn a_file_goes_where_a_link_at_dst_leads_and_the_link_stays() {
    let (daemon, home) = with_tree();
    let path = home.display();
    fs::write(home.join("new"), "new").unwrap();
    for (prefix, target) in [("", "box:"), ("box:", ""), ("box:", "other:")] {
        for folder in ["links", "kept"] {
            let _ = fs::remove_dir_all(home.join(folder));
            fs::create_dir(home.join(folder)).unwrap();
        }
        fs::write(home.join("kept/old"), "old").unwrap();
        std::os::unix::fs::symlink("../kept/old", home.join("links/link")).unwrap();
        std::os::unix::fs::symlink("../kept/nothing", home.join("links/dangling")).unwrap();
        let copy = |to: &str| {
            daemon.run(&[
                "vm",
                "cp",
                &format!("{prefix}{path}/new"),
                &format!("{target}{path}/links/{to}"),
            ])
        };
        let ran = copy("link");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{prefix} {target}");
        assert_eq!(fs::read(home.join("kept/old")).unwrap(), b"new");
        assert!(home.join("links/link").is_symlink());
        let ran = copy("dangling");
        assert_eq!(ran.code, 1);
        assert!(
            ran.err
                .contains("links/dangling` is a link that leads to nothing"),
            "{}",
            ran.err
        );
        assert_eq!(fs::read_dir(home.join("kept")).unwrap().count(), 1);
    }
}

#[test]
fn a_dash_is_a_tar_stream_on_both_sides() {
    let (daemon, home) = with_tree();
    let path = home.display();
    fs::create_dir(home.join("in")).unwrap();
    let ran = daemon.run_with_stdin(&["vm", "cp", "-", &format!("box:{path}/in")], &tar(&home));
    assert_eq!(ran.code, 0, "{}", ran.err);
    same(&home.join("tree"), &home.join("in/tree"));
    let output = daemon
        .command(&["vm", "cp", &format!("box:{path}/tree"), "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    fs::create_dir(home.join("out")).unwrap();
    let mut tar = Command::new("tar")
        .args(["x", "-C"])
        .arg(home.join("out"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    assert!(tar.wait().unwrap().success());
    same(&home.join("tree"), &home.join("out/tree"));
}

#[test]
fn a_copy_that_cannot_be_made_names_the_path() {
    let (daemon, home) = with_tree();
    let path = home.display();
    for (arguments, code, message) in [
        (
            vec!["a".to_owned(), "b".to_owned()],
            2,
            "neither SRC nor DST is in a VM".to_owned(),
        ),
        (
            vec!["-".into(), "-".into()],
            2,
            "neither SRC nor DST is in a VM".into(),
        ),
        (vec!["a".into(), "box:".into()], 2, "`box:` lacks a path".into()),
        (
            vec!["/no/such".into(), "box:/tmp".into()],
            1,
            "cannot read `/no/such`: No such file or directory".into(),
        ),
        (
            vec!["box:/no/such".into(), ".".into()],
            1,
            "in `box`: cannot read `/no/such`: No such file or directory".into(),
        ),
        (
            vec![format!("{path}/tree"), "box:/no/such/place".into()],
            1,
            "in `box`: cannot write to `/no/such`: No such file or directory".into(),
        ),
        (
            vec![format!("box:{path}/tree"), "/no/such/place".into()],
            1,
            "cannot write to `/no/such`: No such file or directory".into(),
        ),
        (
            vec!["nobox:/a".into(), ".".into()],
            1,
            "no VM is called `nobox`".into(),
        ),
    ] {
        refuses(&daemon, &arguments, code, &message);
    }
}

#[test]
fn what_is_left_out_is_said() {
    let (daemon, home) = with_tree();
    let path = home.display();
    testkit::make_fifo(home.join("tree/pipe"));
    let ran = daemon.run(&["vm", "cp", &format!("box:{path}/tree"), &format!("{path}/out")]);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.err,
        "banger: warning: `tree/pipe` is a device or a pipe: left out\n"
    );
    assert!(home.join("out/large").exists() && !home.join("out/pipe").exists());
}

#[test]
fn a_signal_breaks_a_copy_off_and_the_guest_learns_of_it() {
    let (daemon, home) = with_tree();
    let to = format!("box:{}", home.display());
    let mut command = daemon.command(&["vm", "cp", "-", &to]);
    let (read, write) = std::io::pipe().unwrap();
    let client =
        super::support::Client::of(command.stdin(read).stdout(Stdio::piped()).stderr(Stdio::piped()));
    (&write).write_all(&tar(&home)[..1024]).unwrap();
    daemon.wait_for_call("a copy began");
    client.signal(Signal::SIGINT);
    daemon.wait_for_call("a copy broke off");
    assert_eq!(client.finish().code, 130);
}
