//! Commands in a guest: streams, codes, sizes.

use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};

use crate::Home;
use crate::home::{finished, read_until};

#[test]
fn a_run_prints_each_stream_and_ends_with_the_commands_code() {
    let home = Home::new();
    let ran = home.run(&[
        "vm",
        "run",
        "--rm",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 42",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(42), "out\n"), "{}", ran.err);
    assert!(ran.err.ends_with("\nerr\n"), "{}", ran.err);
    assert!(home.vm_folders().is_empty());
}

#[test]
fn a_hundred_megabytes_arrive_unchanged() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    // Bytes of every value in no order that a codec could like.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let sent: Vec<u8> = (0..100_000_000 / 8)
        .flat_map(|_| {
            state = state
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            (state ^ (state >> 29)).to_le_bytes()
        })
        .collect();
    let output = home.run_with_stdin(&["vm", "exec", "-i", "a", "--", "cat"], &sent);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout.len(), sent.len());
    assert_eq!(Sha256::digest(&output.stdout), Sha256::digest(&sent));
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn a_client_killed_during_a_command_hangs_it_up() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let script = "echo $$; exec sleep 4321";
    let mut client = home.spawn(&mut home.command(&["vm", "exec", "a", "--", "sh", "-c", script]));
    let pid = read_until(client.stdout.as_mut().unwrap(), "\n")
        .trim()
        .to_owned();
    client.kill().unwrap();
    client.wait().unwrap();
    let gone = format!("while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; echo gone");
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", &gone]),
        "gone\n"
    );
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn a_command_that_a_signal_ends_gives_128_and_the_signal() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let killed = home.run(&["vm", "exec", "a", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(killed.code, Some(128 + Signal::SIGKILL as i32));
    let missing = home.run(&["vm", "exec", "a", "--", "no-such-command"]);
    assert_eq!(missing.code, Some(127), "{}", missing.err);
    let piped = home.run_with_stdin(&["vm", "exec", "-i", "a", "--", "cat"], b"hi\n");
    assert_eq!(finished(piped).out, "hi\n");
    home.succeeds(&["vm", "delete", "a"]);
}
