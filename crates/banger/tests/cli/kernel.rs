//! `banger kernel`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{FakeDaemon, Finished};

fn without_times(finished: &Finished) -> String {
    let screen = finished.screen();
    let lines = screen.lines().map(|line| match line.strip_prefix("created ") {
        Some(_) => "created <time>",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn kernels_are_listed_and_shown_with_who_boots_them() {
    let daemon = FakeDaemon::with(Vec::new());
    insta::assert_snapshot!("kernels", daemon.run(&["kernel", "list"]).screen());
    insta::assert_snapshot!(
        "kernels_available",
        daemon.run(&["kernel", "list", "--available"]).screen()
    );
    insta::assert_snapshot!("kernel", without_times(&daemon.run(&["kernel", "show", "mine"])));
    assert_eq!(daemon.run(&["kernel", "ls", "-q"]).out, "debian-cloud\nmine\n");
    assert_eq!(
        daemon.run(&["kernel", "list", "--available", "-q"]).out,
        "debian-cloud\ngeneric\n"
    );
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&daemon.run(arguments).out).unwrap()
    };
    let here = json(&["kernel", "list", "--json"]);
    let there = json(&["kernel", "list", "--available", "--json"]);
    for listing in [&here, &there] {
        for kernel in listing.as_array().unwrap() {
            assert!(kernel["id"].is_string() && kernel["name"].is_string(), "{kernel}");
        }
    }
    assert_eq!(json(&["kernel", "show", "mine", "--json"])["id"], here[1]["id"]);
    let missing = daemon.run(&["kernel", "show", "nosuch"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("hint: there is debian-cloud, mine"),
        "{}",
        missing.err
    );
}

#[test]
fn a_kernel_is_fetched_by_name_and_again_only_if_forced() {
    let daemon = FakeDaemon::with(Vec::new());
    insta::assert_snapshot!(
        "kernel_pull",
        daemon.run(&["kernel", "pull", "debian-cloud"]).screen()
    );
    let quiet = daemon.run(&["kernel", "pull", "--force", "-q", "generic"]);
    assert_eq!(
        (quiet.code, quiet.out.as_str(), quiet.err.as_str()),
        (0, "generic\n", "")
    );
    assert_eq!(daemon.run(&["kernel", "pull", "nosuch"]).code, 1);
    assert_eq!(
        daemon.calls(),
        [
            "pull kernel debian-cloud force false",
            "pull kernel generic force true",
            "pull kernel nosuch force false"
        ]
    );
}

#[test]
fn the_kernel_of_a_folder_is_sent_and_the_folder_never_named() {
    let daemon = FakeDaemon::with(Vec::new());
    let folder = daemon.folder().join("built");
    fs::create_dir_all(folder.join("lib/modules/6.12.3+/kernel/fs")).unwrap();
    fs::write(folder.join("bzImage"), vec![7; 1_000_000]).unwrap();
    fs::write(folder.join("System.map"), "stays").unwrap();
    fs::write(folder.join("lib/modules/6.12.3+/kernel/fs/a.ko"), "module").unwrap();
    symlink("/usr/src", folder.join("lib/modules/6.12.3+/build")).unwrap();
    let from = folder.to_str().unwrap();
    let imported = daemon.run(&["kernel", "import", "own", "--from", from, "--distro", "gentoo"]);
    assert_eq!(
        (imported.code, imported.out.as_str()),
        (0, "own\n"),
        "{}",
        imported.err
    );
    assert_eq!(imported.err, "imported own 6.12.3+, 40 MiB\n");
    let quiet = daemon.run(&[
        "kernel", "import", "--name", "own", "--from", from, "-q", "--arch", "amd64",
    ]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("own\n", ""));
    let sent = "vmlinux 1000000, modules/kernel/fs/a.ko 6";
    assert_eq!(
        daemon.calls(),
        [
            format!("import own distro=gentoo: {sent}"),
            format!("import own : {sent}")
        ]
    );
}

#[test]
fn a_folder_that_is_no_kernel_is_refused_before_anything_is_sent() {
    let daemon = FakeDaemon::with(Vec::new());
    let folder = daemon.folder().join("folder");
    fs::create_dir(&folder).unwrap();
    let from = folder.to_str().unwrap();
    let import = || {
        let finished = daemon.run(&["kernel", "import", "own", "--from", from]);
        assert_eq!((finished.code, finished.out.as_str()), (1, ""));
        finished.err.replace(from, "DIR")
    };
    assert!(import().starts_with("banger: there is no kernel in DIR: no vmlinux, "));
    symlink("/etc/hostname", folder.join("vmlinux")).unwrap();
    assert_eq!(
        import(),
        "banger: DIR/vmlinux is a link that leads out of the folder\n"
    );
    let nowhere = daemon.run(&["kernel", "import", "own", "--from", "/proc/nonexistent"]);
    assert_eq!(
        nowhere.err,
        "banger: cannot read /proc/nonexistent: No such file or directory (os error 2)\n"
    );
    for wrong in [
        &["kernel", "import", "Own", "--from", from][..],
        &["kernel", "import", "own"],
        &["kernel", "import", "--from", from],
        &["kernel", "import", "own", "--from", from, "--arch", "arm64"],
        &["kernel", "import", "own", "--from", from, "--distro", "a b"],
        &["kernel", "pull"],
        &["kernel", "list", "-q", "--json"],
    ] {
        assert_eq!(daemon.run(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(daemon.calls(), Vec::<String>::new());
}

#[test]
fn a_kernel_in_use_is_not_deleted_and_the_others_are() {
    let daemon = FakeDaemon::with(Vec::new());
    let deleted = daemon.run(&["kernel", "rm", "nosuch", "debian-cloud", "mine"]);
    insta::assert_snapshot!("kernel_rm", deleted.screen());
    assert_eq!(daemon.calls(), ["delete kernel mine"]);
}
