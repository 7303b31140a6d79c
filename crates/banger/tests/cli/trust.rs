//! Whose daemon is spoken to: on each way to a socket, only the user's own or root's, in a folder of theirs.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::{FakeDaemon, Home};

/// Number of a user that is not the caller.
const STRANGER: u32 = 65534;

/// Listens, and prints what is sent to it, a line per connection.
const LISTENER: &str = "import os, socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind(sys.argv[1])\n\
    os.chmod(sys.argv[1], 0o777)\n\
    s.listen(20)\n\
    print('up', flush=True)\n\
    while True:\n\
    \x20   print(repr(s.accept()[0].recv(1 << 16)), flush=True)\n";

/// A daemon of another user; ends with this value.
struct Stranger {
    process: Child,
    /// What it was sent, a line per connection.
    heard: Receiver<String>,
}

impl Stranger {
    fn at(socket: &Path) -> Self {
        let id = STRANGER.to_string();
        let mut process = Command::new("setpriv")
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(["python3", "-c", LISTENER])
            .arg(socket)
            // A folder of the caller's own on PATH may be closed to the other user.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "up");
        let (hear, heard) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| hear.send(line)));
        Self { process, heard }
    }

    /// Ends it, once it has had so many connections. Gives what it was sent, a line per connection.
    fn end(mut self, connections: usize) -> Vec<String> {
        let next = || self.heard.recv_timeout(Duration::from_secs(60)).unwrap();
        let mut heard: Vec<String> = (0..connections).map(|_| next()).collect();
        self.process.kill().unwrap();
        heard.extend(self.heard.iter());
        heard
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("only root can run a daemon as another user");
    }
    root
}

/// Leaves the word that a daemon of this home listens at `socket`.
fn announce(home: &Home, socket: &Path) -> PathBuf {
    let state = home.path().join(".local/state/banger");
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    let file = state.join("bangerd.json");
    let text = format!("{{\"pid\": 1, \"socket\": {:?}}}", socket.to_str().unwrap());
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_daemon_of_another_user_gets_nothing_on_any_way_to_it() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = home.path().join("secret.env");
    fs::write(&secret, "TOKEN=hush\n").unwrap();
    // The folder that the daemon itself would use.
    let folder = home.path().join("run/banger");
    fs::create_dir_all(&folder).unwrap();
    chown(&folder, Some(STRANGER), Some(STRANGER)).unwrap();
    let socket = folder.join("bangerd.sock");
    let stranger = Stranger::at(&socket);
    let exec = [
        "vm",
        "exec",
        "box",
        "--env-file",
        secret.to_str().unwrap(),
        "--",
        "true",
    ];
    let runs = |told: &str| {
        for way in ["--socket", "BANGER_SOCKET", "bangerd.json"] {
            let named = ["--socket", socket.to_str().unwrap()];
            let arguments = match way {
                "--socket" => [&named[..], &exec].concat(),
                _ => exec.to_vec(),
            };
            let mut command = home.command(&arguments);
            command.env("XDG_RUNTIME_DIR", home.path().join("run"));
            match way {
                "BANGER_SOCKET" => drop(command.env("BANGER_SOCKET", &socket)),
                "bangerd.json" => drop(announce(&home, &socket)),
                _ => {}
            }
            let output = command.output().unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{way}: {err}");
            let lines: Vec<&str> = err.lines().collect();
            assert!(
                lines[0].starts_with("banger: ") && lines[0].contains(told),
                "{way}: {err}"
            );
            assert!(lines[0].contains(socket.to_str().unwrap()), "{way}: {err}");
            assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{way}: {err}");
        }
    };
    runs("belongs to uid 65534");
    // A folder of the caller's own by now: the listener itself is found out.
    chown(&folder, Some(0), Some(0)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    runs("belongs to uid 65534: nothing was sent to it");
    let heard = stranger.end(3);
    assert!(heard.iter().all(|sent| sent == "b''"), "{heard:?}");
    assert_eq!(home.daemons(), [], "none was started in its place");
}

#[test]
fn a_socket_that_is_another_users_by_now_does_not_keep_the_users_own_daemon_from_starting() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = home.path().join("left");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(STRANGER), Some(STRANGER)).unwrap();
    let stranger = Stranger::at(&folder.join("bangerd.sock"));
    announce(&home, &folder.join("bangerd.sock"));
    let (code, _, err) = home.run(&["daemon", "status"]);
    assert!(code == Some(1) && err.contains("belongs to uid 65534"), "{err}");
    let (code, _, err) = home.run(&["daemon", "stop"]);
    assert!(code == Some(1) && err.contains("belongs to uid 65534"), "{err}");
    let (code, out, err) = home.run(&["daemon", "start"]);
    let own = home.path().join("banger/bangerd.sock");
    assert!(
        code == Some(0) && out.contains(own.to_str().unwrap()),
        "{out}{err}"
    );
    assert_eq!(home.run(&["daemon", "stop"]).0, Some(0));
    let heard = stranger.end(0);
    assert!(heard.iter().all(|sent| sent == "b''"), "{heard:?}");
}

