//! `banger vm ports`.

use crate::support::FakeDaemon;

#[test]
fn listeners_are_a_table_and_what_a_guest_calls_them_steers_nothing() {
    let daemon = FakeDaemon::with_box();
    let screens = [
        daemon.run(&["vm", "ports", "box"]),
        daemon.run(&["vm", "ports", "nobody"]),
    ];
    insta::assert_snapshot!(screens.map(|screen| screen.screen()).join("\n"));
}

#[test]
fn json_has_every_listener() {
    let daemon = FakeDaemon::with_box();
    let listed = daemon.run(&["vm", "ports", "box", "--json"]);
    let ports: Vec<api::GuestPort> = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(ports.len(), 4);
    assert!(!listed.out.contains('\x1b'), "{}", listed.out);
}
