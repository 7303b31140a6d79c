//! Tar streams that mean no good.

use super::Lie;
use super::members::{file, folder, hole, link, member, records, resized};
use super::texts::ESCAPES;

/// What the tree is called that a test asks for.
pub const TREE: &str = "tree";

/// A stream, and what goes on without end.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive {
    pub(super) stream: Vec<u8>,
    pub(super) again: Vec<u8>,
}

/// What a guest answers that is asked for what is called `name`.
pub(super) fn of(lie: Lie, name: &[u8]) -> Option<Archive> {
    let name = String::from_utf8_lossy(name).into_owned();
    let top = || folder(&format!("{name}/"));
    let below = |path: &str| format!("{name}/{path}");
    let members = match lie {
        Lie::OtherName => file(".bashrc"),
        Lie::OtherTree => [
            folder(".ssh/"),
            file(".ssh/authorized_keys"),
            folder(".git/"),
            file(".git/config"),
        ]
        .concat(),
        Lie::SecondTree => [top(), file(&below("file")), file(".bashrc")].concat(),
        Lie::Contents => [folder("./"), file("./.bashrc")].concat(),
        Lie::Dots => [top(), file(&below("../.bashrc"))].concat(),
        Lie::Absolute => [top(), file("/tmp/banger-evil")].concat(),
        Lie::ThroughLink => [top(), link(b'2', &below("up"), ".."), file(&below("up/.bashrc"))].concat(),
        Lie::HardLink => [top(), link(b'1', &below("name"), ".bashrc"), file(&below("name"))].concat(),
        Lie::SetId => {
            let capability = ("SCHILY.xattr.security.capability", "\u{1}\0\0\u{2}evil");
            let program = member(b'0', &below("program"), "", 0o6777, b"evil");
            [top(), records(b'x', &[capability]), program].concat()
        }
        Lie::Devices => [
            top(),
            member(b'3', &below("mem"), "", 0o666, b""),
            member(b'6', &below("pipe"), "", 0o666, b""),
        ]
        .concat(),
        Lie::Hole => [top(), hole(&below("disk"), 1 << 50)].concat(),
        Lie::Holes => {
            let holes = (0..100).map(|number| hole(&below(&number.to_string()), 1 << 42));
            [top(), holes.collect::<Vec<_>>().concat()].concat()
        }
        Lie::LargeFile => [
            top(),
            resized(&below("large"), &(1_u64 << 50).to_be_bytes(), 0x80),
        ]
        .concat(),
        Lie::NegativeLength => [top(), resized(&below("less"), &[0xff; 8], 0xff)].concat(),
        Lie::EndlessRecords => {
            return Some(Archive {
                stream: top(),
                again: records(b'x', &[("comment", &"x".repeat(400))]),
            });
        }
        Lie::EndlessWarnings => {
            return Some(Archive {
                stream: top(),
                again: records(b'g', &[("BANGER.warning", ESCAPES)]),
            });
        }
        Lie::EndlessEnd => {
            return Some(Archive {
                stream: [top(), vec![0; 1024]].concat(),
                again: vec![0; 4096],
            });
        }
        Lie::Failure => {
            let why = format!("{ESCAPES}{}", "B".repeat(100_000));
            [top(), records(b'g', &[("BANGER.failure", &why)])].concat()
        }
        _ => return None,
    };
    Some(Archive {
        stream: [members, vec![0; 1024]].concat(),
        again: Vec::new(),
    })
}
