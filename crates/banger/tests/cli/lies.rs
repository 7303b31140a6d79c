//! Guests that answer with something else than `banger vm cp` asked for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api::VmState;

use super::support::{FakeDaemon, Finished, vm};

/// A daemon, a folder that a user works in, and one in which a guest makes up its lies.
struct Stage {
    daemon: FakeDaemon,
    home: PathBuf,
    guest: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let daemon = FakeDaemon::with(vec![
            vm("box", 'b', VmState::Running),
            vm("other", 'c', VmState::Running),
        ]);
        let (home, guest) = (daemon.folder().join("home"), daemon.folder().join("guest"));
        fs::create_dir_all(home.join(".git")).unwrap();
        fs::create_dir(&guest).unwrap();
        for file in [".bashrc", ".git/config"] {
            fs::write(home.join(file), "mine").unwrap();
        }
        Self { daemon, home, guest }
    }

    /// A path in `box` by which the guest answers with these members of `guest`, whatever its last name.
    fn lie(&self, arguments: &[&str], path: &str) -> String {
        let tar = Command::new("tar")
            .args(["cf", "lie", "--no-recursion"])
            .args(arguments)
            .current_dir(&self.guest)
            .status()
            .unwrap();
        assert!(tar.success());
        format!("box:{}/lie/{path}", self.guest.display())
    }

    fn cp(&self, arguments: &[&str]) -> Finished {
        let mut command = self.daemon.command(&["vm", "cp"]);
        command
            .args(arguments)
            .current_dir(&self.home)
            .stdin(Stdio::null());
        finished(&mut command)
    }

    fn assert_untouched(&self, what: &str) {
        assert_eq!(names(&self.home), [".bashrc", ".git"], "{what}");
        for file in [".bashrc", ".git/config"] {
            assert_eq!(fs::read(self.home.join(file)).unwrap(), b"mine", "{what}");
        }
    }
}

fn finished(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        code: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What tar finds in a stream: modes and names.
fn listed(stream: &str) -> String {
    let mut tar = Command::new("tar")
        .arg("tv")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = tar.stdin.take().unwrap().write_all(stream.as_bytes());
    String::from_utf8(tar.wait_with_output().unwrap().stdout).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_guest_that_answers_with_other_names_writes_nothing_and_is_named() {
    let stage = Stage::new();
    for file in [".bashrc", ".profile", "x"] {
        fs::write(stage.guest.join(file), "evil").unwrap();
    }
    fs::create_dir_all(stage.guest.join(".ssh")).unwrap();
    fs::create_dir_all(stage.guest.join(".git")).unwrap();
    for file in [".ssh/authorized_keys", ".git/config"] {
        fs::write(stage.guest.join(file), "evil").unwrap();
    }
    for (members, asked, first) in [
        (&[".bashrc"][..], "report.txt", ".bashrc"),
        (&[".ssh", ".ssh/authorized_keys", ".profile"], "tree", ".ssh/"),
        (&[".git", ".git/config"], "tree", ".git/"),
        (&["./.bashrc"], "tree", "./.bashrc"),
        (&["x", ".bashrc"], "x", ".bashrc"),
    ] {
        let path = stage.lie(members, asked);
        let top = asked.split('/').next().unwrap();
        let refused =
            format!("banger: copying from `box`: `{first}` came in the place of `{top}`: refused\n");
        for to in [".", "./", "other:/srv", "-"] {
            for archive in [&[][..], &["-a"]] {
                let ran = stage.cp(&[archive, &[&path, to][..]].concat());
                let said = ran.err.lines().last().map(|line| format!("{line}\n"));
                assert_eq!((ran.code, said), (1, Some(refused.clone())), "{path} to {to}");
                let went_on = listed(&ran.out);
                assert!(
                    went_on.lines().all(|line| line.ends_with(" x")),
                    "{to}: {went_on}"
                );
                let _ = fs::remove_file(stage.home.join("x"));
                stage.assert_untouched(&format!("{members:?} to {to}"));
            }
        }
    }
}

#[test]
fn a_guest_that_goes_through_a_link_in_its_archive_gets_nowhere() {
    let stage = Stage::new();
    fs::create_dir_all(stage.guest.join("tree")).unwrap();
    fs::write(stage.guest.join(".bashrc"), "evil").unwrap();
    // `tree/up` leads out of where it is unpacked, and what follows goes through it.
    symlink("..", stage.guest.join("tree/up")).unwrap();
    let path = stage.lie(
        &[
            "tree",
            "tree/up",
            "--transform",
            "s,^.bashrc,tree/up/.bashrc,",
            ".bashrc",
        ],
        "tree",
    );
    let ran = stage.cp(&[&path, "."]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("`up` is there and is not a folder"),
        "{}",
        ran.err
    );
    stage.assert_untouched("a link");
    for to in ["-", "other:/srv"] {
        let ran = stage.cp(&[&path, to]);
        let refused = "banger: copying from `box`: `tree/up/.bashrc` lies behind a link\n";
        assert_eq!((ran.code, ran.err.as_str()), (1, refused), "{to}");
    }
}

#[test]
fn a_path_without_a_name_fills_no_folder_that_is_there() {
    let stage = Stage::new();
    for (path, hint) in [
        ("box:/", "box:/."),
        ("box:..", "box:../."),
        ("box:/srv/..", "box:/srv/../."),
    ] {
        for to in [".", "-", "other:/srv"] {
            let ran = stage.cp(&[path, to]);
            let said =
                format!("banger: `{path}` has no name to be copied under\nhint: {hint} is what is in it\n");
            assert_eq!((ran.code, ran.err), (2, said), "{path} to {to}");
        }
        stage.assert_untouched(path);
    }
}

#[test]
fn nothing_that_gives_rights_comes_out_of_a_vm_or_goes_on_to_another() {
    let stage = Stage::new();
    let program = stage.guest.join("tool");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6777)).unwrap();
    let path = format!("box:{}", program.display());
    for archive in [&[][..], &["-a"]] {
        for target in ["out", "between"] {
            let to = match target {
                "out" => "out".to_owned(),
                _ => format!("other:{}/between", stage.home.display()),
            };
            let ran = stage.cp(&[archive, &[path.as_str(), &to][..]].concat());
            assert_eq!(ran.code, 0, "{}", ran.err);
            let mode = stage.home.join(target).metadata().unwrap().mode() & 0o7777;
            assert_eq!(mode & 0o7000, 0, "{archive:?} {target}: {mode:o}");
            assert!(archive.is_empty() || mode == 0o777, "{target}: {mode:o}");
            fs::remove_file(stage.home.join(target)).unwrap();
        }
        let ran = stage.cp(&[archive, &[&path, "-"][..]].concat());
        let listed = listed(&ran.out);
        assert!(listed.starts_with("-rwxr"), "{listed}");
    }
}

