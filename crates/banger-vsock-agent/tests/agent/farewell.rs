//! What a machine is about to end with reaches the host before it does.

use std::sync::Arc;

use crate::support::*;
use banger_vsock_agent::System as _;
use guest::Shutdown;

#[tokio::test]
async fn the_host_knows_how_a_machine_ends_before_it_does() {
    for (machine, how) in [
        (Machine::with_vsock(), Shutdown::PowerOff),
        (Machine::with_port(), Shutdown::Halt),
        (Machine::with_port(), Shutdown::Reboot),
    ] {
        let agent = machine.agent().await;
        let asked = agent.clone();
        let heard = tokio::spawn(async move { asked.shutdown().await });
        // Other requests are answered meanwhile.
        agent.health().await.unwrap();
        let system = Arc::clone(&machine.system);
        let mut said = tokio::spawn(async move { system.farewell().say(how).await });
        assert_eq!(heard.await.unwrap().unwrap(), how);
        agent.saw_shutdown().await.unwrap();
        (&mut said).await.unwrap();
        // Whoever asks later, as after a link that broke, is told as well.
        assert_eq!(agent.shutdown().await.unwrap(), how);
    }
}

#[tokio::test]
async fn a_host_that_asked_and_went_away_is_not_waited_for() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let asked = agent.clone();
        let heard = tokio::spawn(async move { asked.shutdown().await });
        agent.health().await.unwrap();
        heard.abort();
        drop(agent);
        let _ = heard.await;
        // A host that is there says so within a second; this one is given no more.
        let said = machine.system.farewell().say(Shutdown::PowerOff);
        tokio::time::timeout(std::time::Duration::from_secs(5), said)
            .await
            .unwrap();
    }
}
