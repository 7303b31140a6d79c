//! The cases. Each makes a folder of its own and looks at what is left in it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use process::{Identity, Signal};
use vmm::{Channel, Machine, MachineSpec, VmmError};

use crate::common::{Lab, in_time, until};
use crate::peer::Peer;
use crate::subject::{PRINTED, Subject};

/// A case; what it does not expect of a backend is a panic, what a backend lacks an error.
pub type Case = fn(&Subject) -> BoxFuture<'_, Result<(), VmmError>>;

/// All of them, each with the sentence that the table shows.
pub const CASES: [(&str, Case); 12] = [
    ("a machine runs until it is killed", |subject| {
        killed(subject).boxed()
    }),
    ("a missing VMM is named", |subject| missing(subject).boxed()),
    ("the agent's socket takes connections", |subject| {
        channel(subject).boxed()
    }),
    ("a machine is found again", |subject| found(subject).boxed()),
    ("one that ended meanwhile is not found", |subject| {
        gone(subject).boxed()
    }),
    ("its end is told, by whomever", |subject| told(subject).boxed()),
    ("it ends when it is asked to", |subject| asked(subject).boxed()),
    ("what the guest prints is kept", |subject| {
        printed(subject).boxed()
    }),
    ("it is on its network until it ends", |subject| {
        network(subject).boxed()
    }),
    ("a machine stands still and goes on", |subject| {
        paused(subject).boxed()
    }),
    ("a paused one is found again as such", |subject| {
        paused_and_found(subject).boxed()
    }),
    ("another VM goes on from a snapshot", |subject| {
        snapshot(subject).boxed()
    }),
];

async fn start(subject: &Subject, lab: &Lab) -> Result<Arc<dyn Machine>, VmmError> {
    in_time(subject.backend.start(&subject.spec(lab))).await
}

/// Nothing of the machine is left but its logs.
fn nothing_is_left(lab: &Lab, pid: u32) {
    assert!(Identity::of(pid).is_err(), "the VMM runs");
    // The simulated machine's: how it is to behave, and where it listened.
    let known = ["layer.ext4", "faults.json", "agent.sock"];
    let mut left = lab.left();
    left.retain(|name| !known.contains(&name.as_str()));
    assert_eq!(left, Vec::<String>::new());
}

async fn killed(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    assert_eq!(lab.process("process.json").unwrap().pid, machine.pid());
    in_time(machine.kill()).await?;
    nothing_is_left(&lab, machine.pid());
    in_time(machine.kill()).await
}

async fn missing(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let error = in_time(subject.missing.start(&subject.spec(&lab)))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/vmm was not found");
    assert!(lab.process("process.json").is_none());
    Ok(())
}

async fn channel(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    let (Channel::Vsock { socket } | Channel::VirtioSerial { socket }) = machine.channel();
    UnixStream::connect(socket).unwrap();
    in_time(machine.kill()).await
}

async fn found(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let pid = start(subject, &lab).await?.pid();
    let machine = subject.backend.find(&lab.folder).await?.unwrap();
    assert_eq!(machine.pid(), pid);
    in_time(machine.kill()).await?;
    assert!(subject.backend.find(&lab.folder).await?.is_none());
    nothing_is_left(&lab, pid);
    Ok(())
}

async fn gone(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    let pid = machine.pid();
    machine.signal(Signal::KILL)?;
    in_time(machine.wait()).await;
    drop(machine);
    assert!(subject.backend.find(&lab.folder).await?.is_none());
    assert!(Identity::of(pid).is_err());
    Ok(())
}

async fn told(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    machine.signal(Signal::KILL)?;
    for _ in 0..2 {
        let reason = in_time(machine.wait()).await.reason;
        assert!(reason.contains("SIGKILL"), "{reason}");
    }
    in_time(machine.kill()).await
}

async fn asked(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    machine.signal(Signal::TERM)?;
    in_time(machine.wait()).await;
    in_time(machine.kill()).await?;
    nothing_is_left(&lab, machine.pid());
    Ok(())
}

async fn printed(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    let text = || {
        let log = vmm::console_log(&lab.folder).ok()?;
        Some(String::from_utf8_lossy(&log).into_owned()).filter(|text| text.contains(PRINTED))
    };
    until(text).await;
    in_time(machine.kill()).await
}

async fn network(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let (mut peer, device) = Peer::new();
    let spec = MachineSpec {
        network: Some(device),
        ..subject.spec(&lab)
    };
    let machine = in_time(subject.backend.start(&spec)).await?;
    drop(spec);
    assert!(!peer.looks_ended());
    in_time(machine.kill()).await?;
    peer.wait_for_the_end();
    nothing_is_left(&lab, machine.pid());
    Ok(())
}

async fn paused(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    assert!(!in_time(machine.is_paused()).await?);
    for _ in 0..2 {
        // Asked again, it is no other.
        in_time(machine.pause()).await?;
        until_paused(&machine, true).await?;
    }
    in_time(machine.resume()).await?;
    until_paused(&machine, false).await?;
    // One whose VMM does not pause it is stopped by a signal, which leaves it no choice.
    machine.signal(Signal::STOP)?;
    until_paused(&machine, true).await?;
    machine.signal(Signal::CONT)?;
    until_paused(&machine, false).await?;
    in_time(machine.kill()).await?;
    nothing_is_left(&lab, machine.pid());
    Ok(())
}

async fn paused_and_found(subject: &Subject) -> Result<(), VmmError> {
    let lab = Lab::new();
    let machine = start(subject, &lab).await?;
    in_time(machine.pause()).await?;
    drop(machine);
    let machine = subject.backend.find(&lab.folder).await?.unwrap();
    until_paused(&machine, true).await?;
    in_time(machine.resume()).await?;
    until_paused(&machine, false).await?;
    in_time(machine.pause()).await?;
    in_time(machine.kill()).await?;
    nothing_is_left(&lab, machine.pid());
    Ok(())
}

/// A process that is sent a signal is not stopped before the call returns.
async fn until_paused(machine: &Arc<dyn Machine>, paused: bool) -> Result<(), VmmError> {
    in_time(async {
        while machine.is_paused().await? != paused {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    })
    .await
}

async fn snapshot(subject: &Subject) -> Result<(), VmmError> {
    let (one, other) = (Lab::new(), Lab::new());
    let into = one.root().join("snapshot");
    fs::create_dir(&into).unwrap();
    let machine = start(subject, &one).await?;
    in_time(machine.pause()).await?;
    let taken = in_time(machine.snapshot(&into)).await;
    in_time(machine.kill()).await?;
    taken?;
    let machine = in_time(subject.backend.restore(&subject.spec(&other), &into)).await?;
    in_time(machine.kill()).await?;
    nothing_is_left(&other, machine.pid());
    Ok(())
}
