//! The simulated machine does what a machine does, and each fault what it says.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guest::frames::{Exit, Frame};
use guest::{Agent, AgentError, Exec, PowerAction};
use testkit::{Leaks, Lie, MachineFaults, SimulatedBackend};
use vmm::{Backend, Machine, MachineSpec, VmmError};

/// How long a request that nothing answers is waited for.
const PATIENCE: Duration = Duration::from_millis(300);

struct Bench {
    folder: tempfile::TempDir,
    backend: SimulatedBackend,
    leaks: Leaks,
}

impl Bench {
    fn new(faults: MachineFaults) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = SimulatedBackend::new();
        backend.fault_all(faults);
        // What a machine leaves in its folder goes with the folder; its socket and processes do not.
        let left = [
            "agent.sock",
            "console.log",
            "vmm.log",
            "faults.json",
            "process.json",
        ];
        let leaks = Leaks::snapshot(folder.path()).ignoring(&left);
        Self {
            folder,
            backend,
            leaks,
        }
    }

    fn spec(&self) -> MachineSpec {
        MachineSpec {
            id: "0123".to_owned(),
            folder: self.folder.path().to_owned(),
            vcpu: 1,
            memory_mib: 128,
            kernel: PathBuf::new(),
            initramfs: PathBuf::new(),
            command_line: String::new(),
            drives: Vec::new(),
            network: None,
        }
    }

    async fn start(&self) -> Arc<dyn Machine> {
        self.backend.start(&self.spec()).await.unwrap()
    }

    async fn agent(&self, machine: &Arc<dyn Machine>) -> Agent {
        Agent::connect(&channel(machine)).await.unwrap()
    }

    async fn end(self, machine: &Arc<dyn Machine>) {
        machine.kill().await.unwrap();
        self.leaks.assert_none_since().await;
    }
}

fn channel(machine: &Arc<dyn Machine>) -> guest::Channel {
    match machine.channel() {
        vmm::Channel::Vsock { socket } => guest::Channel::Vsock { socket },
        other @ vmm::Channel::VirtioSerial { .. } => panic!("not a simulated machine's: {other:?}"),
    }
}

fn shell(script: &str) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..Exec::default()
    }
}

/// Everything that a command wrote and how it ended; no end where the stream broke.
async fn run(agent: &Agent, exec: &Exec) -> Result<(String, String, Option<Exit>), AgentError> {
    let mut stream = agent.exec(exec).await?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Ok(Some(frame)) = Frame::read(&mut stream).await {
        match frame {
            Frame::Stdout(bytes) => out.extend(bytes),
            Frame::Stderr(bytes) => err.extend(bytes),
            Frame::Exit(exit) => {
                return Ok((
                    String::from_utf8(out).unwrap(),
                    String::from_utf8(err).unwrap(),
                    Some(exit),
                ));
            }
            other => panic!("{other:?}"),
        }
    }
    Ok((
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
        None,
    ))
}

#[tokio::test]
async fn a_simulated_machine_answers_health_and_runs_commands() {
    let bench = Bench::new(MachineFaults::default());
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    assert_eq!(agent.health().await.unwrap().generation, guest::GENERATION);
    let (out, err, exit) = run(&agent, &shell("echo out; echo err >&2; exit 42"))
        .await
        .unwrap();
    assert_eq!(
        (out.as_str(), err.as_str(), exit),
        ("out\n", "err\n", Some(Exit::Code(42)))
    );
    bench.end(&machine).await;
}

#[tokio::test]
async fn every_boot_has_an_id_of_its_own() {
    let bench = Bench::new(MachineFaults::default());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let machine = bench.start().await;
        let agent = bench.agent(&machine).await;
        ids.push(agent.health().await.unwrap().boot_id);
        assert_eq!(agent.health().await.unwrap().boot_id, ids[ids.len() - 1]);
        machine.kill().await.unwrap();
    }
    assert_ne!(ids[0], ids[1]);
    bench.leaks.assert_none_since().await;
}

#[tokio::test]
async fn power_ends_the_machine_and_the_link() {
    for action in [PowerAction::Shutdown, PowerAction::PowerOff] {
        let bench = Bench::new(MachineFaults::default());
        let machine = bench.start().await;
        let agent = bench.agent(&machine).await;
        agent.power(action).await.unwrap();
        assert_eq!(machine.wait().await.how, vmm::How::PoweredOff);
        agent.closed().await;
        bench.end(&machine).await;
    }
}

