//! Wrong usage: one line, a hint, exit code 2, and nobody is asked.

use crate::support::{FakeDaemon, Finished};

/// Runs each of them, and makes sure that the daemon was not even asked.
fn refused(commands: &[&[&str]]) -> String {
    let daemon = FakeDaemon::with_box();
    let mut screens = String::new();
    for arguments in commands {
        let refused = daemon.run(arguments);
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (2, ""),
            "{arguments:?}: {}",
            refused.err
        );
        assert!(
            refused.err.starts_with("banger: "),
            "{arguments:?}: {}",
            refused.err
        );
        screens.push_str(&format!(
            "$ banger {}\n{}\n",
            arguments.join(" "),
            refused.screen()
        ));
    }
    assert_eq!(daemon.calls(), Vec::<String>::new());
    screens
}

#[test]
fn a_bad_name_is_refused() {
    let long = "x".repeat(64);
    insta::assert_snapshot!(refused(&[
        &["vm", "run", "--name", "Box"],
        &["vm", "run", "--name", "a_b"],
        &["vm", "run", "--name", "-a"],
        &["vm", "run", "--name", "a-"],
        &["vm", "create", "--name", ""],
        &["vm", "create", "--name", "a.b"],
        &["vm", "create", "--name", "a\n\x1b[2Jb"],
        &["vm", "create", "--name", &long],
    ]));
}

#[test]
fn a_bad_size_is_refused() {
    insta::assert_snapshot!(refused(&[
        &["vm", "run", "--memory", "12Q"],
        &["vm", "run", "--memory", "-1"],
        &["vm", "run", "--memory", "64M"],
        &["vm", "run", "--memory", "99999999999999999999G"],
        &["vm", "run", "--disk-size", "1"],
        &["vm", "run", "--disk-size", "32T"],
        &["vm", "run", "--vcpu", "0"],
        &["vm", "run", "--vcpu", "65"],
        &["vm", "run", "--vcpu", "two"],
    ]));
}

#[test]
fn wrong_usage_is_one_line_and_a_hint() {
    insta::assert_snapshot!(refused(&[
        &["vmm"],
        &["craete", "--rm"],
        &["destroy", "box"],
        &["vm", "top"],
        &["vm", "pause", "box"],
        &["vm", "run", "--rn"],
        &["vm", "doctor"],
        &["vm", "rnu"],
        &["daemon", "strat"],
        &["daemon", "frobnicate"],
        &["vm", "ruin"],
        &["vm", "suspend", "box"],
        &["vm", "run", "--nme", "x"],
        &["vm", "run", "--publish", "80:0"],
        &["vm", "run", "--network", "nat"],
        &["vm", "run", "--name"],
        &["vm", "run", "--image", ""],
        &["vm", "run", "ls", "-l"],
        &["vm", "run", "-d", "--rm"],
        &["vm", "run", "-d", "--", "true"],
        &["vm", "run", "--rm", "--rm"],
        &["vm", "exec"],
        &["vm", "exec", "box"],
        &["vm", "exec", "box", "-l", "ls"],
        &["exec", "box"],
        &["vm", "stop"],
        &["vm", "forward", "box"],
        &["vm", "forward", "box", "web:80"],
        &["vm", "forward", "box", "80:80/sctp"],
        &["ps", "-q", "--json"],
        &["ps", "box"],
    ]));
}

