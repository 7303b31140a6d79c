use super::*;
use tokio::net::UnixListener;

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
            cause,
        } = session;
        writer.shutdown().await.unwrap();
        Ok(Session {
            reader,
            writer,
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
    assert_eq!(session.until_end().await, Some(Cause::GuestShutdown));
}

#[tokio::test]
async fn an_end_without_a_word_has_no_reason() {
    let session = session_with(ORDERLY.as_bytes().to_vec()).await.unwrap();
    assert_eq!(session.until_end().await, None);
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
