//! A git repository into a guest, and what was done there back.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Home, Scenario};

pub(super) const WORKSPACE: Scenario = Scenario {
    name: "workspace",
    shows: "vm run PATH: a repository in, as it is here; worked on in the guest, and back into the user's files",
    uses: &[
        "vm run -d --trust-config --no-bootstrap",
        "vm run --rm --apply --export --user",
        "vm workspace diff",
        "vm workspace apply --allow-risky -q",
        "vm exec --auto-prepare",
    ],
    fast: true,
    alone_with: &[],
    run: workspace,
};

pub(super) const WORKSPACES: Scenario = Scenario {
    name: "workspaces",
    shows: "vm workspace: what would go, other branches, commits and places, checks, merges, work in the way",
    uses: &[
        "vm run -d --branch --from --include-untracked --dry-run --allow-alternates --network --no-config",
        "vm delete --force",
        "vm workspace prepare --user --mode --branch --from --include-untracked --dry-run --allow-alternates --guest-path -q --force",
        "vm workspace diff --guest-path",
        "vm workspace export --guest-path --base -o",
        "vm workspace apply --guest-path --check --3way --branch --allow-risky -q",
        "vm workspace status --json",
        "vm workspace pull --guest-path --branch --allow-risky -q",
    ],
    fast: false,
    alone_with: &[],
    run: workspaces,
};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder);
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn repository(home: &Home) -> std::path::PathBuf {
    let top = home.path().join("site");
    fs::create_dir_all(top.join("src")).unwrap();
    git(&top, &["init", "-q", "-b", "main"]);
    git(&top, &["config", "user.name", "Ada"]);
    git(&top, &["config", "user.email", "ada@example.com"]);
    for (path, text) in [
        ("README", "one\ntwo\nthree\n"),
        ("src/main.c", "int main;\n"),
        (".gitignore", "secret\n"),
    ] {
        fs::write(top.join(path), text).unwrap();
    }
    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-qm", "first"]);
    fs::write(top.join("README"), "one\ntwo\nthree, edited\n").unwrap();
    fs::write(top.join("staged"), "staged\n").unwrap();
    git(&top, &["add", "staged"]);
    fs::write(top.join("secret"), "key\n").unwrap();
    fs::write(top.join("notes"), "not tracked\n").unwrap();
    top
}

/// A command of the shell's in the guest's copy.
fn inside(home: &Home, script: &str) -> String {
    home.succeeds(&[
        "vm",
        "exec",
        "box",
        "--workdir",
        "/root/repo",
        "--",
        "sh",
        "-c",
        script,
    ])
}

fn of_host(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path().join("site").join(name)).unwrap()
}

fn workspace(home: &Home) {
    let top = repository(home);
    let asks = "network = \"none\"\nmemory = \"320M\"\nsetup = [\"git config set.up yes\"]\n";
    fs::write(top.join(".banger.toml"), asks).unwrap();
    fs::write(top.join("mise.toml"), "[tools]\nnode = \"22\"\n").unwrap();
    git(&top, &["add", "mise.toml"]);
    let run = ["vm", "run", top.to_str().unwrap(), "-d", "--name", "box"];
    assert_eq!(home.run(&run).code, Some(1), "nobody has agreed to .banger.toml");
    let run = [&run[..], &["--trust-config"]].concat();
    assert_eq!(home.run(&run).code, Some(1), "mise needs a network");
    home.succeeds(&[&run[..], &["--no-bootstrap"]].concat());
    assert_eq!(inside(home, "git config set.up"), "yes\n");
    let shape = home.succeeds(&["vm", "show", "box", "--json"]);
    let shape: serde_json::Value = serde_json::from_str(&shape).unwrap();
    assert_eq!(
        (&shape["memory_mib"], &shape["network"]),
        (&320.into(), &"none".into())
    );
    for arguments in [
        &["status", "--porcelain", "-uno"][..],
        &["diff"],
        &["diff", "--cached"],
    ] {
        assert_eq!(
            inside(home, &format!("git {}", arguments.join(" "))),
            git(&top, arguments)
        );
    }
    let here = inside(home, "ls -A; git config user.name");
    assert_eq!(here, ".git\n.gitignore\nREADME\nmise.toml\nsrc\nstaged\nAda\n");

    inside(
        home,
        "sed -i s/one/ONE/ README && echo new > new && chmod +x src/main.c",
    );
    let diff = home.succeeds(&["vm", "workspace", "diff", "box"]);
    assert!(diff.contains("-one\n+ONE\n two\n three, edited\n"), "{diff}");
    let risky = home.run(&["vm", "workspace", "apply", "box"]);
    assert!(
        risky.code == Some(1) && risky.err.contains("src/main.c"),
        "{}",
        risky.err
    );
    home.succeeds(&["vm", "workspace", "apply", "box", "--allow-risky", "-q"]);
    assert_eq!(of_host(home, "README"), "ONE\ntwo\nthree, edited\n");
    assert_eq!(
        of_host(home, "new") + &of_host(home, "notes"),
        "new\nnot tracked\n"
    );

    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-qm", "second"]);
    let log = ["git", "-C", "repo", "log", "-1", "--format=%s"];
    assert_eq!(
        home.succeeds(&[&["vm", "exec", "--auto-prepare", "box", "--"][..], &log].concat()),
        "second\n"
    );
    assert_eq!(inside(home, "git status --porcelain; cat notes"), "not tracked\n");
    home.succeeds(&["vm", "delete", "box"]);

    // Another user's, for one command, whose changes come back.
    let patch = home.path().join("work.patch");
    let mut run = vec!["vm", "run", top.to_str().unwrap(), "--rm", "--no-config", "-q"];
    run.extend([
        "--network",
        "none",
        "--apply",
        "--export",
        patch.to_str().unwrap(),
    ]);
    run.extend(["--user", "nobody", "--", "sh", "-c"]);
    let script = "git status --porcelain && sed -i s/ONE/uno/ README && id -un";
    run.push(script);
    assert_eq!(home.succeeds(&run), "nobody\n");
    assert!(of_host(home, "README").starts_with("uno\n"));
    assert!(fs::read_to_string(&patch).unwrap().contains("+uno\n"));
    assert_eq!(home.succeeds(&["ps", "-a", "-q"]), "");
}