#[test]
fn what_comes_out_obeys_the_umask_unless_it_is_to_be_as_it_was() {
    let stage = Stage::new();
    fs::create_dir(stage.guest.join("tree")).unwrap();
    fs::write(stage.guest.join("tree/file"), "x").unwrap();
    for path in ["tree", "tree/file"] {
        fs::set_permissions(stage.guest.join(path), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let path = format!("box:{}/tree", stage.guest.display());
    for (archive, mode) in [("", 0o750), ("-a", 0o777)] {
        let to = format!("out{archive}");
        let mut shell = Command::new("sh");
        let banger = stage.daemon.command(&[]);
        shell.env_clear().current_dir(&stage.home);
        for (name, value) in banger.get_envs() {
            shell.env(name, value.unwrap());
        }
        shell.args(["-c", "umask 027; exec \"$0\" vm cp $1 \"$2\" \"$3\""]);
        shell.arg(banger.get_program()).args([archive, &path, &to]);
        let ran = finished(&mut shell);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for below in ["", "file"] {
            let found = stage.home.join(&to).join(below).metadata().unwrap().mode() & 0o7777;
            assert_eq!(found, mode, "{archive} {below}: {found:o}");
        }
    }
}

#[test]
fn what_a_guest_calls_its_files_steers_no_terminal_and_fills_no_screen() {
    let stage = Stage::new();
    let name = format!("\u{1b}]0;x\u{7}\u{1b}[2J \u{202e}\u{200b}{}", "A".repeat(200));
    fs::write(stage.guest.join(&name), "evil").unwrap();
    let path = stage.lie(&[&name], "report.txt");
    for to in [".", "-", "other:/srv"] {
        let ran = stage.cp(&[&path, to]);
        assert_eq!(ran.code, 1);
        assert_eq!(ran.err.lines().count(), 1, "{:?}", ran.err);
        assert!(
            ran.err.contains(r"`\x1b]0;x\x07\x1b[2J \u{202e}\u{200b}AAA"),
            "{:?}",
            ran.err
        );
        assert!(!ran.err.trim_end().contains(char::is_control), "{:?}", ran.err);
    }
    stage.assert_untouched("escapes");
}
