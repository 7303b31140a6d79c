//! A guest whose agent was replaced by one that lies, on its own port: the host's files, the terminal and the daemon
//! after each verb.
//!
//! What is done and what has to hold is that of the simulated guests, `crates/bangerd/tests/abuse`: each lie is told
//! there. Here are some that a real channel, a real agent's privileges and a real VMM could make a difference to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::abuse::{LIAR, Memory, Stage, Untouched, Verb, commit_something, run};
use testkit::{Lie, Program};

use crate::Home;

/// The agent that lies, in the guest: started by the loader that it was built with, whatever libraries the guest has.
const AGENT: [&str; 4] = [
    "/srv/hostile-agent/loader",
    "--library-path",
    "/srv/hostile-agent",
    "/srv/hostile-agent/agent",
];

/// What it lies about: other files than those asked for, what a user would run, texts, numbers, and floods.
const LIES: [Lie; 10] = [
    Lie::OtherTree,
    Lie::ThroughLink,
    Lie::SetId,
    Lie::Hole,
    Lie::RiskyPatch,
    Lie::GiantPack,
    Lie::LongTexts,
    Lie::Escapes,
    Lie::EndlessBody,
    Lie::OutputFlood,
];

/// Lies of the channel: what ends a session, and what fills one.
const OF_THE_WIRE: [Lie; 2] = [Lie::WireJunk, Lie::WireFullStreams];

/// Who is lied to.
const VERBS: [Verb; 11] = [
    Verb::Exec,
    Verb::CopyOut,
    Verb::CopyOutAsItWas,
    Verb::CopyOutFresh,
    Verb::CopyToStdout,
    Verb::CopyIn,
    Verb::Ping,
    Verb::Stats,
    Verb::Export,
    Verb::Apply,
    Verb::Pull,
];

/// How long one of those lasts: as long as a user waits, and some.
const WIRE_SECONDS: &str = "5";

/// What the daemon may have more at any time.
const MORE_MEMORY: u64 = 96 << 20;

/// How long a guest that lies no more may take to be reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// A home, and a VM whose agent lies.
struct Abused {
    home: Home,
}

impl Stage for Abused {
    fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.stdin(Stdio::null()).current_dir(self.work());
        command
    }

    fn work(&self) -> PathBuf {
        self.home.folder().join("user/work")
    }

    fn project(&self) -> PathBuf {
        self.home.folder().join("user/project")
    }

    fn workspace(&self) -> PathBuf {
        PathBuf::from("/srv/workspace")
    }

    fn guest(&self) -> PathBuf {
        PathBuf::from("/srv/guest")
    }

    fn liar(&self, _: Lie) -> &'static str {
        LIAR
    }
}

impl Abused {
    fn start() -> Self {
        let abused = Self { home: Home::new() };
        fs::create_dir_all(abused.work().join(".git")).unwrap();
        for file in [".bashrc", ".git/config", "notes"] {
            fs::write(abused.work().join(file), "mine").unwrap();
        }
        commit_something(&abused.project());
        let home = &abused.home;
        let packed = home.folder().join("hostile-agent");
        pack_agent(&packed);
        home.succeeds(&["vm", "run", "-d", "-q", "--name", LIAR, "--network", "none"]);
        let to = format!("{LIAR}:/srv/");
        home.succeeds(&["vm", "cp", "-q", packed.to_str().unwrap(), &to]);
        home.succeeds(&["vm", "exec", LIAR, "--", "mkdir", "-p", "/srv/guest"]);
        let project = abused.project().display().to_string();
        let prepare = ["vm", "workspace", "prepare", "-q", LIAR, &project];
        home.succeeds(&[&prepare[..], &["--guest-path", "/srv/workspace"]].concat());
        home.succeeds(&[&["vm", "exec", LIAR, "--"], &AGENT[..], &["take"]].concat());
        abused.tell(&["truth"]);
        // The real one is gone, and its keeper does not bring it back.
        let agents = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^@banger-agent$'";
        let count = ["vm", "exec", LIAR, "--", "sh", "-c", agents];
        crate::home::wait_for("the real agent's end", || home.run(&count).out == "0\n");
        abused
    }

