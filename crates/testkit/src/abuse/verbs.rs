//! The verbs that talk to a guest, and what each may come to.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ended::{Ended, assert_plain, run};
use crate::Lie;
use crate::hostile::answer;

/// VMs: one that lies, an honest one, one that is started again and again, one that is off, and one that is off and lies
/// only about files that it is given.
pub const LIAR: &str = "liar";
/// See [`LIAR`].
pub const HONEST: &str = "honest";
/// See [`LIAR`].
pub const RESTARTED: &str = "restarted";
/// See [`LIAR`].
pub const STARTED: &str = "started";
/// See [`LIAR`].
pub const SYNCED: &str = "synced";

/// What a user has to do with.
pub trait Stage: Sync {
    /// `banger`, in the folder that the user works in.
    fn banger(&self, arguments: &[&str]) -> Command;
    /// That folder; it holds a file `notes`.
    fn work(&self) -> PathBuf;
    /// A repository of the user's.
    fn project(&self) -> PathBuf;
    /// Where [`LIAR`] has a workspace of it.
    fn workspace(&self) -> PathBuf;
    /// A folder in guests that things are put into.
    fn guest(&self) -> PathBuf;
    /// The name of the VM that tells this lie.
    fn liar(&self, lie: Lie) -> &'static str;
}

/// A repository with a commit.
///
/// # Panics
/// git is not there.
pub fn commit_something(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("README"), "mine\n").unwrap();
    let git = |arguments: &[&str]| {
        let author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        let status = Command::new("git")
            .args(author)
            .args(arguments)
            .current_dir(folder)
            .env("HOME", folder)
            .status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "README"]);
    git(&["commit", "-q", "-m", "first"]);
}

