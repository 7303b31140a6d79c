//! VMs by the real `banger`, which is killed at any moment and starts daemons itself.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use process::{Identity, Signal};
use testkit::Dice;

use crate::host::{Host, PATIENCE};

/// What the command in a VM ends with; banger itself never does.
const CODE: i32 = 7;

/// `banger vm run --rm`, or a VM made, used and deleted verb by verb.
pub async fn live(host: &Host, mut dice: Dice) {
    let name = format!("cli-{}", host.number());
    let marker = host.root().to_string_lossy().into_owned();
    let script = format!("echo word; exit {CODE}");
    let command = ["--", "sh", "-c", &script, "sh", &marker];
    if dice.once_in(2) {
        let run = ["vm", "run", "--rm", "-q", "--name", &name];
        let ended = banger(host, &mut dice, &[&run[..], &command].concat()).await;
        if ended.code() == Some(CODE) {
            assert_eq!(String::from_utf8_lossy(&ended.output.stdout), "word\n");
        }
        return;
    }
    let verbs: [&[&str]; 5] = [
        &["vm", "create", "--name", &name],
        &["vm", "list", "--json"],
        &["vm", "restart", &name],
        &[&["vm", "exec", &name][..], &command].concat(),
        &["vm", "stop", &name],
    ];
    for verb in verbs {
        if !dice.once_in(3) {
            banger(host, &mut dice, verb).await;
        }
    }
    // The last word is not cut off; what a daemon's death leaves is deleted in the end.
    let output = tokio::time::timeout(
        PATIENCE,
        host.command("banger").args(["vm", "delete", &name]).output(),
    );
    let ended = Ended {
        output: output.await.expect("a delete takes no minute").unwrap(),
        signalled: false,
    };
    ended.check(host, "vm delete");
}

struct Ended {
    output: Output,
    signalled: bool,
}

impl Ended {
    fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// It ends by its own word, or by the signal that it got.
    fn check(&self, host: &Host, verb: &str) {
        let status = self.output.status;
        let said = String::from_utf8_lossy(&self.output.stderr);
        host.tally.count(format!("banger {verb}: {status}"));
        let fine = match (status.code(), status.signal()) {
            (Some(0 | CODE), _) => true,
            (Some(1), _) => said.contains("banger: ") || self.signalled,
            (Some(code), _) => self.signalled && (129..=159).contains(&code),
            (None, Some(_)) => self.signalled,
            (None, None) => false,
        };
        assert!(
            fine && !testkit::panicked(&said),
            "banger {verb}: {status}: {said}"
        );
    }
}

/// Runs `banger`, and sends it a signal at some moment or does not.
async fn banger(host: &Host, dice: &mut Dice, arguments: &[&str]) -> Ended {
    let verb = arguments[..2].join(" ");
    let child = host.command("banger").args(arguments).spawn().unwrap();
    let process = child.id().and_then(|pid| Identity::of(pid).ok()?.open());
    let signal = dice.once_in(2).then(|| {
        let signals = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP];
        (*dice.one_of(&signals), dice.millis(0..250))
    });
    let mut signalled = false;
    let wait = async { child.wait_with_output().await.unwrap() };
    tokio::pin!(wait);
    let work = async {
        if let (Some((signal, after)), Some(process)) = (signal, process) {
            tokio::select! {
                output = &mut wait => return output,
                () = tokio::time::sleep(after) => signalled = process.kill(signal).is_ok(),
            }
        }
        wait.await
    };
    let output = tokio::time::timeout(PATIENCE, work).await;
    let output = output.unwrap_or_else(|_| panic!("banger {verb} does not end"));
    if signalled {
        host.tally.count("command lines that got a signal");
    }
    let ended = Ended { output, signalled };
    ended.check(host, &verb);
    ended
}