#[test]
fn an_empty_value_is_refused_before_anything_is_made() {
    for (arguments, named) in [
        (&["vm", "run", "-d", "--name", ""][..], "--name"),
        (&["vm", "run", "-d", "--image", ""], "--image"),
        (&["vm", "run", "-d", "--kernel", ""], "--kernel"),
        (&["vm", "run", "-d", "--network", ""], "--network"),
        (&["vm", "run", "-d", "--publish", ""], "--publish"),
        (&["vm", "run", "-d", "--env", ""], "--env"),
        (&["vm", "run", "-d", "-e", "A=1", "-e", ""], "--env"),
        (&["vm", "run", "-d", "--env-file", ""], "--env-file"),
        (&["vm", "run", "-d", "--memory", ""], "--memory"),
        (&["vm", "run", "-d", ""], "PATH"),
        (&["vm", "run", "-w", "", "--", "true"], "--workdir"),
        (&["vm", "run", "--workdir=", "--", "true"], "--workdir"),
        (&["run", "--user", "", "--", "true"], "--user"),
        (&["vm", "run", ".", "--export", "", "--", "true"], "--export"),
        (&["vm", "run", ".", "--branch", "", "--", "true"], "--branch"),
        (&["vm", "run", ".", "--from", "", "--", "true"], "--from"),
        (&["vm", "exec", "-w", "", "box", "true"], "--workdir"),
        (&["vm", "exec", "box", "--user", "", "--", "true"], "--user"),
        (&["exec", "", "true"], "REF"),
        (&["vm", "shell", "--user", "", "box"], "--user"),
        (&["vm", "stop", "box", ""], "REF"),
        (&["vm", "show", ""], "REF"),
        (&["vm", "ssh", "", "ls"], "REF"),
        (&["vm", "stats", ""], "REF"),
        (&["vm", "cp", "", "box:/srv"], "SRC"),
        (&["cp", "x", ""], "DST"),
        (&["vm", "workspace", "prepare", "box", ""], "PATH"),
        (
            &["vm", "workspace", "prepare", "box", ".", "--user", ""],
            "--user",
        ),
        (&["vm", "workspace", "export", "box", "-o", ""], "--output"),
        (&["vm", "workspace", "export", "box", "--base", ""], "--base"),
        (&["vm", "workspace", "apply", "box", "--branch", ""], "--branch"),
        (&["image", "pull", ""], "IMAGE"),
        (&["image", "pull", "x", "--name", ""], "--name"),
        (&["image", "delete", ""], "IMAGE"),
        (&["image", "export", "x", "-o", ""], "--output"),
        (&["kernel", "pull", ""], "KERNEL"),
        (&["kernel", "delete", ""], "KERNEL"),
        (&["ps", "--socket", ""], "--socket"),
    ] {
        let screen = refused(&[arguments]);
        let line = screen.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("2> banger: {named}")), "{screen}");
    }
}

#[test]
fn the_words_of_a_command_may_be_empty() {
    let daemon = FakeDaemon::with_box();
    let ran = daemon.run(&["vm", "exec", "box", "--", "printf", "%s|", "", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "|a|"), "{}", ran.err);
}

#[test]
fn a_shell_needs_a_terminal() {
    insta::assert_snapshot!(refused(&[
        &["vm", "run"],
        &["vm", "run", "--rm"],
        &["vm", "shell", "box"]
    ]));
}

#[test]
fn variables_that_cannot_be_are_refused() {
    let daemon = FakeDaemon::with_box();
    let file = daemon.folder().join("web.env");
    std::fs::write(&file, "A=1\n\n=2\n").unwrap();
    let path = file.to_str().unwrap();
    let run = |arguments: &[&str]| -> Finished {
        let mut finished = daemon.run(arguments);
        finished.err = finished
            .err
            .replace(daemon.folder().to_str().unwrap(), "<folder>");
        finished
    };
    let screens = [
        run(&["vm", "create", "--env", "=x"]),
        run(&["vm", "exec", "--env", "A B=x", "box", "--", "true"]),
        run(&["vm", "create", "--env-file", path]),
        run(&["vm", "create", "--env-file", "/nowhere"]),
    ];
    insta::assert_snapshot!(screens.map(|screen| screen.screen()).join("\n"));
    assert_eq!(daemon.calls(), Vec::<String>::new());
}

#[test]
fn help_goes_to_stdout_if_asked_for_and_else_to_stderr() {
    let daemon = FakeDaemon::with_box();
    for arguments in [
        &["--help"][..],
        &["help", "vm", "run"],
        &["vm", "-h"],
        &["--version"],
    ] {
        let helped = daemon.run(arguments);
        assert_eq!((helped.code, helped.err.as_str()), (0, ""), "{arguments:?}");
        assert!(helped.out.contains("banger"), "{arguments:?}: {}", helped.out);
    }
    for arguments in [&[][..], &["vm"]] {
        let lost = daemon.run(arguments);
        assert_eq!((lost.code, lost.out.as_str()), (2, ""), "{arguments:?}");
        assert!(lost.err.contains("Usage: banger"), "{arguments:?}: {}", lost.err);
    }
}

/// Whether this first word is short for a verb of a group.
fn is_short_form(daemon: &FakeDaemon, word: &str) -> bool {
    daemon
        .run(&[word, "--help"])
        .out
        .starts_with("Short for `banger ")
}

/// The commands that a help screen lists.
fn commands_in(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    // What belongs to a line above it is indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_help_screen_is_as_it_was_looked_at() {
    let daemon = FakeDaemon::with(Vec::new());
    let mut commands = vec![Vec::new()];
    while let Some(command) = commands.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = daemon.run(&arguments).out;
        insta::assert_snapshot!(format!("help_{}", command.join("_")), help);
        for name in commands_in(&help).into_iter().filter(|name| name != "help") {
            commands.push([command.as_slice(), &[name]].concat());
        }
        // Short forms have the help of the verbs that they stand for.
        commands.retain(|command| command.len() != 1 || !is_short_form(&daemon, &command[0]));
    }
    insta::assert_snapshot!("help_short", daemon.run(&[]).err);
}