/// A verb, as a user gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as the user names them")]
pub enum Verb {
    Exec,
    ExecWithInput,
    ExecOnTerminal,
    CopyOut,
    CopyOutAsItWas,
    CopyOutFresh,
    CopyToStdout,
    CopyToHonest,
    CopyToHonestAsItWas,
    CopyIn,
    CopyStdinIn,
    CopyFromHonest,
    Logs,
    Ports,
    PortsAsJson,
    Stats,
    Ping,
    PingAsJson,
    Show,
    Forward,
    Ssh,
    Diff,
    Export,
    Apply,
    ApplyOnBranch,
    Pull,
    Prepare,
    Status,
    Set,
    Restart,
    Start,
    StartWithFiles,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::Exec,
        Self::ExecWithInput,
        Self::ExecOnTerminal,
        Self::CopyOut,
        Self::CopyOutAsItWas,
        Self::CopyOutFresh,
        Self::CopyToStdout,
        Self::CopyToHonest,
        Self::CopyToHonestAsItWas,
        Self::CopyIn,
        Self::CopyStdinIn,
        Self::CopyFromHonest,
        Self::Logs,
        Self::Ports,
        Self::PortsAsJson,
        Self::Stats,
        Self::Ping,
        Self::PingAsJson,
        Self::Show,
        Self::Forward,
        Self::Ssh,
        Self::Diff,
        Self::Export,
        Self::Apply,
        Self::ApplyOnBranch,
        Self::Pull,
        Self::Prepare,
        Self::Status,
        Self::Set,
        Self::Restart,
        Self::Start,
        Self::StartWithFiles,
    ];

    /// Whether it brings something out of a guest as files.
    fn is_of_files(self) -> bool {
        matches!(
            self,
            Self::CopyOut
                | Self::CopyOutAsItWas
                | Self::CopyOutFresh
                | Self::CopyToStdout
                | Self::CopyToHonest
                | Self::CopyToHonestAsItWas
        )
    }

    /// Whether something in the user's repository follows from what a guest says.
    fn is_of_workspaces(self) -> bool {
        matches!(self, Self::Apply | Self::ApplyOnBranch | Self::Pull)
    }

    /// Whether the guest lies to it. What prepares a workspace runs commands in the guest, which may be this host here: it
    /// is for guests that run none.
    #[must_use]
    pub fn is_for(self, lie: Lie) -> bool {
        let lied_to = |request: &str| {
            lie.is_of_the_wire() || answer(lie, format!("{request} HTTP/1.1\r\n\r\n").as_bytes()).is_some()
        };
        match self {
            // What a command prints and ends with is its own matter, a patch or not.
            Self::Exec | Self::ExecWithInput | Self::ExecOnTerminal => {
                lied_to("POST /v1/exec") && !lie.is_of_workspaces()
            }
            Self::Diff | Self::Export => lied_to("POST /v1/exec"),
            Self::Apply | Self::ApplyOnBranch | Self::Pull | Self::Prepare => {
                lied_to("POST /v1/exec") && !lie.is_of_the_wire()
            }
            Self::CopyOut | Self::CopyToStdout => lied_to("GET /v1/files?path=/srv/tree"),
            Self::CopyOutAsItWas | Self::CopyOutFresh | Self::CopyToHonest | Self::CopyToHonestAsItWas => {
                lied_to("GET /v1/files?path=/srv/tree") && !lie.is_of_the_wire()
            }
            Self::CopyIn | Self::CopyStdinIn => lied_to("PUT /v1/files?path=/srv"),
            Self::CopyFromHonest | Self::StartWithFiles => {
                lied_to("PUT /v1/files?path=/srv") && !lie.is_of_the_wire()
            }
            Self::Ports | Self::PortsAsJson => lied_to("GET /v1/ports"),
            Self::Stats => lied_to("GET /v1/stats"),
            Self::Ping | Self::PingAsJson => lied_to("GET /v1/health"),
            Self::Forward => lied_to("POST /v1/forward"),
            Self::Ssh => lied_to("GET /v1/ssh") || lied_to("POST /v1/ssh"),
            Self::Set => lied_to("POST /v1/disk/grow") && !lie.is_of_the_wire(),
            Self::Restart | Self::Start => {
                (lied_to("GET /v1/health") || lied_to("PUT /v1/configure")) && !lie.is_of_the_wire()
            }
            Self::Logs | Self::Show | Self::Status => true,
        }
    }

    /// Runs it, and holds what it came to against what it may.
    ///
    /// # Panics
    /// It came to something else.
    pub fn run(self, stage: &dyn Stage, lie: Lie) {
        let what = format!("{lie}, {self:?}");
        let liar = stage.liar(lie);
        let tree = format!("{liar}:/srv/tree");
        let guest = stage.guest();
        let into = |vm: &str, name: &str| format!("{vm}:{}/{name}", guest.display());
        let workspace = stage.workspace().display().to_string();
        let long = Some(Duration::from_secs(15));
        let plain = |arguments: &[&str]| run(&mut stage.banger(arguments), None);
        let of_workspace = |verb: &str, rest: &[&str]| {
            let arguments = ["vm", "workspace", verb, liar, "--guest-path", &workspace];
            plain(&[&arguments, rest].concat())
        };
        let ended = match self {
            Self::Exec => plain(&["vm", "exec", liar, "--", "echo", "word"]),
            Self::ExecWithInput => with_input(stage, &["vm", "exec", liar, "--", "cat"], 300_000),
            Self::ExecOnTerminal => plain(&["vm", "exec", "-t", liar, "--", "true"]),
            Self::CopyOut => plain(&["vm", "cp", &tree, "."]),
            Self::CopyOutAsItWas => {
                fs::create_dir_all(stage.work().join("kept")).unwrap();
                plain(&["vm", "cp", "-a", &tree, "kept"])
            }
            Self::CopyOutFresh => plain(&["vm", "cp", &tree, "fresh"]),
            Self::CopyToStdout => plain(&["vm", "cp", &tree, "-"]),
            Self::CopyToHonest => plain(&["vm", "cp", &tree, &into(HONEST, "between")]),
            Self::CopyToHonestAsItWas => plain(&["vm", "cp", "-a", &tree, &into(HONEST, "")]),
            Self::CopyIn => plain(&["vm", "cp", "notes", &into(liar, "in")]),
            Self::CopyStdinIn => with_input(stage, &["vm", "cp", "-", &into(liar, "")], 3_000_000),
            Self::CopyFromHonest => {
                let from = format!("{HONEST}:{}/notes", stage.work().display());
                plain(&["vm", "cp", &from, &into(liar, "in")])
            }
            Self::Logs => plain(&["vm", "logs", liar]),
            Self::Ports => plain(&["vm", "ports", liar]),
            Self::PortsAsJson => plain(&["vm", "ports", "--json", liar]),
            Self::Stats => plain(&["vm", "stats", liar]),
            Self::Ping => plain(&["vm", "ping", liar]),
            Self::PingAsJson => plain(&["vm", "ping", "--json", liar]),
            Self::Show => plain(&["vm", "show", liar]),
            Self::Forward => forward(stage, liar),
            Self::Ssh => plain(&["vm", "ssh", liar, "true"]),
            Self::Diff => of_workspace("diff", &[]),
            Self::Export => of_workspace("export", &["-o", "out.patch"]),
            Self::Apply => of_workspace("apply", &[]),
            Self::ApplyOnBranch => of_workspace("apply", &["--branch", "try/one"]),
            Self::Pull => of_workspace("pull", &[]),
            Self::Prepare => of_workspace("prepare", &[&stage.project().display().to_string()]),
            Self::Status => plain(&["vm", "workspace", "status", liar]),
            Self::Set => run(
                &mut stage.banger(&["vm", "set", "--disk-size", "300M", liar]),
                long,
            ),
            Self::Restart => run(&mut stage.banger(&["vm", "restart", RESTARTED]), long),
            Self::Start => run(&mut stage.banger(&["vm", "start", STARTED]), long),
            Self::StartWithFiles => start_with_files(stage),
        };
        match self {
            // ssh is another program, with words and a code of its own.
            Self::Ssh => {}
            // What a command complains of is the guest's.
            Self::Exec | Self::ExecWithInput | Self::ExecOnTerminal => ended.check_code(&what),
            _ => ended.check(&what),
        }
        self.check(lie, &ended, &what);
    }

    fn check(self, lie: Lie, ended: &Ended, what: &str) {
        if self.is_of_files() {
            // How large a file may be is told where it is written; a stream is none.
            let passed_on = self == Self::CopyToStdout && matches!(lie, Lie::Hole | Lie::Holes);
            assert!(
                !ended.status.success() || lie.is_left_out() || passed_on,
                "{what}: a copy of what was not asked for went well"
            );
        }
        if self.is_of_workspaces() && lie.is_of_workspaces() {
            assert!(!ended.status.success(), "{what}: it went well");
        }
        let reached = matches!(
            self,
            Self::Ping | Self::PingAsJson | Self::Exec | Self::CopyIn | Self::Ports
        );
        if reached && lie.is_of_the_wire() {
            assert!(!ended.status.success(), "{what}: a guest was reached that is not");
        }
        // What a command or a guest's file says is the guest's; all else is banger's own.
        let own = !matches!(
            self,
            Self::Exec
                | Self::ExecWithInput
                | Self::ExecOnTerminal
                | Self::CopyToStdout
                | Self::Logs
                | Self::Ssh
                | Self::Diff
        );
        if own {
            assert_plain(&ended.out, what);
            assert!(ended.out.len() < 1 << 20, "{what}: {} bytes", ended.out.len());
        }
    }
}

