//! Pages of `docs/` that are to be followed, done as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Home;
use crate::home::binaries;

const TUTORIAL: &str = include_str!("../../../../docs/tutorial.md");
const EDITORS: &str = include_str!("../../../../docs/ide.md");
/// What comes between the output of one command and the next; no command prints it.
const MARK: &str = "=== tutorial: exit code ";

/// A command of a `console` block, and the lines that follow it there.
#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    command: &'a str,
    shown: Vec<&'a str>,
}

fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut in_console = false;
    for line in page.lines() {
        match (in_console, line) {
            (_, "```console") => in_console = true,
            (_, "```") => in_console = false,
            (true, line) => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step {
                    command,
                    shown: Vec::new(),
                }),
                None => steps.last_mut().unwrap().shown.push(line),
            },
            _ => {}
        }
    }
    steps
}

/// Whether lines are those that are shown: a line `…` stands for any number of lines, `…` in a line for anything.
fn agree(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skip| agree(rest, &printed[skip..])),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| is_like(line, first) && agree(rest, others)),
    }
}

fn is_like(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut left) = parts.next().and_then(|begin| printed.strip_prefix(begin)) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        is_open = true;
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.is_empty() || (is_open && shown.ends_with('…'))
}

#[test]
fn the_tutorial_does_what_it_says() {
    follow(TUTORIAL);
}

#[test]
fn what_editors_need_works_as_their_page_says() {
    follow(EDITORS);
}

/// Does all steps of a page in a home of their own, in one shell.
fn follow(page: &str) {
    let steps = steps(page);
    assert!(steps.len() > 10, "the page has its blocks");
    let home = Home::new();
    let tools = home.folder().join("bin");
    fs::create_dir(&tools).unwrap();
    fs::create_dir(home.folder().join(".ssh")).unwrap();
    // OpenSSH looks for its settings where the account's home is, whatever HOME says.
    for program in ["ssh", "scp", "sftp"] {
        let path = tools.join(program);
        let script =
            format!("#!/bin/sh\nPATH=${{PATH#*/bin:}} exec {program} -F \"$HOME/.ssh/config\" \"$@\"\n");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut script = format!("PATH={}:{}:$PATH\ncd\n", tools.display(), binaries().display());
    for step in &steps {
        script += &format!("{}\necho \"{MARK}$?\"\n", step.command);
    }
    let path = home.folder().join("steps.sh");
    fs::write(&path, script).unwrap();
    let text = run(&home, &path);
    let mut rest = text.as_str();
    for step in &steps {
        let (printed, after) = rest.split_once(MARK).unwrap_or((rest, ""));
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(code, "0", "$ {}\n{printed}", step.command);
        assert!(
            agree(&step.shown, &lines),
            "$ {}\nshown:\n{}\nprinted:\n{printed}",
            step.command,
            step.shown.join("\n")
        );
        rest = after;
    }
    assert_eq!(home.succeeds(&["ps", "-a", "-q"]), "");
}

/// Runs a script in a home to its end; what it printed, on stderr too.
fn run(home: &Home, script: &Path) -> String {
    let output = home
        .surrounded("bash")
        .args(["-c", "exec bash \"$0\" 2>&1"])
        .arg(script)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_a_page_shows_is_compared_with_what_was_printed() {
    assert_eq!(
        steps("text\n```console\n$ one\nout\n…\n$ two\n```\n$ none\n"),
        [
            Step {
                command: "one",
                shown: vec!["out", "…"]
            },
            Step {
                command: "two",
                shown: vec![]
            }
        ]
    );
    assert!(agree(&[], &[]) && !agree(&[], &["more"]) && !agree(&["less"], &[]));
    assert!(agree(&["…", "end"], &["a", "b", "end"]) && !agree(&["…", "end"], &["a", "ends"]));
    assert!(agree(&["a … c"], &["a b c"]) && !agree(&["a … c"], &["a b c d"]));
    assert!(agree(&["a …"], &["a b c d"]) && !agree(&["a"], &["a b"]));
}
