//! `banger vm ssh` with a stand-in for ssh, the proxy that ssh runs, and `banger ssh-config`.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Client, FakeDaemon};

/// What the stand-in does: it says what it was given, and ends in a way of its own.
const SSH: &str = "#!/bin/sh\nfor word; do printf '<%s>\\n' \"$word\"; done\necho err >&2\nexit 3\n";

impl FakeDaemon {
    /// `banger` with these arguments, and the stand-in before every other ssh.
    fn with_ssh(&self, arguments: &[&str]) -> Client {
        let folder = self.folder().join("bin");
        fs::create_dir_all(&folder).unwrap();
        // Written by another process: a fork of another test's would hold a file of ours open for writing.
        let written = Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", SSH])
            .arg(folder.join("ssh"))
            .status();
        assert!(written.unwrap().success());
        let path = format!("{}:/usr/bin:/bin", folder.display());
        Client::of(
            self.command(arguments)
                .env("PATH", path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    }

    /// The words that ssh gets after its settings.
    fn ssh_gets(&self, arguments: &[&str]) -> Vec<String> {
        let ran = self.with_ssh(arguments).finish();
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (3, "err\n"),
            "the code is ssh's own"
        );
        let words: Vec<String> = ran.out.lines().map(str::to_owned).collect();
        let config = self.folder().join("config");
        assert_eq!(words[..2], ["<-F>".to_owned(), format!("<{}>", config.display())]);
        assert!(fs::read_to_string(config).unwrap().contains("Host *.vm"));
        words[2..].to_vec()
    }
}

#[test]
fn ssh_gets_its_words_as_they_are_and_gives_the_code() {
    let daemon = FakeDaemon::with_box();
    let gets = |words: &[&str]| daemon.ssh_gets(&[&["vm", "ssh"], words].concat());
    assert_eq!(gets(&["box"]), ["<box.vm>"]);
    assert_eq!(gets(&[&"b".repeat(32)]), ["<box.vm>"], "an id leads to the name");
    assert_eq!(gets(&["box.vm"]), ["<box.vm>"]);
    assert_eq!(
        gets(&["box", "-L", "8080:localhost:80", "-h", "--help", "ls | wc", "a b"]),
        [
            "<box.vm>",
            "<-L>",
            "<8080:localhost:80>",
            "<-h>",
            "<--help>",
            "<ls | wc>",
            "<a b>"
        ]
    );
    assert_eq!(
        gets(&["box", "-t", "--", "printf", "%s\\n", "a b", "it's", "--"]),
        [
            "<box.vm>",
            "<-t>",
            "<-->",
            "<printf>",
            "<'%s\\n'>",
            "<'a b'>",
            "<'it'\\''s'>",
            "<-->"
        ]
    );
}

#[test]
fn a_vm_that_ssh_cannot_get_into_is_one_line_before_ssh_runs() {
    let daemon = FakeDaemon::with_box();
    daemon.refuse("ssh");
    let screen = daemon.with_ssh(&["vm", "ssh", "box", "true"]).finish().screen();
    insta::assert_snapshot!(screen);
    let unknown = daemon.with_ssh(&["vm", "ssh", "nobody"]).finish();
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""), "{}", unknown.err);
    let first = daemon.with_ssh(&["vm", "ssh", "-L", "1:a:2", "box"]).finish();
    assert_eq!(first.code, 2, "{}", first.err);
    assert!(first.err.contains("follow the VM"), "{}", first.err);
}

#[test]
fn the_proxy_carries_bytes_until_both_sides_have_ended() {
    let daemon = FakeDaemon::with_box();
    let all: Vec<u8> = (0..=255).cycle().take(300_000).filter(u8::is_ascii).collect();
    let ran = daemon.run_with_stdin(&["internal", "ssh-proxy", "box.vm"], &all);
    let heard = String::from_utf8(all.to_ascii_uppercase()).unwrap();
    assert_eq!(ran.err, "");
    assert!(
        ran.code == 0 && ran.out == format!("{heard}bye\n"),
        "{} bytes",
        ran.out.len()
    );
    assert!(daemon.calls().contains(&"ssh box".to_owned()));
    // Ssh ends its proxy this way once it is done.
    let mut client = daemon.start(&["internal", "ssh-proxy", "box.vm"]);
    assert_eq!(client.read_out_until("\n"), "bye\n");
    client.close_out();
    client.finish();
    let unknown = daemon.run(&["internal", "ssh-proxy", "nobody.vm"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("`nobody`"), "{}", unknown.err);
}

#[test]
fn ssh_config_touches_the_users_file_only_when_told_to() {
    let daemon = FakeDaemon::with_box();
    let file = daemon.folder().join(".ssh/config");
    let printed = daemon.run(&["ssh-config"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert!(printed.out.contains("Host *.vm"), "{}", printed.out);
    assert!(printed.out.contains("internal ssh-proxy"), "{}", printed.out);
    daemon.with_ssh(&["vm", "ssh", "box"]).finish();
    assert!(!file.parent().unwrap().exists());

    let settings = daemon.folder().join("config");
    for _ in 0..2 {
        let installed = daemon.run(&["ssh-config", "--install"]);
        assert_eq!(
            (installed.code, installed.out.as_str()),
            (0, ""),
            "{}",
            installed.err
        );
        let text = fs::read_to_string(&file).unwrap();
        let include = format!("Include \"{}\"", settings.display());
        assert_eq!(text.lines().nth(1), Some(include.as_str()));
        assert_eq!(text.lines().count(), 3);
    }
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("Host mine\n");
    fs::write(&file, text).unwrap();
    assert_eq!(daemon.run(&["ssh-config", "--uninstall"]).code, 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "Host mine\n");
    assert_eq!(daemon.run(&["ssh-config", "--uninstall"]).code, 0);
    assert_eq!(daemon.run(&["ssh-config", "--install", "--uninstall"]).code, 2);
}

#[test]
fn doctor_tells_whether_ssh_knows_vms_by_name() {
    let daemon = FakeDaemon::with_box();
    let says = || {
        let report = daemon.with_ssh(&["doctor", "--json"]).finish().out;
        let report: api::Report = serde_json::from_str(&report).unwrap();
        let check = report
            .checks
            .into_iter()
            .find(|check| check.name == "ssh")
            .unwrap();
        (check.state, check.message, check.hint)
    };
    let (state, message, _) = says();
    assert_eq!(state, api::CheckState::Pass);
    assert!(message.contains("`banger ssh-config --install`"), "{message}");

    daemon.run(&["ssh-config", "--install"]);
    let (state, message, _) = says();
    assert_eq!(state, api::CheckState::Pass);
    assert!(message.starts_with("`ssh NAME.vm` works"), "{message}");

    let file = daemon.folder().join(".ssh/config");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("Include \"", "Include \"/old")).unwrap();
    let (state, message, hint) = says();
    assert_eq!(state, api::CheckState::Warn, "{message}");
    assert_eq!(hint.as_deref(), Some("banger ssh-config --install"));

    fs::write(&file, text.lines().next().unwrap()).unwrap();
    let (state, message, _) = says();
    assert_eq!(state, api::CheckState::Warn);
    assert!(message.contains("markers do not make one block"), "{message}");
}
