//! What commands get and give, through the host's own client.

use crate::support::*;
use guest::ProblemCode;
use guest::frames::{Exit, Frame, MAX_PAYLOAD};
use guest::{AgentError, Configure, Exec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn output_comes_apart_and_the_exit_code_is_the_commands_own() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let outcome = run(&agent, &sh("echo out; echo err >&2; exit 42")).await;
        assert_eq!(
            outcome,
            Outcome {
                exit: Exit::Code(42),
                stdout: "out\n".into(),
                stderr: "err\n".into()
            }
        );
        for (script, exit) in [
            ("true", Exit::Code(0)),
            ("exit 255", Exit::Code(255)),
            ("kill -TERM $$", Exit::Signal(15)),
            ("kill -KILL $$", Exit::Signal(9)),
        ] {
            let outcome = run(&agent, &sh(script)).await;
            assert_eq!(outcome.exit, exit, "{script}");
        }
        assert_eq!(Exit::Signal(15).shell_code(), 143);
    }
}

#[tokio::test]
async fn words_of_any_bytes_reach_the_command() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let script = "printf %s \"$1\" | od -An -v -tx1";
    let mut exec = Exec::default();
    exec.set_words(&[&b"sh"[..], b"-c", script.as_bytes(), b"sh", b"caf\xe9\xff"].map(<[u8]>::to_vec));
    assert_eq!(run(&agent, &exec).await.stdout, " 63 61 66 e9 ff\n");
}

#[tokio::test]
async fn a_command_without_input_reads_end_of_file() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    assert_eq!(run(&agent, &argv(&["cat"])).await.exit, Exit::Code(0));
}

#[tokio::test]
async fn input_arrives_and_an_empty_frame_ends_it() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let exec = Exec {
            stdin: true,
            ..sh("cat; echo end")
        };
        let mut stream = machine.agent().await.exec(&exec).await.unwrap();
        send(&mut stream, Frame::Stdin(b"one ".to_vec())).await;
        send(&mut stream, Frame::Stdin(b"two\n".to_vec())).await;
        assert_eq!(read_until(&mut stream, "two\n").await, "one two\n");
        send(&mut stream, Frame::Stdin(Vec::new())).await;
        assert_eq!(collect(&mut stream).await.stdout, "end\n");
    }
}

