//! IPv6 of guests where the host has none.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use support::{Host, vm};

/// Set where the test has a network of its own.
const INSIDE: &str = "ENGINE_TEST_OWN_NETWORK";
const NAME: &str = "a_host_without_ipv6_is_told_of_once_and_only_where_it_is_asked_for";

/// In a network with nothing but a loopback. What stands for passt is no program, so each start fails, after it is told.
#[test]
fn a_host_without_ipv6_is_told_of_once_and_only_where_it_is_asked_for() {
    if std::env::var_os(INSIDE).is_none() {
        let status = Command::new("unshare")
            .args(["--map-root-user", "--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", NAME])
            .env(INSIDE, "1")
            .status()
            .expect("needs util-linux and user namespaces");
        assert!(status.success());
        return;
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("needs iproute2").success());
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("passt");
    fs::write(&none, [0; 64]).unwrap();
    fs::set_permissions(&none, Permissions::from_mode(0o755)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    // A report says beforehand what a start would.
    for (ipv6, passt, insecure_builtin, told) in [
        (true, none.as_path(), false, Some("no IPv6 route to the internet")),
        (false, none.as_path(), false, None),
        (true, Path::new("/nowhere/passt"), false, None),
        (
            true,
            Path::new("/nowhere/passt"),
            true,
            Some("that comes by passt alone"),
        ),
    ] {
        let mut host = Host::new();
        host.networks.passt = Some(passt.into());
        host.networks.ipv6 = ipv6;
        host.networks.insecure_builtin = insecure_builtin;
        let checks = host.doctor().examine();
        let check = checks.iter().find(|check| check.name == "ipv6");
        assert_eq!(check.is_some(), told.is_some(), "{ipv6} {passt:?} {checks:?}");
        if let (Some(check), Some(told)) = (check, told) {
            assert_eq!(check.state, api::CheckState::Warn);
            assert!(check.message.contains(told), "{check:?}");
            assert!(check.hint.as_deref().unwrap().contains("IPv4 alone"), "{check:?}");
        }
    }
    for (ipv6, network, passt, expected) in [
        (true, api::NetworkMode::User, none.as_path(), 1),
        (false, api::NetworkMode::User, none.as_path(), 0),
        (true, api::NetworkMode::None, none.as_path(), 0),
        // That has its own error.
        (true, api::NetworkMode::User, Path::new("/nowhere/passt"), 0),
    ] {
        let warnings = runtime.block_on(warnings_of_a_start(ipv6, network, passt));
        let told: Vec<_> = warnings.iter().filter(|line| line.contains("IPv6")).collect();
        assert_eq!(told.len(), expected, "{ipv6} {network:?} {passt:?}: {warnings:?}");
        for line in told {
            assert!(
                line.contains("`[network] ipv6 = true`") && line.contains("no IPv6 route to the internet"),
                "{line}"
            );
        }
    }
}

async fn warnings_of_a_start(ipv6: bool, network: api::NetworkMode, passt: &Path) -> Vec<String> {
    let mut host = Host::new();
    host.networks.passt = Some(passt.into());
    host.networks.ipv6 = ipv6;
    let engine = host.engine().await;
    let request = api::CreateVm {
        network: Some(network),
        ..vm("a", true)
    };
    let operation = engine.vms().create(request).await.unwrap();
    let mut events = operation.events();
    let _ = operation.wait().await;
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let api::Event::Warning { message } = event {
            warnings.push(message);
        }
    }
    warnings
}
