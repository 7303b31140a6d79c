//! A scope of systemd's for a daemon and its VMs: control groups that systemd lets this user arrange.
//!
//! ```text
//!  <user@UID.service or system>/…/banger-<pid>-<start time>.scope/    delegated: systemd keeps out
//!      daemon/             this process moves here, since a group that has children may hold no process itself
//!      vm-…/               one for each machine
//! ```
//!
//! The daemon is in the scope since only within it may a user start processes in one group and not in another. The scope
//! is not the daemon's: it ends when nothing runs in it any more, or with the user's systemd, which outlives logins where
//! the user lingers. systemd is asked by `busctl`, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::place::{Host, count, own_group};

/// How long systemd may take, and how often it is looked whether it has done it.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);
/// The daemon answers while machines work: ten times the share of a machine with one processor.
const WEIGHT: &str = "1000";
const DAEMON: &str = "daemon";

/// Whether a group that systemd gives to this user outlives the login.
pub(super) fn may_be_asked(host: &Host) -> Result<(), String> {
    if host.user == 0 {
        return Ok(());
    }
    let at = |path: &str| host.root.join(path);
    let known = fs::read_to_string(at(&format!("run/systemd/users/{}", host.user))).unwrap_or_default();
    let name = known.lines().find_map(|line| line.strip_prefix("NAME="));
    let name = name.ok_or("systemd does not know this user as logged in")?;
    if !at("var/lib/systemd/linger").join(name).exists() {
        return Err("all control groups of this user end with the last login: loginctl enable-linger".into());
    }
    if !bus(host).exists() {
        return Err("this user has no bus to ask systemd by: package dbus-user-session".into());
    }
    Ok(())
}

fn bus(host: &Host) -> PathBuf {
    host.root.join(format!("run/user/{}/bus", host.user))
}

/// Has this process put into a scope that is this user's to arrange. Gives the scope's group.
pub(super) fn ask(host: &Host, hierarchy: &Path) -> Result<PathBuf, String> {
    let pid = std::process::id();
    let started = process::Identity::of(pid).map_err(|error| error.to_string())?;
    let scope = format!("banger-{pid}-{}.scope", started.start_time);
    call(host, &scope, pid)?;
    let group = until_moved(hierarchy, &scope)?;
    let cannot = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let own = group.join(DAEMON);
    fs::create_dir_all(&own)
        .and_then(|()| fs::write(own.join("cgroup.procs"), pid.to_string()))
        .map_err(|error| cannot(&own, error))?;
    count(&group).map_err(|error| cannot(&group, error))?;
    let _ = fs::write(own.join("cpu.weight"), WEIGHT);
    Ok(group)
}

fn call(host: &Host, scope: &str, pid: u32) -> Result<(), String> {
    let mut busctl = Command::new("busctl");
    let slice = if host.user == 0 {
        busctl.arg("--system");
        "system.slice"
    } else {
        busctl
            .arg("--user")
            .env("XDG_RUNTIME_DIR", format!("/run/user/{}", host.user))
            .env(
                "DBUS_SESSION_BUS_ADDRESS",
                format!("unix:path={}", bus(host).display()),
            );
        "app.slice"
    };
    let output = busctl
        .args([
            "--timeout=5",
            "call",
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
        ])
        .args([
            "org.freedesktop.systemd1.Manager",
            "StartTransientUnit",
            "ssa(sv)a(sa(sv))",
        ])
        .args([scope, "fail", "5"])
        .args(["Description", "s", "VMs of banger"])
        .args(["Delegate", "b", "true"])
        .args(["Slice", "s", slice])
        .args(["CollectMode", "s", "inactive-or-failed"])
        .args(["PIDs", "au", "1", &pid.to_string(), "0"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot execute busctl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = crate::text::last_lines(&output.stderr, 1);
    Err(format!("systemd gives no control group: {said}"))
}

fn until_moved(hierarchy: &Path, scope: &str) -> Result<PathBuf, String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if let Some(own) = own_group(&own, "").filter(|own| own.ends_with(scope)) {
            return Ok(hierarchy.join(own.trim_start_matches('/')));
        }
        thread::sleep(LOOK);
    }
    Err("systemd takes too long over a control group".into())
}