/// Bytes that are the same nowhere.
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x1234_5678_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_go_through_unchanged() {
    const SIZE: usize = 100_000_000;
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let exec = Exec {
            stdin: true,
            ..argv(&["cat"])
        };
        let stream = machine.agent().await.exec(&exec).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sender = tokio::spawn(async move {
            let mut noise = noise().take(SIZE);
            loop {
                let piece: Vec<u8> = noise.by_ref().take(MAX_PAYLOAD).collect();
                let last = piece.is_empty();
                Frame::Stdin(piece).write(&mut writer).await.unwrap();
                writer.flush().await.unwrap();
                if last {
                    return writer;
                }
            }
        });
        let mut expected = noise();
        let mut received = 0;
        loop {
            match Frame::read(&mut reader).await.unwrap().unwrap() {
                Frame::Stdout(bytes) => {
                    received += bytes.len();
                    let wanted: Vec<u8> = expected.by_ref().take(bytes.len()).collect();
                    assert!(bytes == wanted, "differs before byte {received}");
                }
                Frame::Exit(exit) => {
                    assert_eq!((exit, received), (Exit::Code(0), SIZE));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_does_not_read_stops_the_command() {
    const SIZE: u64 = 100_000_000;
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let script = format!("echo $$ >&2; exec head -c {SIZE} /dev/zero");
        let mut stream = machine.agent().await.exec(&sh(&script)).await.unwrap();
        let mut pid = String::new();
        while !pid.ends_with('\n') {
            if let Some(Frame::Stderr(bytes)) = Frame::read(&mut stream).await.unwrap() {
                pid += str::from_utf8(&bytes).unwrap();
            }
        }
        let pid = pid.trim_end();
        let written = || {
            let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
            let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
            line.parse::<u64>().unwrap()
        };
        // It has stopped once it has written something and the same after as many looks as it would take to go on.
        let (mut last, mut same) = (0, 0);
        until(|| {
            let now = written();
            same = if now == last && now > 0 { same + 1 } else { 0 };
            last = now;
            same == 40
        })
        .await;
        assert!(last < 4_000_000, "{last} bytes were taken and not read");
        let mut rest = 0;
        loop {
            match Frame::read(&mut stream).await.unwrap().unwrap() {
                Frame::Stdout(bytes) => rest += bytes.len() as u64,
                Frame::Exit(exit) => {
                    assert_eq!(exit, Exit::Code(0));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(rest >= SIZE - last);
    }
}

#[tokio::test]
async fn the_environment_is_the_users_the_machines_and_the_requests() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let configure = Configure {
        hostname: "quick-otter".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        network: None,
        unix_time_ns: 1,
        entropy: "00".repeat(64),
        environment: [("A", "machine"), ("B", "machine")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ca_certificates: None,
    };
    assert!(!agent.health().await.unwrap().configured);
    agent.configure(&configure).await.unwrap();
    assert!(agent.health().await.unwrap().configured);
    assert_eq!(machine.system.configuration(), Some(configure));

    let exec = Exec {
        env: [("B".to_owned(), "request".to_owned())].into(),
        ..argv(&["env"])
    };
    let outcome = run(&agent, &exec).await.stdout;
    let lines: Vec<&str> = outcome.lines().collect();
    for line in ["A=machine", "B=request"] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    for name in ["PATH", "HOME", "USER", "LOGNAME", "SHELL"] {
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("{name}="))),
            "{name} in {lines:?}"
        );
    }
    // Nothing of the agent's own, but for what keeps this machine's files from the tests.
    let own = lines
        .iter()
        .filter(|line| !line.starts_with("GIT_CONFIG_SYSTEM="));
    assert_eq!(own.count(), 7, "{lines:?}");
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_starts_nothing() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let file = machine.path("file");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let script = machine.path("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (file, script) = (file.to_str().unwrap(), script.to_str().unwrap());
    let with = |change: &dyn Fn(&mut Exec)| {
        let mut exec = argv(&["true"]);
        change(&mut exec);
        exec
    };
    for (exec, code) in [
        (argv(&["no-such-command"]), ProblemCode::CommandNotFound),
        (argv(&["/no/such/command"]), ProblemCode::CommandNotFound),
        (argv(&[""]), ProblemCode::CommandNotFound),
        (argv(&[script]), ProblemCode::CommandNotFound),
        (argv(&[file]), ProblemCode::CommandNotExecutable),
        (argv(&["/etc"]), ProblemCode::CommandNotExecutable),
        (
            with(&|e| e.workdir = Some("/no/such".into())),
            ProblemCode::NoWorkdir,
        ),
        (
            with(&|e| e.workdir = Some("/etc/passwd".into())),
            ProblemCode::NoWorkdir,
        ),
        (
            with(&|e| e.user = Some("no-such-user".into())),
            ProblemCode::NoUser,
        ),
        (with(&|e| e.user = Some("4294967295".into())), ProblemCode::NoUser),
        (with(&|e| e.argv.push("a\0b".into())), ProblemCode::BadRequest),
        (
            with(&|e| drop(e.env.insert("A=B".into(), String::new()))),
            ProblemCode::BadRequest,
        ),
        (
            with(&|e| e.argv_hex = Some(vec!["74727565".into()])),
            ProblemCode::BadRequest,
        ),
        (
            with(&|e| {
                e.argv.clear();
                e.argv_hex = Some(vec!["xx".into()]);
            }),
            ProblemCode::BadRequest,
        ),
        (
            with(&|e| e.set_words(&[b"true".to_vec(), b"\xff\0".to_vec()])),
            ProblemCode::BadRequest,
        ),
        (
            with(&|e| e.argv.push("x".repeat(200_000))),
            ProblemCode::BadRequest,
        ),
    ] {
        match agent.exec(&exec).await {
            Err(AgentError::Refused(problem)) => assert_eq!(problem.code, code, "{exec:?}: {problem}"),
            other => panic!("{exec:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn commands_run_where_and_as_whom_they_are_told() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let exec = Exec {
        workdir: Some("/usr".into()),
        ..argv(&["pwd"])
    };
    assert_eq!(run(&agent, &exec).await.stdout, "/usr\n");
    let exec = Exec {
        user: Some("nobody".into()),
        workdir: Some("/".into()),
        ..sh("id -un; id -G; echo $HOME")
    };
    if rustix::process::geteuid().is_root() {
        let outcome = run(&agent, &exec).await;
        assert_eq!(outcome.stdout, "nobody\n65534\n/nonexistent\n");
        // Its home is not there, and it may not enter root's.
        let at_home = Exec {
            workdir: None,
            ..exec.clone()
        };
        assert_eq!(run(&agent, &at_home).await.exit, Exit::Code(0));
        let folder = machine.path("closed");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let closed = Exec {
            workdir: Some(folder.to_str().unwrap().into()),
            ..exec
        };
        let refused = agent.exec(&closed).await;
        assert!(
            matches!(&refused, Err(AgentError::Refused(problem)) if problem.code == ProblemCode::NoWorkdir),
            "{refused:?}"
        );
    } else {
        // Never as somebody else than was asked for.
        assert!(matches!(agent.exec(&exec).await, Err(AgentError::Refused(_))));
    }
}

#[tokio::test]
async fn a_child_in_the_background_does_not_hold_the_exit_back() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let outcome = run(&agent, &sh("sleep 1000 & echo $!; exit 7")).await;
    assert_eq!(outcome.exit, Exit::Code(7));
    let pid = outcome.stdout.trim_end();
    assert!(is_alive(pid), "it was not asked to end");
    // Nor does one that never stops writing.
    let outcome = run(&agent, &sh("yes & echo $! >&2; exit 8")).await;
    assert_eq!(outcome.exit, Exit::Code(8));
    // That one ends with its pipe.
    until(|| !is_alive(outcome.stderr.trim_end())).await;
    let sleeper = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn what_a_command_wrote_just_before_its_end_is_all_there() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    // More than a pipe holds, and a child in the background that keeps the pipe open.
    let outcome = run(
        &agent,
        &sh("sleep 1000 & echo $! >&2; head -c 300000 /dev/zero; exit 1"),
    )
    .await;
    assert_eq!((outcome.exit, outcome.stdout.len()), (Exit::Code(1), 300_000));
    let sleeper = rustix::process::Pid::from_raw(outcome.stderr.trim_end().parse().unwrap()).unwrap();
    rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn three_hundred_commands_at_once_all_run() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    let runs = (0..300u16).map(|number| {
        let agent = agent.clone();
        async move {
            let outcome = run(&agent, &sh(&format!("echo {number}; exit {}", number % 100))).await;
            assert_eq!(outcome.stdout, format!("{number}\n"));
            assert_eq!(outcome.exit, Exit::Code((number % 100) as u8));
        }
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn signals_reach_the_command_and_what_it_started() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let script = "trap 'echo term; exit 5' TERM; sleep 1000 & echo $! ready; wait";
    let mut stream = agent.exec(&sh(script)).await.unwrap();
    let ready = read_until(&mut stream, "ready\n").await;
    let child = ready.split(' ').next().unwrap().to_owned();
    // Until it is what it will be, it handles signals as its parent does, and forgets them.
    until(|| std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "sleep\n"))
        .await;
    send(&mut stream, Frame::Signal(15)).await;
    let outcome = collect(&mut stream).await;
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (Exit::Code(5), "term\n"));
    until(|| !is_alive(&child)).await;
}

#[tokio::test]
async fn power_is_told_after_it_was_answered() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let mut powered = machine.system.powered();
        assert_eq!(*powered.borrow(), None);
        for action in [guest::PowerAction::Shutdown, guest::PowerAction::PowerOff] {
            agent.power(action).await.unwrap();
            assert_eq!(
                *powered.wait_for(|now| *now == Some(action)).await.unwrap(),
                Some(action)
            );
        }
    }
}

#[tokio::test]
async fn input_that_nobody_reads_keeps_nothing_from_working() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let exec = Exec {
        stdin: true,
        ..sh("exec <&-; echo closed; exit 3")
    };
    let mut stream = agent.exec(&exec).await.unwrap();
    read_until(&mut stream, "closed\n").await;
    // The command has no use for it; that is nothing the host should notice.
    for _ in 0..40 {
        if Frame::Stdin(vec![0; MAX_PAYLOAD])
            .write(&mut stream)
            .await
            .is_err()
        {
            break;
        }
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, Frame::Exit(Exit::Code(3)).encode());
}
