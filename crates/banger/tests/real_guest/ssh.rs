//! Ssh into real guests, by `vm ssh` and by plain OpenSSH with banger's settings.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Home;
use crate::home::{finished, read_until, wait_for};

/// Until the image's init is done: before that, users other than root are told to come back later.
const BOOTED: &str =
    "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.2; done; systemctl is-system-running --wait";

impl Home {
    /// One of OpenSSH's programs with banger's settings, as after `ssh-config --install`.
    fn openssh(&self, program: &str, arguments: &[&str]) -> Command {
        let banger = self.command(&[]);
        let mut plain = Command::new(program);
        plain
            .arg("-F")
            .arg(self.state().join("ssh/config"))
            .args(arguments)
            .env_clear()
            .envs(banger.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        plain
    }

    fn succeeds_by(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.openssh(program, arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        output
    }
}

#[test]
fn ssh_reaches_a_guest_without_a_network_right_after_ready() {
    let home = Home::new();
    let name = ["--name", "a", "--network", "none", "--env", "MINE=a \"b\""];
    home.succeeds(&[&["vm", "run", "-d"], &name[..]].concat());
    // The image's own sshd is not even on its way yet.
    home.succeeds(&["vm", "ssh", "a", "true"]);
    assert_eq!(home.run(&["vm", "ssh", "a", "exit 3"]).code, Some(3));
    let words = home.succeeds(&[
        "vm",
        "ssh",
        "a",
        "--",
        "printf",
        "<%s>",
        "a b",
        "",
        "it's $HOME",
        "*",
    ]);
    assert_eq!(words, "<a b><><it's $HOME><*>");
    assert_eq!(
        home.succeeds(&["vm", "ssh", "a", "echo $((1 + 1)) | tr 2 3"]),
        "3\n"
    );
    home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", BOOTED]);
    let both = home.run(&["vm", "ssh", "a", "echo out; echo err >&2"]);
    assert_eq!((both.out.as_str(), both.err.as_str()), ("out\n", "err\n"));
    assert_eq!(
        home.succeeds(&["vm", "ssh", "a", "--", "printenv", "MINE"]),
        "a \"b\"\n"
    );
    let piped = home.run_with_stdin(&["vm", "ssh", "a", "cat"], b"hi\n");
    assert_eq!(finished(piped).out, "hi\n");

    // Nothing in the guest was touched for it: what a user keeps there is the user's.
    let touched = home.run(&["vm", "exec", "a", "--", "ls", "/root/.ssh/authorized_keys"]);
    assert_ne!(touched.code, Some(0), "{}", touched.out);
    home.succeeds(&["vm", "ssh", "a", "useradd -m ada"]);
    assert_eq!(home.succeeds(&["vm", "ssh", "a", "-l", "ada", "id -un"]), "ada\n");

    // What is left running in the background stays, and holds nobody up.
    let script = "nohup sleep 4321 >/dev/null 2>&1 & echo $!";
    let pid = home.succeeds(&["vm", "ssh", "a", script]);
    home.succeeds(&["vm", "exec", "a", "--", "kill", "-0", pid.trim()]);

    // A server that is not there, then one without its sshd.
    home.succeeds(&["vm", "exec", "a", "--", "mv", "/usr/sbin/sshd", "/root/sshd"]);
    let missing = home.run(&["vm", "ssh", "a", "true"]);
    assert_eq!((missing.code, missing.out.as_str()), (Some(1), ""));
    assert!(
        missing
            .err
            .starts_with("banger: `a` has no sshd\nhint: `banger vm shell a`"),
        "{}",
        missing.err
    );
    home.succeeds(&["vm", "stop", "a"]);
    let stopped = home.run(&["vm", "ssh", "a", "true"]);
    assert_eq!(stopped.code, Some(1));
    assert!(
        stopped.err.contains("start it first: banger vm start a"),
        "{}",
        stopped.err
    );
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn openssh_copies_forwards_and_knows_each_vm_by_its_own_key() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    home.succeeds(&["ssh-config", "--install"]);
    let config = fs::read_to_string(home.folder().join(".ssh/config")).unwrap();
    assert!(config.contains("Include \""), "{config}");

    // Copies, both ways, over sftp.
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (local, back) = (home.folder().join("a file"), home.folder().join("back"));
    fs::write(&local, &sent).unwrap();
    home.succeeds_by("scp", &[local.to_str().unwrap(), "a.vm:/root/a file"]);
    home.succeeds_by("scp", &["a.vm:/root/a file", back.to_str().unwrap()]);
    assert!(fs::read(&back).unwrap() == sent, "the copy differs");

    // Forwards: a local port into the guest, a port of the guest's to here, and a dynamic one.
    let port = free_port();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    let remote = format!("127.0.0.1:7000:127.0.0.1:{here}");
    let local = format!("127.0.0.1:{port}:127.0.0.1:7000");
    let dynamic = format!("127.0.0.1:{}", free_port());
    let ready = "echo ready; cat";
    let forwards = [
        "-R",
        &remote,
        "-L",
        &local,
        "-D",
        &dynamic,
        "-o",
        "ExitOnForwardFailure=yes",
    ];
    let mut session = home.spawn(
        home.openssh("ssh", &[&forwards[..], &["a.vm", ready]].concat())
            .stdin(Stdio::piped()),
    );
    read_until(session.stdout.as_mut().unwrap(), "ready\n");
    // Through the local port into the guest, and from its port 7000 back to this program.
    let mut there = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut arrived, _) = listener.accept().unwrap();
    there.write_all(b"round trip").unwrap();
    drop(there);
    let mut heard = String::new();
    arrived.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "round trip");
    // Ssh waits for what is forwarded.
    drop(arrived);
    assert!(TcpStream::connect(&dynamic).is_ok());
    drop(session.stdin.take());
    assert!(session.wait().unwrap().success());

    // A client that is killed takes its proxy and its session in the guest along.
    let script = "echo $PPID; exec sleep 4321";
    let mut client = home.spawn(&mut home.openssh("ssh", &["-tt", "a.vm", script]));
    let parent = read_until(client.stdout.as_mut().unwrap(), "\n")
        .trim()
        .to_owned();
    kill(Pid::from_raw(client.id().cast_signed()), Signal::SIGKILL).unwrap();
    client.wait().unwrap();
    let gone = format!("while kill -0 {parent} 2>/dev/null; do sleep 0.1; done; echo gone");
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", &gone]),
        "gone\n"
    );
    wait_for("the proxy's end", || {
        !home
            .processes()
            .iter()
            .any(|(_, line)| line.contains("ssh-proxy"))
    });

    // Another machine that answers under the name is refused, another VM of that name is not.
    let known = home.state().join("ssh/known_hosts");
    let before = fs::read_to_string(&known).unwrap();
    assert_eq!(before.lines().count(), 1);
    home.succeeds(&["vm", "delete", "a"]);
    assert_eq!(fs::read_to_string(&known).unwrap(), "");
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    home.succeeds_by("ssh", &["a.vm", "true"]);
    let after = fs::read_to_string(&known).unwrap();
    assert_ne!(after, before);
    let other = home.folder().join("other_hosts");
    fs::write(&other, &before).unwrap();
    let elsewhere = format!("UserKnownHostsFile={}", other.display());
    let refused = home
        .openssh("ssh", &["-o", &elsewhere, "a.vm", "true"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HOST IDENTIFICATION HAS CHANGED"));

    home.succeeds(&["ssh-config", "--uninstall"]);
    assert_eq!(fs::read_to_string(home.folder().join(".ssh/config")).unwrap(), "");
    home.succeeds(&["vm", "delete", "a"]);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
