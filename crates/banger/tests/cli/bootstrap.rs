//! Tools that a repository names for mise, installed by a mise that notes what it is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{Finished, Terminal, Workshop, wait_for};

fn workshop(mise: Option<&str>) -> Workshop {
    let workshop = Workshop::new();
    workshop.write("mise.toml", "[tools]\nnode = \"22\"\n");
    workshop.git(&["add", "-A"]);
    let bin = workshop.daemon.folder().join("guest/root/.local/bin");
    fs::create_dir_all(&bin).unwrap();
    if let Some(script) = mise {
        let path = bin.join("mise");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    workshop
}

fn run(workshop: &Workshop, more: &[&str]) -> Finished {
    let top = workshop.top.to_str().unwrap();
    let arguments = [&["vm", "run", top, "--name", "new"], more].concat();
    workshop.daemon.run(&arguments)
}

/// Says how it was called, and where.
const TELLS: &str = "echo \"mise $* in ${PWD##*/}, yes $MISE_YES, trusts ${MISE_TRUSTED_CONFIG_PATHS##*/}\"";

#[test]
fn a_vm_that_is_left_running_has_its_tools_when_its_name_is_printed() {
    let workshop = workshop(Some(TELLS));
    let ran = run(&workshop, &["-d"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "new\n"), "{}", ran.err);
    let told = "  tools   mise installs what mise.toml names\nmise install in repo, yes 1, trusts repo\n";
    assert!(ran.err.ends_with(told), "{}", ran.err);
}

#[test]
fn tools_are_installed_in_the_background_of_a_shell_with_a_log() {
    let workshop = workshop(Some(TELLS));
    let top = workshop.top.to_str().unwrap();
    let mut terminal = Terminal::open();
    let client = terminal.run(&workshop.daemon, &["vm", "run", top, "--name", "new"]);
    let screen = terminal.read_until("mise.log");
    assert!(
        screen.contains("in the background: new:/root/.cache/banger/mise.log"),
        "{screen}"
    );
    let log = workshop.daemon.folder().join("guest/root/.cache/banger/mise.log");
    let logged = || fs::read_to_string(&log).unwrap_or_default();
    wait_for("mise's end", || logged().ends_with("mise install ended with 0\n"));
    assert!(
        logged().starts_with("mise install in repo, yes 1"),
        "{}",
        logged()
    );
    terminal.read_until("shell 24x80");
    terminal.type_keys(b"exit\r");
    assert_eq!(client.finish().code, 0);
}

#[test]
fn a_command_begins_without_tools_and_so_does_whoever_wants_none() {
    let workshop = workshop(Some("echo called; exit 1"));
    let ran = run(&workshop, &["-q", "--", "true"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(workshop.daemon.run(&["vm", "delete", "new"]).code, 0);
    fs::remove_dir_all(workshop.daemon.folder().join("guest/root/repo")).unwrap();
    let ran = run(&workshop, &["-d", "-q", "--no-bootstrap"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn tools_without_a_network_are_refused_before_there_is_a_vm() {
    let workshop = workshop(Some(TELLS));
    let refused = run(&workshop, &["-d", "--network", "none"]);
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.err,
        "banger: the tools that mise.toml names are installed over the network, and this VM has none\n\
         hint: --network user gives it one, --no-bootstrap leaves the tools out\n"
    );
    assert_eq!(workshop.daemon.names(), ["box", "off"]);
}

#[test]
fn a_mise_that_fails_says_why_and_a_guest_without_one_is_a_warning() {
    let failing = workshop(Some("echo no such tool >&2; exit 4"));
    let failed = run(&failing, &["-d", "-q"]);
    assert_eq!((failed.code, failed.out.as_str()), (1, ""));
    assert!(
        failed.err.starts_with("no such tool\nbanger: ")
            && failed
                .err
                .contains("`mise install` for mise.toml ended with 4\nhint: --no-bootstrap"),
        "{}",
        failed.err
    );
    let none = run(&workshop(None), &["-d", "-q"]);
    let told = "banger: warning: the VM has no mise: the tools that mise.toml names are not installed\n";
    assert_eq!((none.code, none.err.as_str()), (0, told));
}

#[test]
fn downloads_that_the_user_shares_go_to_each_vm_and_none_come_back() {
    let tells = "cat /dev/null; find \"${PWD%/repo}/.local/share/mise/downloads\" -type f | sort | sed 's|.*/downloads/|has |'; \
                 echo \"keeps ${MISE_ALWAYS_KEEP_DOWNLOAD:-nothing}\"; \
                 echo poison > \"${PWD%/repo}/.local/share/mise/downloads/node/22/node.tar.gz\"; \
                 echo new > \"${PWD%/repo}/.local/share/mise/downloads/node/22/other.tar.gz\"";
    let workshop = workshop(Some(tells));
    let shared = workshop.daemon.folder().join(".cache/banger/mise");
    fs::create_dir_all(shared.join("node/22")).unwrap();
    fs::write(shared.join("node/22/node.tar.gz"), "as it was").unwrap();
    let outside = workshop.daemon.folder().join("outside");
    fs::write(&outside, "secret").unwrap();
    std::os::unix::fs::symlink(&outside, shared.join("node/22/link")).unwrap();
    let ran = run(&workshop, &["-d"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.ends_with("has node/22/node.tar.gz\nkeeps 1\n"),
        "{}",
        ran.err
    );
    assert_eq!(
        fs::read_to_string(shared.join("node/22/node.tar.gz")).unwrap(),
        "as it was"
    );
    assert_eq!(fs::read_dir(shared.join("node/22")).unwrap().count(), 2);
}
