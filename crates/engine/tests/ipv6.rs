//! IPv6 of guests where the host has none.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::process::Command;

use futures::StreamExt;
use support::{Host, vm};

/// Set where the test has a network of its own.
const INSIDE: &str = "ENGINE_TEST_OWN_NETWORK";
const NAME: &str = "a_host_without_ipv6_is_told_of_once_and_only_where_it_is_asked_for";

/// In a network with nothing but a loopback. What stands for passt ends at once, so each start fails, after it is told.
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for (ipv6, network, passt, expected) in [
        (true, api::NetworkMode::User, "/bin/true", 1),
        (false, api::NetworkMode::User, "/bin/true", 0),
        (true, api::NetworkMode::None, "/bin/true", 0),
        // That has its own error.
        (true, api::NetworkMode::User, "/nowhere/passt", 0),
    ] {
        let warnings = runtime.block_on(warnings_of_a_start(ipv6, network, passt));
        let told: Vec<_> = warnings.iter().filter(|line| line.contains("IPv6")).collect();
        assert_eq!(told.len(), expected, "{ipv6} {network:?} {passt}: {warnings:?}");
        for line in told {
            assert!(
                line.contains("`[network] ipv6 = true`") && line.contains("no IPv6 route to the internet"),
                "{line}"
            );
        }
    }
}

async fn warnings_of_a_start(ipv6: bool, network: api::NetworkMode, passt: &str) -> Vec<String> {
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
