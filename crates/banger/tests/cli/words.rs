//! Words that come from other tools: short forms of verbs and flags, a command without `--`, and `--start`.

use api::VmState;

use crate::support::{FakeDaemon, vm};

fn daemon() -> FakeDaemon {
    FakeDaemon::with(vec![
        vm("web", 'a', VmState::Running),
        vm("off", 'b', VmState::Stopped),
        vm("new", 'c', VmState::Created),
    ])
}

#[test]
fn short_forms_do_what_the_grouped_verbs_do() {
    let daemon = daemon();
    for (short, long) in [
        (
            &["exec", "web", "echo", "hi"][..],
            &["vm", "exec", "web", "--", "echo", "hi"][..],
        ),
        (&["ls", "-q"], &["vm", "list", "-q"]),
        (&["logs", "web"], &["vm", "logs", "web"]),
        (&["stats", "nobody"], &["vm", "stats", "nobody"]),
        (&["stop", "-q", "nobody"], &["vm", "stop", "-q", "nobody"]),
        (&["rm", "nobody"], &["vm", "delete", "nobody"]),
        (&["vm", "rm", "nobody"], &["vm", "delete", "nobody"]),
        (&["image", "rm", "nothing"], &["image", "delete", "nothing"]),
        (&["run"], &["vm", "run"]),
    ] {
        let (short, long) = (daemon.run(short), daemon.run(long));
        assert_eq!(short.screen(), long.screen());
    }
    assert_eq!(daemon.run(&["stop", "-q", "web"]).out, "web\n");
    assert_eq!(daemon.run(&["start", "-q", "web"]).out, "web\n");
    assert_eq!(daemon.run(&["restart", "-q", "web"]).out, "web\n");
    assert_eq!(daemon.run(&["rm", "-q", "web"]).out, "web\n");
    assert!(daemon.vm("web").is_none());
    let ran = daemon.run(&["run", "-q", "--rm", "-w", "/tmp", "--", "pwd"]);
    assert_eq!(ran.out, "/tmp\n", "{}", ran.err);
}

