//! Lives at random: many clients do whatever they like to a few VMs, machines are killed under them, and clients leave
//! in the middle. `BANGER_TEST_STEPS` and `BANGER_TEST_SEED` make it longer, and the same again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::client::{Action, Client, ClientError};
use api::{CreateVm, ErrorCode, Event, KillSignal, SetVm};
use guest::Exec;
use guest::frames::Frame;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::simulated::Simulated;

/// Clients at a time.
const CLIENTS: u64 = 6;
/// VMs that they quarrel about.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// No call may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers at random, the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn action(random: &mut Random, name: &str) -> Action {
    let name = name.to_owned();
    match random.below(10) {
        0..=2 => Action::Create(Box::new(CreateVm {
            name: Some(name),
            start: !random.one_in(4),
            ephemeral: random.one_in(3),
            publish: vec!["0:80".parse().unwrap()],
            ..CreateVm::default()
        })),
        3 => Action::Start(name),
        4 => Action::Stop(name),
        5 => Action::Restart(name),
        6 => Action::Kill(name, KillSignal::Kill),
        7 => Action::Set(
            name,
            SetVm {
                vcpu: Some(2),
                ..SetVm::default()
            },
        ),
        8 => Action::DeleteIdle(name),
        _ => Action::Delete(name),
    }
}

/// What may become of a call in such company. Anything else is a fault of the daemon's.
fn is_fair(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::VmNotFound
            | ErrorCode::VmExists
            | ErrorCode::VmState
            | ErrorCode::VmmFailed
            | ErrorCode::AgentSilent
            | ErrorCode::AgentRefused
            | ErrorCode::Cancelled
            // Whatever the system gave it may have become somebody else's while the VM was off.
            | ErrorCode::PortUnavailable
    )
}

fn check(told: &str, error: &ClientError) {
    match error {
        ClientError::Api(error) => assert!(is_fair(error.code), "{told}: {error:?}"),
        // A stream into a machine that was killed.
        ClientError::Broke(_) => {}
        other => panic!("{told}: {other:?}"),
    }
}

/// Does something and follows it to its end, or leaves in the middle. Tells whether it was done.
async fn act(client: &Client, random: &mut Random, name: &str) -> bool {
    let action = action(random, name);
    let told = format!("{action:?}");
    let mut events = match client.lease(&action).await {
        Ok(events) => events,
        Err(error) => {
            check(&told, &error);
            return false;
        }
    };
    let leave_after = if random.one_in(3) {
        random.below(6)
    } else {
        usize::MAX
    };
    for _ in 0..leave_after {
        match events.next().await {
            Ok(Some(Event::Succeeded { .. })) => return true,
            Ok(Some(Event::Failed { error })) => {
                assert!(is_fair(error.code), "{told}: {error:?}");
                return false;
            }
            Ok(None | Some(Event::Cancelled)) => return false,
            Ok(Some(_)) => {}
            Err(error) => {
                check(&told, &error);
                return false;
            }
        }
    }
    false
}

async fn exec(client: &Client, name: &str) {
    let exec = Exec {
        argv: vec!["true".into()],
        ..Exec::default()
    };
    match client.exec(name, &exec).await {
        Ok(mut stream) => {
            while let Ok(Some(frame)) = Frame::read(&mut stream).await {
                assert!(matches!(frame, Frame::Exit(_)), "{frame:?}");
            }
        }
        Err(error) => check("exec", &error),
    }
}

/// Kills the machine under a VM.
async fn shoot(host: &Simulated, name: &str) {
    let Ok(vm) = host.client.vm(name).await else {
        return;
    };
    let Some(pid) = vm.pid else { return };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // It may have ended since, and its number be somebody else's.
    if String::from_utf8_lossy(&command).contains(&*host.folder().to_string_lossy()) {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
}

/// A client that dies itself.
async fn leave_by_force(host: &Simulated, random: &mut Random, name: &str) {
    let mut client = host
        .banger(&["vm", "run", "--rm", "-q", "--name", name, "--", "true"])
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(random.below(150) as u64)).await;
    let _ = client.kill();
    client.wait().unwrap();
}

/// One client's life. Tells how much of what it did was done.
async fn live(host: &Simulated, seed: u64, steps: &AtomicUsize) -> usize {
    let mut random = Random(seed);
    let mut done = 0;
    while steps.fetch_sub(1, Ordering::Relaxed) <= usize::MAX / 2 {
        let name = NAMES[random.below(NAMES.len())];
        let step = async {
            match random.below(20) {
                0..=1 => shoot(host, name).await,
                2..=4 => exec(&host.client, name).await,
                5 => leave_by_force(host, &mut random, name).await,
                _ => done += usize::from(act(&host.client, &mut random, name).await),
            }
        };
        let ended = tokio::time::timeout(PATIENCE, step).await;
        ended.unwrap_or_else(|_| panic!("what was done to `{name}` does not end"));
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lives_at_random_leave_nothing_and_no_call_without_an_answer() {
    let seed = number("BANGER_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    let steps = AtomicUsize::new(number("BANGER_TEST_STEPS").unwrap_or(300) as usize);
    println!("BANGER_TEST_SEED={seed}");
    let host = Simulated::start().await;
    host.run("first").await;
    host.delete("first").await;
    let leaks = host.leaks();
    let clients = (0..CLIENTS).map(|client| live(&host, seed + (client << 8), &steps));
    let done: usize = futures::future::join_all(clients).await.into_iter().sum();
    assert!(done > 20, "next to nothing was done: {done}");
    // What is left is deleted as a user would: all at once, whatever state it is in.
    let ends = async {
        loop {
            let left = host.client.vms().await.unwrap();
            let under_way = host.client.operations().await.unwrap();
            if left.is_empty() && under_way.iter().all(|operation| operation.ended_at.is_some()) {
                break;
            }
            for vm in left {
                match host.carry_out(Action::Delete(vm.id)).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.code, ErrorCode::VmNotFound, "{error}"),
                }
            }
        }
    };
    if tokio::time::timeout(PATIENCE, ends).await.is_err() {
        let (vms, operations) = (host.client.vms().await, host.client.operations().await);
        panic!("this does not end: {vms:#?} {operations:#?}");
    }
    leaks.assert_none_since().await;
}
