//! `banger vm logs`.

use crate::support::{FakeDaemon, Terminal};

#[test]
fn a_pipe_gets_the_log_as_it_is_and_a_terminal_a_harmless_one() {
    let daemon = FakeDaemon::with_box();
    assert_eq!(
        daemon.run(&["vm", "logs", "box"]).out,
        "\x1b[32mbooted\x1b[0m\r\n\x1b]0;title\x07end\n"
    );
    let mut terminal = Terminal::open();
    let client = terminal.run(&daemon, &["vm", "logs", "box"]);
    assert_eq!(
        terminal.read_until("end\r\n"),
        "booted\r\n\\x1b]0;title\\x07end\r\n"
    );
    assert_eq!(client.wait(), 0);
}