    /// Has the guest lie from now on, as soon as it is reached.
    fn tell(&self, lie: &[&str]) {
        let since = Instant::now();
        let arguments = [&["vm", "exec", LIAR, "--"], &AGENT[..], &["tell"], lie].concat();
        loop {
            let ended = run(&mut self.banger(&arguments), Some(PATIENCE));
            if ended.status.success() {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{lie:?}: {}", ended.err);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails where the guest is not reached, or answers in truth: then nothing would be tried.
    fn assert_told(&self) {
        let word = ["vm", "exec", LIAR, "--", "echo", "word"];
        assert_eq!(self.home.succeeds(&word), "word\n");
        self.tell(&[&Lie::OtherTree.to_string()]);
        let tree = format!("{LIAR}:/srv/tree");
        let refused = run(&mut self.banger(&["vm", "cp", &tree, "."]), Some(PATIENCE));
        let line = refused.err.trim_end();
        assert!(
            line.contains("in the place of `tree`") && !line.contains('\n'),
            "{line}"
        );
    }

    fn memory(&self) -> Memory {
        Memory::of(self.home.daemon().as_raw().cast_unsigned())
    }

    /// All verbs that the lie is about, at once.
    fn abuse(&self, lie: Lie) {
        let verbs = VERBS.into_iter().filter(|verb| verb.is_for(lie));
        std::thread::scope(|scope| {
            for verb in verbs {
                scope.spawn(move || verb.run(self, lie));
            }
        });
    }
}

/// Puts the agent into a folder, with the libraries and the loader that it needs.
fn pack_agent(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let agent = Program::Binary("testkit", "hostile-agent").locate();
    let listed = Command::new("ldd").arg(&agent).output().unwrap();
    assert!(listed.status.success(), "`ldd` comes with the C library");
    fs::copy(&agent, folder.join("agent")).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = library.rsplit('/').next().unwrap();
        let name = if name.starts_with("ld-linux") {
            "loader"
        } else {
            name
        };
        fs::copy(library, folder.join(name)).unwrap();
    }
}

#[test]
fn no_lie_from_inside_a_real_guest_harms_the_host_the_daemon_or_the_terminal() {
    let abused = Abused::start();
    let memory = abused.memory();
    let before = memory.now();
    let untouched = Untouched::of(vec![abused.home.folder().join("user")]);
    let asked = ["tree", "kept", "fresh", "out.patch"].map(|name| abused.work().join(name));
    memory.forget_peak();
    abused.assert_told();
    for lie in LIES {
        let since = Instant::now();
        abused.tell(&[&lie.to_string()]);
        abused.abuse(lie);
        abused.home.succeeds(&["ps"]);
        untouched.check(&lie.to_string(), &asked);
        println!("{lie}: {:.1?}", since.elapsed());
    }
    for lie in OF_THE_WIRE {
        let since = Instant::now();
        abused.tell(&[&lie.to_string(), WIRE_SECONDS]);
        abused.abuse(lie);
        // Reached again by itself.
        abused.tell(&["truth"]);
        untouched.check(&lie.to_string(), &asked);
        println!("{lie}: {:.1?}", since.elapsed());
    }
    let (peak, after) = (memory.peak(), memory.settled(before + MORE_MEMORY / 2));
    println!("the daemon had {before} bytes, {peak} at most, and has {after}");
    assert!(
        peak <= before + MORE_MEMORY,
        "{peak} bytes at most, {before} before"
    );
    assert!(
        after <= before + MORE_MEMORY / 2,
        "{after} bytes, {before} before"
    );

    // A guest that does not shut down: who does not want to wait for it kills it, in the middle of the stop.
    abused.tell(&[&Lie::Nothing.to_string()]);
    let home = &abused.home;
    let mut stop = home.spawn(&mut abused.banger(&["vm", "stop", LIAR]));
    let stopping = || home.succeeds(&["vm", "show", LIAR]).contains("stopping");
    crate::home::wait_for("a stop that the guest does not follow", stopping);
    home.succeeds(&["vm", "kill", "-q", LIAR]);
    assert!(stop.wait().unwrap().code().is_some());
    let since = Instant::now();
    home.succeeds(&["vm", "delete", "-q", LIAR]);
    assert!(since.elapsed() < PATIENCE, "{:.1?} for a delete", since.elapsed());
    assert!(home.vm_folders().is_empty());
}
