use super::*;
use tokio::net::UnixListener;

/// Nothing is requested.
fn nobody() -> mpsc::Receiver<Request> {
    mpsc::channel(1).1
}

/// A VMM that says `lines`, whatever it is told, and then ends.
async fn session_with(lines: Vec<u8>) -> Result<Session, VmmError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let vmm = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // It may have hung up at something that it did not like.
        let _ = stream.write_all(&lines).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    // The session is dropped on an error, which ends the other side; on success it has to be told.
    let open = async {
        let session = Session::open(&path).await?;
        let Session {
            reader,
            mut writer,
            line,
            cause,
        } = session;
        writer.shutdown().await.unwrap();
        Ok(Session {
            reader,
            writer,
            line,
            cause,
        })
    };
    let (session, ()) = tokio::join!(open, vmm);
    session
}

const ORDERLY: &str = concat!(
    r#"{"QMP": {}}"#,
    "\n",
    r#"{"event": "RTC_CHANGE", "data": {"offset": 1}}"#,
    "\n",
    r#"{"return": {}}"#,
    "\n",
    r#"{"return": {"status": "running", "singlestep": false, "running": true}}"#,
    "\n",
);

#[tokio::test]
async fn the_reason_of_the_end_is_the_last_one_told() {
    let lines = format!(
        "{ORDERLY}{}\n{}\n",
        r#"{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-signal"}}"#,
        r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#
    );
    let session = session_with(lines.into_bytes()).await.unwrap();
    assert_eq!(session.until_end(nobody()).await, Some(Cause::GuestShutdown));
}

#[tokio::test]
async fn an_end_without_a_word_has_no_reason() {
    let session = session_with(ORDERLY.as_bytes().to_vec()).await.unwrap();
    assert_eq!(session.until_end(nobody()).await, None);
}

#[tokio::test]
async fn a_vmm_that_does_not_speak_the_protocol_is_refused() {
    let failed = concat!(
        r#"{"QMP": {}}"#,
        "\n",
        r#"{"error": {"class": "A", "desc": "no \u001b[31m"}}"#,
        "\n"
    );
    let twice = concat!(r#"{"QMP": {}}"#, "\n", r#"{"QMP": {}}"#, "\n");
    for lines in [
        Vec::new(),
        b"{\"QMP\": {}}".to_vec(),
        b"hello\n".to_vec(),
        failed.into(),
        twice.into(),
        vec![b' '; 2 << 20],
    ] {
        let error = session_with(lines).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, VmmError::Control { .. }), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

/// Answers every command, events in between.
async fn obedient(listener: UnixListener, told: mpsc::UnboundedSender<String>) {
    let (stream, _) = listener.accept().await.unwrap();
    let (reader, mut writer) = stream.into_split();
    writer.write_all(b"{\"QMP\": {}}\n").await.unwrap();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.as_str() {
            line if line.contains("query-status") => r#"{"return": {"status": "running", "running": true}}"#,
            line if line.contains("refused") => r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
            _ => r#"{"return": {}}"#,
        };
        told.send(line).unwrap();
        let event = r#"{"event": "RTC_CHANGE", "data": {"offset": 1}}"#;
        let text = format!("{event}\n{answer}\n{event}\n");
        // In two pieces: a line that is cut must not be lost.
        let (one, two) = text.split_at(70);
        writer.write_all(one.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        writer.write_all(two.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_listens_carries_out_what_is_requested() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let (told, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(obedient(UnixListener::bind(&path).unwrap(), told));
    let (requests, receiver) = mpsc::channel(1);
    tokio::spawn(Session::open(&path).await.unwrap().until_end(receiver));
    for (command, succeeds) in [("block_resize", true), ("refused", false), ("block_resize", true)] {
        let (answer, outcome) = oneshot::channel();
        let arguments = serde_json::json!({"size": 1});
        requests
            .send(Request {
                command,
                arguments,
                answer,
            })
            .await
            .unwrap();
        assert_eq!(outcome.await.unwrap().is_ok(), succeeds, "{command}");
    }
    let mut lines = Vec::new();
    while let Ok(line) = heard.try_recv() {
        lines.push(line);
    }
    assert!(
        lines[2].contains(r#""execute":"block_resize""#) && lines[2].contains(r#""size":1"#),
        "{lines:?}"
    );
}