#[test]
fn a_socket_where_others_could_put_theirs_is_not_spoken_to() {
    let daemon = FakeDaemon::with_box();
    let folder = daemon.folder().to_owned();
    for mode in [0o777, 0o1777, 0o770] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        let found = daemon.run(&["ps"]);
        assert_eq!((found.code, found.out.as_str()), (1, ""), "{mode:o}");
        let told = format!(
            "{} has mode {mode:04o}, others can put files there",
            folder.display()
        );
        assert!(found.err.contains(&told), "{}", found.err);
        assert!(found.err.contains("hint: chmod go-w "), "{}", found.err);
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(daemon.run(&["ps"]).code, 0);
}

#[test]
fn a_state_folder_that_is_not_the_users_alone_is_refused() {
    let home = Home::new();
    let file = announce(&home, Path::new("/nowhere/bangerd.sock"));
    let state = file.parent().unwrap();
    fs::set_permissions(state, Permissions::from_mode(0o777)).unwrap();
    for arguments in [
        &["ps"][..],
        &["daemon", "status"],
        &["daemon", "socket"],
        &["daemon", "stop"],
    ] {
        let (code, out, err) = home.run(arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        let told = format!("{} has mode 0777, others can get at it", state.display());
        assert!(err.contains(&told), "{arguments:?}: {err}");
    }
    fs::set_permissions(state, Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        chown(state, Some(STRANGER), None).unwrap();
        let (code, _, err) = home.run(&["ps"]);
        assert!(
            code == Some(1) && err.contains("belongs to uid 65534, not to uid 0"),
            "{err}"
        );
        chown(state, Some(0), None).unwrap();
    }
    assert_eq!(home.daemons(), []);
    // What is no file means no daemon, and is never waited for.
    fs::remove_file(&file).unwrap();
    testkit::make_fifo(&file);
    assert_eq!(home.run(&["daemon", "status"]).1, "bangerd is not running\n");
    assert_eq!(home.run(&["daemon", "start"]).0, Some(0));
    assert_eq!(home.run(&["daemon", "stop"]).0, Some(0));
}

#[test]
fn a_configuration_that_others_can_change_is_not_read() {
    let home = Home::new();
    home.configure("idle_timeout = \"1m\"\n");
    let file = home.path().join(".config/banger/config.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o646)).unwrap();
    let (code, _, err) = home.run(&["ps"]);
    let told = format!("{} has mode 0646, others can change it", file.display());
    assert!(code == Some(1) && err.contains(&told), "{err}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    if is_root() {
        chown(&file, Some(STRANGER), None).unwrap();
        let (code, _, err) = home.run(&["ps"]);
        assert!(code == Some(1) && err.contains("belongs to uid 65534"), "{err}");
        chown(&file, Some(0), None).unwrap();
    }
    assert_eq!(home.run(&["ps"]).0, Some(0));
}