/// Starts the VM that lies only about files, with a configuration that has some for it.
fn start_with_files(stage: &dyn Stage) -> Ended {
    let config = stage.work().with_file_name("with-files");
    let mut command = stage.banger(&["vm", "start", SYNCED]);
    run(
        command.env("XDG_CONFIG_HOME", config),
        Some(Duration::from_secs(15)),
    )
}

fn with_input(stage: &dyn Stage, arguments: &[&str], length: usize) -> Ended {
    let (read, mut write) = std::io::pipe().unwrap();
    std::thread::scope(|scope| {
        // A command that takes no more breaks the pipe.
        scope.spawn(move || drop(write.write_all(&vec![b'x'; length])));
        let mut command = stage.banger(arguments);
        command.stdin(Stdio::from(read));
        let ended = run(&mut command, None);
        // Its end of the pipe, or the writer waits for ever.
        drop(command);
        ended
    })
}

/// Forwards a port, and says and hears something through it.
fn forward(stage: &dyn Stage, liar: &str) -> Ended {
    let port = {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        free.local_addr().unwrap().port()
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..100 {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                let _ = stream.write_all(b"hello");
                let mut heard = vec![0; 256 << 10];
                let _ = stream.read(&mut heard);
                return;
            }
        });
        run(
            &mut stage.banger(&["vm", "forward", liar, &format!("{port}:9")]),
            None,
        )
    })
}
