//! Whether the image's init has finished booting.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use guest::{Boot, Problem};
use tokio::process::Command;
use tokio::time::sleep;

use crate::problem::internal;

/// There while systemd is PID 1.
const SYSTEMD: &str = "/run/systemd/system";

/// Where systemd takes requests without a bus.
const SOCKET: &str = "/run/systemd/private";

/// Rest between two looks for that, and between two tries.
const REST: Duration = Duration::from_millis(50);

/// How often systemd may turn a question away before there is no answer.
const TRIES: usize = 100;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest word that is handed on.
const LONGEST: usize = 64;

/// Waits for it. An init that is not systemd, and a machine without one, have nothing to wait for.
///
/// # Errors
/// systemd cannot be asked.
pub(crate) async fn wait() -> Result<Boot, Problem> {
    if !Path::new(SYSTEMD).exists() {
        return Ok(Boot {
            state: "running".to_owned(),
        });
    }
    let mut said = String::new();
    for _ in 0..TRIES {
        while !Path::new(SOCKET).exists() {
            sleep(REST).await;
        }
        // One question; it subscribes to systemd's own word of the end, and waits for that.
        let output = Command::new("systemctl")
            .args(["is-system-running", "--wait"])
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| internal("cannot ask systemd with `systemctl`", error))?;
        if let Some(boot) = answer(&output.stdout) {
            return Ok(boot);
        }
        said = String::from_utf8_lossy(&output.stderr)
            .trim()
            .chars()
            .take(200)
            .collect();
        sleep(REST).await;
    }
    Err(internal("systemd does not say whether it has booted", said))
}

/// The state, if it is one that stays. `offline` and `unknown` say that systemd was not reached.
fn answer(stdout: &[u8]) -> Option<Boot> {
    let word = std::str::from_utf8(stdout).ok()?.trim();
    let settled = !matches!(word, "" | "offline" | "unknown" | "initializing" | "starting");
    let sound = word.len() <= LONGEST && word.bytes().all(|byte| byte.is_ascii_lowercase());
    (settled && sound).then(|| Boot {
        state: word.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_that_stays_is_an_answer() {
        for word in ["running\n", "degraded\n", "maintenance\n", "stopping\n"] {
            assert_eq!(answer(word.as_bytes()).unwrap().state, word.trim());
        }
        for word in [
            "",
            "\n",
            "starting\n",
            "offline\n",
            "unknown",
            "no such\n",
            "\u{ff}",
        ] {
            assert_eq!(answer(word.as_bytes()), None, "{word:?}");
        }
        assert_eq!(answer(&[0xff]), None);
    }
}
