//! What a guest prints, as those see it who read and follow its log.

use std::fs::File;
use std::io::Write;

use testkit::Fuzz;
use vmm::{Follower, LogKind, console_log};

/// Byte for byte, whatever it is and however it comes.
#[test]
fn fuzz_log() {
    let seeds = [
        &b"[    0.000000] Linux version 6.1\r\n\x1b[1;32mok\x1b[0m\n"[..],
        "unvollst\u{e4}ndig \u{202e}\n\0\u{7}\n".as_bytes(),
        &[b'x'; 70_000],
    ];
    for input in Fuzz::of("log", seeds) {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("console.log");
        let mut log = File::create(&name).unwrap();
        let mut follower = Follower::new(folder.path(), LogKind::Console);
        let mut followed = Vec::new();
        let turn_over = input.len() / 2;
        let pieces = input.chunks(1 + input.len() / 5);
        let mut written = 0;
        let mut turned = false;
        for piece in pieces {
            if written >= turn_over && !turned {
                turned = true;
                std::fs::rename(&name, folder.path().join("console.log.1")).unwrap();
                log = File::create(&name).unwrap();
            }
            log.write_all(piece).unwrap();
            written += piece.len();
            followed.extend(follower.read().unwrap());
        }
        loop {
            let piece = follower.read().unwrap();
            if piece.is_empty() {
                break;
            }
            followed.extend(piece);
        }
        assert!(followed == input, "what is followed is not what was printed");
        assert!(
            console_log(folder.path()).unwrap() == input,
            "what is read is not what was printed"
        );
    }
}
