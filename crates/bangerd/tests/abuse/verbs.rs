//! The verbs that talk to a guest, and what each may come to.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use testkit::Lie;
use testkit::hostile::answer;

use crate::ended::{Ended, assert_plain, run};
use crate::host::{HONEST, Host, LIAR, RESTARTED, STARTED};

/// A verb, as a user gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Prepare,
    Status,
    Set,
    Restart,
    Start,
}

impl Verb {
    pub const ALL: [Self; 29] = [
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
        Self::Prepare,
        Self::Status,
        Self::Set,
        Self::Restart,
        Self::Start,
    ];

    /// Whether the guest lies to it. What prepares a workspace runs commands in the guest, which is this host here: it
    /// is for guests that run none.
    pub fn is_for(self, lie: Lie) -> bool {
        let lied_to = |request: &str| answer(lie, format!("{request} HTTP/1.1\r\n\r\n").as_bytes()).is_some();
        match self {
            Self::Exec | Self::ExecWithInput | Self::ExecOnTerminal => lied_to("POST /v1/exec"),
            Self::Diff | Self::Export | Self::Apply | Self::Prepare => lied_to("POST /v1/exec"),
            Self::CopyOut
            | Self::CopyOutAsItWas
            | Self::CopyOutFresh
            | Self::CopyToStdout
            | Self::CopyToHonest
            | Self::CopyToHonestAsItWas => lied_to("GET /v1/files?path=/srv/tree"),
            Self::CopyIn | Self::CopyStdinIn | Self::CopyFromHonest => lied_to("PUT /v1/files?path=/srv"),
            Self::Ports | Self::PortsAsJson => lied_to("GET /v1/ports"),
            Self::Stats => lied_to("GET /v1/stats"),
            Self::Ping | Self::PingAsJson => lied_to("GET /v1/health"),
            Self::Forward => lied_to("POST /v1/forward"),
            Self::Ssh => lied_to("GET /v1/ssh") || lied_to("POST /v1/ssh"),
            Self::Set => lied_to("POST /v1/disk/grow"),
            Self::Restart | Self::Start => lied_to("GET /v1/health") || lied_to("PUT /v1/configure"),
            Self::Logs | Self::Show | Self::Status => true,
        }
    }

    /// Runs it, and holds what it came to against what it may.
    pub fn run(self, host: &Host, lie: Lie) {
        let what = format!("{lie:?}, {self:?}");
        let tree = format!("{LIAR}:/srv/tree");
        let guest = host.root().join("guest");
        let into = |vm: &str, name: &str| format!("{vm}:{}/{name}", guest.display());
        let work = host.work().display().to_string();
        let long = Some(Duration::from_secs(15));
        let plain = |arguments: &[&str]| run(&mut host.banger(arguments), None);
        let ended = match self {
            Self::Exec => plain(&["vm", "exec", LIAR, "--", "echo", "word"]),
            Self::ExecWithInput => with_input(host, &["vm", "exec", LIAR, "--", "cat"], 300_000),
            Self::ExecOnTerminal => plain(&["vm", "exec", "-t", LIAR, "--", "true"]),
            Self::CopyOut => plain(&["vm", "cp", &tree, "."]),
            Self::CopyOutAsItWas => {
                let kept = host.work().join("kept");
                fs::create_dir_all(&kept).unwrap();
                plain(&["vm", "cp", "-a", &tree, "kept"])
            }
            Self::CopyOutFresh => plain(&["vm", "cp", &tree, "fresh"]),
            Self::CopyToStdout => plain(&["vm", "cp", &tree, "-"]),
            Self::CopyToHonest => plain(&["vm", "cp", &tree, &into(HONEST, "between")]),
            Self::CopyToHonestAsItWas => plain(&["vm", "cp", "-a", &tree, &into(HONEST, "")]),
            Self::CopyIn => plain(&["vm", "cp", "notes", &into(LIAR, "in")]),
            Self::CopyStdinIn => with_input(host, &["vm", "cp", "-", &into(LIAR, "")], 3_000_000),
            Self::CopyFromHonest => {
                let from = format!("{HONEST}:{work}/notes");
                plain(&["vm", "cp", &from, &into(LIAR, "in")])
            }
            Self::Logs => plain(&["vm", "logs", LIAR]),
            Self::Ports => plain(&["vm", "ports", LIAR]),
            Self::PortsAsJson => plain(&["vm", "ports", "--json", LIAR]),
            Self::Stats => plain(&["vm", "stats", LIAR]),
            Self::Ping => plain(&["vm", "ping", LIAR]),
            Self::PingAsJson => plain(&["vm", "ping", "--json", LIAR]),
            Self::Show => plain(&["vm", "show", LIAR]),
            Self::Forward => forward(host),
            Self::Ssh => plain(&["vm", "ssh", LIAR, "true"]),
            Self::Diff => plain(&["vm", "workspace", "diff", LIAR]),
            Self::Export => plain(&["vm", "workspace", "export", LIAR, "-o", "out.patch"]),
            Self::Apply => plain(&["vm", "workspace", "apply", LIAR, &work]),
            Self::Prepare => plain(&["vm", "workspace", "prepare", LIAR, &work]),
            Self::Status => plain(&["vm", "workspace", "status", LIAR]),
            Self::Set => run(
                &mut host.banger(&["vm", "set", "--disk-size", "300M", LIAR]),
                long,
            ),
            Self::Restart => run(&mut host.banger(&["vm", "restart", RESTARTED]), long),
            Self::Start => run(&mut host.banger(&["vm", "start", STARTED]), long),
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
        let files = matches!(
            self,
            Self::CopyOut
                | Self::CopyOutAsItWas
                | Self::CopyOutFresh
                | Self::CopyToStdout
                | Self::CopyToHonest
                | Self::CopyToHonestAsItWas
        );
        if files {
            // How large a file may be is told where it is written; a stream is none.
            let passed_on = self == Self::CopyToStdout && matches!(lie, Lie::Hole | Lie::Holes);
            assert!(
                !ended.status.success() || lie.is_left_out() || passed_on,
                "{what}: a copy of what was not asked for went well"
            );
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

fn with_input(host: &Host, arguments: &[&str], length: usize) -> Ended {
    let (read, mut write) = std::io::pipe().unwrap();
    std::thread::scope(|scope| {
        // A command that takes no more breaks the pipe.
        scope.spawn(move || drop(write.write_all(&vec![b'x'; length])));
        let mut command = host.banger(arguments);
        command.stdin(Stdio::from(read));
        let ended = run(&mut command, None);
        // Its end of the pipe, or the writer waits for ever.
        drop(command);
        ended
    })
}

/// Forwards a port, and says and hears something through it.
fn forward(host: &Host) -> Ended {
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
            &mut host.banger(&["vm", "forward", LIAR, &format!("{port}:9")]),
            None,
        )
    })
}
