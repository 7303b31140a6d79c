//! Commands on a terminal: size, signals by keys, job control, end of file, login shells.

use crate::support::*;
use guest::frames::{Exit, Frame};
use guest::{Exec, WindowSize};

fn on_terminal(exec: Exec) -> Exec {
    Exec {
        // No shell of a test writes a history into the home of whoever runs the tests.
        env: [("HISTFILE".to_owned(), "/dev/null".to_owned())].into(),
        tty: Some(WindowSize {
            rows: 24,
            columns: 80,
        }),
        stdin: true,
        ..exec
    }
}

#[tokio::test]
async fn a_terminal_has_the_hosts_size_and_follows_it() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let exec = on_terminal(sh(
            "trap 'stty size; exit 0' WINCH; stty size; tty; while :; do sleep 0.01; done",
        ));
        let mut stream = machine.agent().await.exec(&exec).await.unwrap();
        let first = read_until(&mut stream, "/dev/").await;
        assert!(first.starts_with("24 80\r\n"), "{first:?}");
        send(
            &mut stream,
            Frame::Resize(WindowSize {
                rows: 50,
                columns: 132,
            }),
        )
        .await;
        read_until(&mut stream, "50 132\r\n").await;
        assert_eq!(collect(&mut stream).await.exit, Exit::Code(0));
    }
}

#[tokio::test]
async fn control_c_reaches_what_runs_in_the_foreground() {
    let machine = Machine::with_port();
    let exec = on_terminal(sh(
        "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.01; done",
    ));
    let mut stream = machine.agent().await.exec(&exec).await.unwrap();
    read_until(&mut stream, "ready\r\n").await;
    send(&mut stream, Frame::Stdin(vec![3])).await;
    read_until(&mut stream, "interrupted\r\n").await;
    assert_eq!(collect(&mut stream).await.exit, Exit::Code(9));
}

#[tokio::test]
async fn a_signal_frame_reaches_the_foreground_job_and_not_the_shell() {
    let machine = Machine::with_vsock();
    let exec = on_terminal(argv(&["bash", "--norc", "--noprofile", "-i"]));
    let mut stream = machine.agent().await.exec(&exec).await.unwrap();
    // What is typed is echoed: the marker that is waited for is only in what the command writes.
    send(
        &mut stream,
        Frame::Stdin(b"sh -c 'echo rea''dy; exec sleep 1000'\n".to_vec()),
    )
    .await;
    read_until(&mut stream, "ready\r\n").await;
    send(&mut stream, Frame::Signal(2)).await;
    send(&mut stream, Frame::Stdin(b"echo still'' here $?\n".to_vec())).await;
    read_until(&mut stream, "still here 130\r\n").await;
    send(&mut stream, Frame::Stdin(b"exit 4\n".to_vec())).await;
    assert_eq!(collect(&mut stream).await.exit, Exit::Code(4));
}

#[tokio::test]
async fn jobs_can_be_stopped_and_continued() {
    let machine = Machine::with_vsock();
    let exec = on_terminal(argv(&["bash", "--norc", "--noprofile", "-i"]));
    let mut stream = machine.agent().await.exec(&exec).await.unwrap();
    send(
        &mut stream,
        Frame::Stdin(b"sh -c 'echo rea''dy; exec cat'\n".to_vec()),
    )
    .await;
    read_until(&mut stream, "ready\r\n").await;
    send(&mut stream, Frame::Stdin(vec![0x1a])).await;
    read_until(&mut stream, "Stopped").await;
    send(&mut stream, Frame::Stdin(b"fg; echo left'' it\n".to_vec())).await;
    // The shell says what it continues; before, it would be the one to read what follows.
    read_until(&mut stream, "exec cat'\r\n").await;
    send(&mut stream, Frame::Stdin(b"once\n".to_vec())).await;
    read_until(&mut stream, "once\r\nonce\r\n").await;
    // Control-D ends the cat.
    send(&mut stream, Frame::Stdin(vec![4])).await;
    read_until(&mut stream, "left it\r\n").await;
    send(&mut stream, Frame::Stdin(b"exit 5\n".to_vec())).await;
    assert_eq!(collect(&mut stream).await.exit, Exit::Code(5));
}

#[tokio::test]
async fn end_of_input_is_end_of_file_whether_or_not_the_line_has_ended() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    for input in ["whole line\n", "half a line", ""] {
        let mut stream = agent.exec(&on_terminal(sh("cat; echo after"))).await.unwrap();
        if !input.is_empty() {
            send(&mut stream, Frame::Stdin(input.as_bytes().to_vec())).await;
        }
        send(&mut stream, Frame::Stdin(Vec::new())).await;
        let outcome = collect(&mut stream).await;
        assert_eq!(outcome.exit, Exit::Code(0), "{input:?}");
        assert!(
            outcome.stdout.ends_with("after\r\n"),
            "{input:?}: {:?}",
            outcome.stdout
        );
    }
}

#[tokio::test]
async fn the_terminals_kind_is_the_hosts_and_without_input_stdin_is_at_its_end() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let exec = Exec {
        term: Some("screen-256color".into()),
        stdin: false,
        ..on_terminal(sh("cat; echo $TERM; test -t 1 && ps -o tty= -p $$"))
    };
    let outcome = run(&agent, &exec).await;
    assert!(
        outcome.stdout.starts_with("screen-256color\r\npts/"),
        "{outcome:?}"
    );
    let exec = Exec { term: None, ..exec };
    assert!(run(&agent, &exec).await.stdout.starts_with("xterm\r\n"));
}

#[tokio::test]
async fn no_command_is_the_users_login_shell() {
    let machine = Machine::with_vsock();
    let mut stream = machine
        .agent()
        .await
        .exec(&on_terminal(Exec::default()))
        .await
        .unwrap();
    send(&mut stream, Frame::Stdin(b"echo \"<$0>\"; exit 6\n".to_vec())).await;
    let outcome = collect(&mut stream).await;
    assert_eq!(outcome.exit, Exit::Code(6));
    assert!(outcome.stdout.contains("<-"), "{:?}", outcome.stdout);
}