#[tokio::test]
async fn a_machine_is_found_again_and_driven_on() {
    let bench = Bench::new(MachineFaults::default());
    let machine = bench.start().await;
    let boot_id = bench.agent(&machine).await.health().await.unwrap().boot_id;
    let found = SimulatedBackend::new()
        .find(bench.folder.path())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.pid(), machine.pid());
    assert_eq!(bench.agent(&found).await.health().await.unwrap().boot_id, boot_id);
    found.kill().await.unwrap();
    machine.wait().await;
    assert!(bench.backend.find(bench.folder.path()).await.unwrap().is_none());
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_machine_that_dies_at_start_says_why() {
    let faults = MachineFaults {
        dies_at_start: Some("no more memory".to_owned()),
        ..MachineFaults::default()
    };
    let bench = Bench::new(faults);
    let error = bench.backend.start(&bench.spec()).await.unwrap_err();
    assert!(
        matches!(&error, VmmError::DiedAtStart { log, .. } if log.contains("no more memory")),
        "{error:?}"
    );
    assert!(bench.backend.find(bench.folder.path()).await.unwrap().is_none());
    bench.leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_binary_that_is_not_there_is_named() {
    let bench = Bench::new(MachineFaults::default());
    let error = SimulatedBackend::with_binary("/proc/nonexistent/vmm")
        .start(&bench.spec())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VmmError::BinaryMissing { binary } if binary == "/proc/nonexistent/vmm"),
        "{error:?}"
    );
    bench.leaks.assert_none_since().await;
}

#[tokio::test]
async fn faults_are_of_the_next_start_of_a_vm_or_of_all() {
    let dying = |why: &str| MachineFaults {
        dies_at_start: Some(why.to_owned()),
        ..MachineFaults::default()
    };
    let bench = Bench::new(MachineFaults::default());
    bench.backend.fault_vm("0123", dying("of this vm"));
    bench.backend.fault_next(dying("next"));
    let why = async || bench.backend.start(&bench.spec()).await.unwrap_err().to_string();
    assert!(why().await.contains("next"));
    assert!(why().await.contains("of this vm"));
    let other = MachineSpec {
        id: "4567".to_owned(),
        ..bench.spec()
    };
    let machine = bench.backend.start(&other).await.unwrap();
    assert_eq!(bench.backend.starts(), ["0123", "0123", "4567"]);
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_guest_that_boots_slowly_is_reached_when_it_has_booted() {
    let bench = Bench::new(MachineFaults {
        boot_delay_ms: 200,
        ..MachineFaults::default()
    });
    let begun = std::time::Instant::now();
    let machine = bench.start().await;
    bench.agent(&machine).await.health().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_guest_that_never_boots_is_reached_once_it_does_after_all() {
    let bench = Bench::new(MachineFaults {
        never_boots: true,
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    assert!(
        tokio::time::timeout(PATIENCE, bench.agent(&machine))
            .await
            .is_err()
    );
    MachineFaults::default().write(bench.folder.path()).unwrap();
    bench.agent(&machine).await.health().await.unwrap();
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_silent_agent_takes_connections_and_answers_nothing() {
    let bench = Bench::new(MachineFaults {
        silent: true,
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    assert!(tokio::time::timeout(PATIENCE, agent.health()).await.is_err());
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_machine_that_dies_later_ends_the_link_and_says_why() {
    let bench = Bench::new(MachineFaults {
        dies_after_ms: Some(100),
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    let reason = machine.wait().await.reason;
    assert!(
        reason.contains("exit code 1") && reason.contains("died as it was told to"),
        "{reason}"
    );
    agent.closed().await;
    bench.end(&machine).await;
}

#[tokio::test]
async fn an_exec_is_refused_where_it_is_to_be() {
    let bench = Bench::new(MachineFaults {
        refuses_exec: true,
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    agent.health().await.unwrap();
    let error = agent.exec(&shell("true")).await.unwrap_err();
    assert!(matches!(&error, AgentError::Refused(_)), "{error:?}");
    bench.end(&machine).await;
}

#[tokio::test]
async fn every_lie_is_an_error_and_never_an_answer() {
    for lie in [
        Lie::Garbage,
        Lie::EndlessHeaders,
        Lie::EndlessBody,
        Lie::NotJson,
        Lie::CutOff,
    ] {
        let bench = Bench::new(MachineFaults {
            lies: Some(lie),
            ..MachineFaults::default()
        });
        let machine = bench.start().await;
        let agent = bench.agent(&machine).await;
        let error = agent.health().await.unwrap_err();
        assert!(matches!(&error, AgentError::Protocol(_)), "{lie:?}: {error:?}");
        assert!(agent.exec(&shell("true")).await.is_err(), "{lie:?}");
        bench.end(&machine).await;
    }
}

#[tokio::test]
async fn a_connection_breaks_in_the_middle_of_a_command() {
    let bench = Bench::new(MachineFaults {
        drops_exec_after: Some(1000),
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    let (out, _, exit) = run(&agent, &shell("while echo 0123456789; do :; done"))
        .await
        .unwrap();
    assert_eq!(exit, None);
    assert!(out.len() <= 1000, "{}", out.len());
    // The machine itself goes on.
    agent.health().await.unwrap();
    bench.end(&machine).await;
}

#[tokio::test]
async fn a_machine_that_ignores_power_has_to_be_killed() {
    let bench = Bench::new(MachineFaults {
        ignores_power: true,
        ..MachineFaults::default()
    });
    let machine = bench.start().await;
    let agent = bench.agent(&machine).await;
    for action in [PowerAction::Shutdown, PowerAction::PowerOff] {
        agent.power(action).await.unwrap();
    }
    agent.health().await.unwrap();
    machine.kill().await.unwrap();
    assert!(machine.wait().await.reason.contains("SIGKILL"));
    bench.end(&machine).await;
}
