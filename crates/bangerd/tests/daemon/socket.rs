//! The daemon's socket, as others meet it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Daemon, command};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_socket_is_for_its_owner_only() {
    let daemon = Daemon::start();
    assert_eq!(mode(&daemon.socket), 0o600);
    assert_eq!(mode(daemon.socket.parent().unwrap()), 0o700);
    let request = "GET /v1/version HTTP/1.1\r\nhost: banger\r\nconnection: close\r\n\r\n";
    assert!(ask(&daemon.socket, request).starts_with("HTTP/1.1 200 "));
    if !nix::unistd::geteuid().is_root() {
        println!("only root can try the socket as somebody else; the modes were checked");
        return;
    }
    // Even where the modes let somebody in, the peer's uid does not.
    for folder in daemon
        .socket
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(daemon.home.path()))
    {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&daemon.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let stranger = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "curl",
            "--silent",
            "--show-error",
        ])
        .args(["--max-time", "20", "--unix-socket"])
        .arg(&daemon.socket)
        .arg("http://banger/v1/version")
        .output()
        .unwrap();
    assert!(
        !stranger.status.success() && stranger.stdout.is_empty(),
        "{stranger:?}"
    );
    let log = fs::read_to_string(daemon.home.path().join(".local/state/banger/bangerd.log")).unwrap();
    assert!(
        log.contains("refused a connection of another user") && log.contains("uid=65534"),
        "{log}"
    );
}

#[test]
fn a_request_that_is_no_request_gets_an_error_of_the_api() {
    let daemon = Daemon::start();
    let cases = [
        (
            "GET /v1/nothing HTTP/1.1\r\nhost: banger\r\nconnection: close\r\n\r\n",
            "404",
            "not_found",
        ),
        (
            "GET /v1/vms/none HTTP/1.1\r\nhost: banger\r\nconnection: close\r\n\r\n",
            "404",
            "vm_not_found",
        ),
        (
            "POST /v1/vms HTTP/1.1\r\nhost: banger\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: 13\r\n\r\n{\"color\":true}",
            "400",
            "bad_request",
        ),
    ];
    for (request, status, code) in cases {
        let answer = ask(&daemon.socket, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"code\":\"{code}\"")),
            "{request}: {answer}"
        );
    }
    let mut garbage = UnixStream::connect(&daemon.socket).unwrap();
    garbage
        .write_all(&[0xa5; 100_000])
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => Ok(()),
            _ => Err(error),
        })
        .unwrap();
    // And it still answers.
    assert!(ask(&daemon.socket, cases[1].0).contains("vm_not_found"));
}

#[test]
fn a_second_daemon_leaves_the_first_one_its_state() {
    let daemon = Daemon::start();
    let second = command(daemon.home.path(), &["--announce"]).output().unwrap();
    assert!(second.status.success());
    assert_eq!(
        String::from_utf8(second.stdout).unwrap(),
        format!("ready {}\n", daemon.socket.display())
    );
}

#[test]
fn migrations_are_told_by_the_exit_code() {
    let daemon = Daemon::start();
    let checked = command(daemon.home.path(), &["--check-migrations"])
        .output()
        .unwrap();
    assert_eq!(
        (checked.status.code(), checked.stdout),
        (Some(0), b"compatible\n".to_vec())
    );
    let fresh = tempfile::tempdir().unwrap();
    let checked = command(fresh.path(), &["--check-migrations"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
}

#[test]
fn a_home_that_others_can_change_leads_the_daemon_to_no_other_folder() {
    let root = tempfile::tempdir().unwrap();
    let (home, elsewhere) = (root.path().join("home"), root.path().join("elsewhere"));
    for folder in [&home.join(".local/state"), &elsewhere] {
        fs::create_dir_all(folder).unwrap();
    }
    let open = |path: &Path, bits| fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
    open(&elsewhere, 0o755);
    std::os::unix::fs::symlink(&elsewhere, home.join(".local/state/banger")).unwrap();
    open(&home, 0o777);

    let ended = command(&home, &["--announce"]).output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    let line = format!(
        "bangerd: cannot keep files there: {} has mode 0777",
        home.display()
    );
    assert!(said.starts_with(&line), "{said}");
    assert_eq!(mode(&elsewhere), 0o755);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn the_daemon_has_all_descriptors_that_its_hard_limit_allows() {
    let home = tempfile::tempdir().unwrap();
    let plain = command(home.path(), &[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -n 256 && exec \"$0\" --announce"]);
    limited.arg(plain.get_program()).env_clear();
    for (name, value) in plain.get_envs() {
        limited.env(name, value.unwrap());
    }
    let daemon = Daemon::start_command(limited, home);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let mut values = line.split_whitespace();
    let (soft, hard) = (values.next().unwrap(), values.next().unwrap());
    assert_eq!(soft, hard);
    assert_ne!(soft, "256", "this test needs a hard limit that is higher");
}