#[test]
fn a_short_form_has_the_help_of_the_verb_that_it_stands_for() {
    let daemon = daemon();
    for (word, full) in [
        ("run", "vm run"),
        ("exec", "vm exec"),
        ("shell", "vm shell"),
        ("ssh", "vm ssh"),
        ("cp", "vm cp"),
        ("ls", "vm list"),
        ("logs", "vm logs"),
        ("stats", "vm stats"),
        ("start", "vm start"),
        ("stop", "vm stop"),
        ("restart", "vm restart"),
        ("rm", "vm delete"),
        ("pull", "image pull"),
        ("build", "image build"),
    ] {
        let help = |words: &str| {
            daemon
                .run(&[&words.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat())
                .out
        };
        let (short, long) = (help(word), help(full));
        let said = format!("Short for `banger {full}`.\n\n");
        let usage = |help: &str, words: &str| {
            help.replace(&format!("Usage: banger {words} "), "Usage: ")
                .replace(&format!("Usage: banger {words}\n"), "Usage: ")
        };
        assert_eq!(
            usage(&short, word),
            format!("{said}{}", usage(&long, full)),
            "{word}"
        );
    }
}

#[test]
fn a_command_begins_at_its_first_word_or_after_two_dashes() {
    let daemon = FakeDaemon::with_box();
    for (words, out) in [
        (&["box", "echo", "-n", "-it", "--user", "x"][..], "-it --user x"),
        (&["box", "-e", "A=1", "sh", "-c", "echo $A"], "1\n"),
        (
            &["-w", "/tmp", "box", "-e", "A=1", "--", "sh", "-c", "echo $A $PWD"],
            "1 /tmp\n",
        ),
        (&["box", "echo", "--", "a"], "-- a\n"),
        (&["box", "--", "echo", "--", "a"], "-- a\n"),
        (&["box", "printf", "%s\n", "--help"], "--help\n"),
        (&["box", "echo", "--socket", "/nowhere"], "--socket /nowhere\n"),
    ] {
        for verb in [&["exec"][..], &["vm", "exec"]] {
            let ran = daemon.run(&[verb, words].concat());
            assert_eq!((ran.out.as_str(), ran.code), (out, 0), "{words:?}: {}", ran.err);
        }
    }
    let calls = daemon.calls().len();
    for words in [
        &["vm", "exec", "--", "box", "true"][..],
        &["exec", "--", "box"],
        &["exec", "-i", "--", "rm", "-rf", "x"],
    ] {
        let refused = daemon.run(words);
        assert_eq!(refused.code, 2, "{words:?}");
        assert!(refused.err.starts_with("banger: "), "{}", refused.err);
    }
    assert_eq!(daemon.calls().len(), calls, "nothing of it was asked for");
    insta::assert_snapshot!(daemon.run(&["exec", "--", "rm", "-rf", "x"]).screen());
}

#[test]
fn an_image_where_a_folder_belongs_is_answered_with_the_flag_for_images() {
    let daemon = daemon();
    let screens = [
        &["vm", "run", "alpine"][..],
        &["run", "-it", "alpine:3.19", "sh"],
        &["run", "--rm", "ghcr.io/org/app:2", "--", "true"],
        &["vm", "create", "alpine"],
        // None of these can be an image.
        &["vm", "run", "./alpine"],
        &["vm", "run", "/no/where"],
    ]
    .map(|words| format!("$ banger {}\n{}", words.join(" "), daemon.run(words).screen()));
    insta::assert_snapshot!(screens.join("\n"));
    assert_eq!(daemon.calls(), Vec::<String>::new());
}

#[test]
fn a_vm_that_is_off_is_started_first_if_that_is_asked_for() {
    let daemon = daemon();
    let folder = daemon.folder().join("home");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "inside").unwrap();
    let path = folder.display();
    let started = |name: &str| {
        daemon
            .calls()
            .iter()
            .filter(|call| **call == format!("start {name}"))
            .count()
    };
    let ran = daemon.run(&["exec", "--start", "off", "echo", "hi"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hi\n"), "{}", ran.err);
    assert_eq!(daemon.vm("off").unwrap().state, VmState::Running);
    let again = daemon.run(&["vm", "exec", "off", "--start", "--", "echo", "hi"]);
    assert_eq!((again.out.as_str(), again.err.as_str()), ("hi\n", ""), "it runs");
    assert_eq!((started("off"), started("web")), (1, 0));
    let copied = daemon.run(&[
        "cp",
        "--start",
        &format!("{path}/file"),
        &format!("new:{path}/copy"),
    ]);
    assert_eq!(copied.code, 0, "{}", copied.err);
    assert_eq!(started("new"), 1);
    daemon.run(&["stop", "off", "new"]);
    let between = format!("off:{path}/between");
    let copied = daemon.run(&["cp", "-q", "--start", &format!("new:{path}/copy"), &between]);
    assert_eq!((copied.code, copied.err.as_str()), (0, ""));
    assert_eq!((started("off"), started("new")), (2, 2), "both ends");
    daemon.run(&["stop", "off"]);
    // What ssh says of it is its own affair here.
    daemon.run(&["ssh", "--start", "off", "true"]);
    assert_eq!(started("off"), 3);
    assert_eq!(daemon.run(&["exec", "--start", "nobody", "true"]).code, 1);
}

#[test]
fn flags_that_other_tools_want_for_what_is_done_anyway_are_taken() {
    let daemon = daemon();
    for (plain, more) in [
        (&["ls", "-q"][..], &["ls", "-a", "-q"][..]),
        (&["vm", "list", "-q"], &["vm", "ls", "-aq"]),
        (&["vm", "list", "--json"], &["vm", "list", "--all", "--json"]),
        (&["image", "ls", "-q"], &["image", "ls", "-aq"]),
    ] {
        let (plain, more) = (daemon.run(plain), daemon.run(more));
        assert_eq!((more.code, more.err.as_str()), (0, ""));
        assert_eq!(plain.out, more.out);
    }
    let folder = daemon.folder().join("tree");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    std::fs::write(folder.join("below/file"), "inside").unwrap();
    let (from, to) = (folder.to_str().unwrap(), daemon.folder().join("to"));
    std::fs::create_dir(&to).unwrap();
    for flag in ["-r", "-R", "--recursive", "-a", "-ar"] {
        let target = to.join(flag);
        let copied = daemon.run(&["cp", "-q", flag, from, &format!("web:{}", target.display())]);
        assert_eq!((copied.code, copied.err.as_str()), (0, ""), "{flag}");
        assert!(target.join("below/file").exists(), "{flag}");
    }
}

#[test]
fn what_needs_a_running_vm_names_the_flag_that_boots_one() {
    let daemon = daemon();
    for arguments in [
        &["exec", "off", "true"][..],
        &["ssh", "off", "true"],
        &["cp", "off:/etc/hosts", "."],
        &["vm", "cp", "off:/etc/hosts", "box:/srv"],
    ] {
        let refused = daemon.run(arguments);
        assert_eq!(refused.code, 1, "{arguments:?}");
        let hint = "\nhint: start it first: banger vm start off, or have this command do it: --start\n";
        assert!(refused.err.ends_with(hint), "{arguments:?}: {}", refused.err);
    }
}

#[test]
fn a_signal_while_a_vm_is_started_for_a_command_cancels_the_start() {
    let daemon = daemon();
    daemon.hang("start");
    let mut client = daemon.start(&["exec", "--start", "off", "echo", "hi"]);
    daemon.wait_for_call("start off");
    client.read_err_until("\n");
    client.signal(nix::sys::signal::Signal::SIGINT);
    let done = client.finish();
    assert_eq!((done.code, done.out.as_str()), (130, ""), "{}", done.err);
}
