//! Files in and out.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::{Keep, PackOptions, Pieces, Placement, Source, Target, unpack};
use bytes::Bytes;
use guest::files::{ReadFiles, WriteFiles, Written, pipe};
use guest::{Agent, AgentError, ProblemCode};

use crate::support::*;

fn to(path: &Path, copy: bool) -> WriteFiles {
    WriteFiles {
        path: path.as_os_str().as_bytes().to_vec(),
        copy,
        archive: false,
    }
}

async fn write(agent: &Agent, from: &Path, query: &WriteFiles) -> Result<Written, AgentError> {
    let (pieces, tar) = pipe();
    let source = Source::open(from, false).unwrap();
    let packed = tokio::task::spawn_blocking(move || {
        source.pack(PackOptions::default(), &mut |piece| {
            pieces
                .blocking_send(Ok(piece))
                .map_err(|_| io::ErrorKind::BrokenPipe.into())
        })
    });
    let written = agent.write_files(query, tar).await;
    let _ = packed.await.unwrap();
    written
}

async fn read(agent: &Agent, path: &Path) -> Result<Vec<Bytes>, AgentError> {
    let path = path.as_os_str().as_bytes().to_vec();
    let query = ReadFiles {
        path,
        ..ReadFiles::default()
    };
    let mut stream = agent.read_files(&query).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

#[tokio::test]
async fn a_tree_goes_into_a_guest_and_comes_back() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (tree, inside, back) = (machine.path("tree"), machine.path("inside"), machine.path("back"));
        fs::create_dir_all(tree.join("sub")).unwrap();
        for number in 0..500 {
            fs::write(tree.join(format!("sub/{number}")), format!("file {number}")).unwrap();
        }
        fs::write(tree.join("large"), vec![7; 5_000_001]).unwrap();
        let written = write(&agent, &tree, &to(&inside, true)).await.unwrap();
        assert_eq!(written.entries, 503);
        let mut pieces = read(&agent, &inside).await.unwrap().into_iter();
        let stream = Pieces::new(|| Ok(pieces.next()));
        unpack(stream, &Target::new(&back, Placement::Copy), Keep::default()).unwrap();
        for folder in [&inside, &back] {
            let differ = std::process::Command::new("diff")
                .arg("-r")
                .args([&tree, folder])
                .status()
                .unwrap();
            assert!(differ.success());
        }
    }
}

fn files(refused: AgentError) -> String {
    match refused {
        AgentError::Refused(problem) if problem.code == ProblemCode::Files => problem.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_by_its_path() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    let missing = machine.path("missing");
    let message = files(read(&agent, &missing).await.unwrap_err());
    assert_eq!(
        message,
        format!("cannot read `{}`: No such file or directory", missing.display())
    );
    let source = machine.path("file");
    fs::write(&source, "x").unwrap();
    let message = files(
        write(&agent, &source, &to(&missing.join("deeper"), true))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        message,
        format!(
            "cannot write to `{}`: No such file or directory",
            missing.display()
        )
    );
}

#[tokio::test]
async fn a_refusal_comes_before_the_stream_ends() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (pieces, tar) = pipe();
        let endless = tokio::spawn(async move {
            let junk = Bytes::from(vec![b'x'; 256 << 10]);
            while pieces.send(Ok(junk.clone())).await.is_ok() {}
        });
        let refused = agent
            .write_files(&to(machine.folder.path(), false), tar)
            .await
            .unwrap_err();
        assert!(files(refused).contains("the archive is broken"));
        endless.await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_goes_away_in_mid_copy_leaves_nothing_half() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (large, into) = (machine.path("large"), machine.path("into"));
        fs::write(&large, vec![1; 20 << 20]).unwrap();
        fs::create_dir(&into).unwrap();
        let (pieces, tar) = pipe();
        let mut sent = 0;
        let source = Source::open(&large, false).unwrap();
        let packing = std::thread::spawn(move || {
            source.pack(PackOptions::default(), &mut |piece| {
                sent += piece.len();
                let piece = if sent < 10 << 20 {
                    Ok(piece)
                } else {
                    Err(io::ErrorKind::ConnectionReset.into())
                };
                pieces
                    .blocking_send(piece)
                    .map_err(|_| io::ErrorKind::BrokenPipe.into())
            })
        });
        agent.write_files(&to(&into, true), tar).await.unwrap_err();
        until(|| fs::read_dir(&into).unwrap().next().is_none()).await;
        let _ = packing.join().unwrap();
    }
}

#[tokio::test]
async fn commands_answer_while_files_are_copied() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    let query = ReadFiles {
        path: b"/dev/zero".to_vec(),
        ..ReadFiles::default()
    };
    assert!(agent.read_files(&query).await.is_err());
    let large = machine.path("large");
    let file = fs::File::create(&large).unwrap();
    file.set_len(0).unwrap();
    fs::write(&large, vec![3; 64 << 20]).unwrap();
    let path = large.as_os_str().as_bytes().to_vec();
    let mut copies = Vec::new();
    // As many as may be under way at a time; none is read on.
    for _ in 0..8 {
        let query = ReadFiles {
            path: path.clone(),
            ..ReadFiles::default()
        };
        copies.push(agent.read_files(&query).await.unwrap());
    }
    agent.health().await.unwrap();
    let outcome = run(&agent, &sh("echo there")).await;
    assert_eq!(outcome.stdout, "there\n");
    drop(copies);
    assert_eq!(
        read(&agent, &machine.path("large"))
            .await
            .unwrap()
            .iter()
            .map(Bytes::len)
            .sum::<usize>(),
        (64 << 20) + 1536
    );
}