fn workspaces(home: &Home) {
    let top = repository(home);
    let path = top.to_str().unwrap();
    let fails = |arguments: &[&str]| assert_eq!(home.run(arguments).code, Some(1), "{arguments:?}");
    let listed = home.succeeds(&["vm", "run", path, "--include-untracked", "--dry-run"]);
    assert_eq!(listed, ".gitignore\nREADME\nnotes\nsrc/main.c\nstaged\n");
    fails(&["vm", "run", path, "-d", "--from", "none", "--branch", "x"]);
    git(home.path(), &["clone", "-q", "--shared", "site", "borrowing"]);
    let borrowing = home.path().join("borrowing");
    let borrowing = borrowing.to_str().unwrap();
    fails(&["vm", "run", borrowing, "--dry-run"]);
    let listed = home.succeeds(&["vm", "run", borrowing, "--dry-run", "--allow-alternates"]);
    assert!(listed.contains("README\n"), "{listed}");
    let run = ["vm", "run", path, "-d", "--network", "none", "--name", "box"];
    home.succeeds(&[&run[..], &["--no-config"]].concat());

    // Work there that is in the way, committed and not.
    inside(
        home,
        "sed -i s/one/ONE/ README && git commit -qam there && echo new > new",
    );
    fails(&["vm", "workspace", "prepare", "box", path]);
    let pull = [
        "vm",
        "workspace",
        "pull",
        "box",
        "--guest-path",
        "/root/repo",
        "--branch",
        "there",
    ];
    home.succeeds(&[&pull[..], &["--allow-risky", "-q"]].concat());
    assert_eq!(
        git(&top, &["log", "-1", "--format=%s %an", "there"]),
        "there Ada\n"
    );
    let diff = home.succeeds(&["vm", "workspace", "diff", "box", "--guest-path", "/root/repo"]);
    assert!(diff.contains("-one\n+ONE\n"), "{diff}");
    home.succeeds(&["vm", "workspace", "apply", "box", "--check"]);
    let branch = [
        "vm",
        "workspace",
        "apply",
        "box",
        "--branch",
        "try/one",
        "--allow-risky",
        "-q",
    ];
    home.succeeds(&branch);
    assert_eq!(git(&top, &["show", "try/one:new"]), "new\n");
    home.succeeds(&[
        "vm",
        "workspace",
        "apply",
        "box",
        "--3way",
        "--guest-path",
        "/root/repo",
    ]);
    assert_eq!(of_host(home, "README"), "ONE\ntwo\nthree, edited\n");
    let export = ["vm", "workspace", "export", "box", "--guest-path", "/root/repo"];
    // All of the guest's copy, index and objects included, is as before; what came out fits any clone.
    let all = "find . -type f -exec sha256sum {} + | sort | sha256sum";
    let before = inside(home, all);
    home.succeeds(&[&export[..], &["-o", "all"]].concat());
    assert_eq!(inside(home, all), before);
    git(home.path(), &["clone", "-q", "site", "second"]);
    git(&home.path().join("second"), &["apply", "--check", "../all"]);
    home.succeeds(&[&export[..], &["--base", "HEAD", "-o", "p"]].concat());
    assert!(
        fs::read_to_string(home.path().join("p"))
            .unwrap()
            .contains("+new\n")
    );

    let borrowed = [
        "vm",
        "workspace",
        "prepare",
        "box",
        borrowing,
        "--allow-alternates",
    ];
    home.succeeds(&[&borrowed[..], &["--guest-path", "/root/borrowed", "-q"]].concat());
    let prepare = ["vm", "workspace", "prepare", "box", path];
    home.succeeds(&[&prepare[..], &["--include-untracked", "--force", "-q"]].concat());
    assert_eq!(inside(home, "cat notes"), "not tracked\n");
    let status = home.succeeds(&["vm", "workspace", "status", "box", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        (&status[0]["changed_files"], &status[0]["host_moved"]),
        (&0.into(), &false.into())
    );
    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-qm", "second"]);
    let other = [
        "--guest-path",
        "/srv/old",
        "--mode",
        "full",
        "--from",
        "HEAD~1",
        "--branch",
        "old",
        "--user",
        "nobody",
    ];
    home.succeeds(&[&prepare[..], &other].concat());
    assert_eq!(
        inside(home, "git -C /srv/old log --format=%s%D"),
        "firstHEAD -> old\n"
    );
    home.succeeds(&[&prepare[..], &["--dry-run"]].concat());
    // No file, and all that git knows.
    git(&top, &["remote", "add", "origin", "https://example.com/site.git"]);
    let metadata = ["--guest-path", "/srv/metadata", "--mode", "metadata"];
    home.succeeds(&[&prepare[..], &metadata].concat());
    assert_eq!(
        inside(
            home,
            "cd /srv/metadata; ls -A; git log --format=%s%D; git status --porcelain; git ls-files src"
        ),
        ".git\nsecondgrafted, HEAD -> main\nsrc/main.c\n"
    );
    home.succeeds(&["vm", "delete", "--force", "box"]);
}
