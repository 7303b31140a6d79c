//! Tar streams that mean no good.

use super::Lie;
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

fn folder(name: &str) -> Vec<u8> {
    member(b'5', name, "", 0o777, b"")
}

fn file(name: &str) -> Vec<u8> {
    member(b'0', name, "", 0o666, b"evil")
}

fn link(kind: u8, name: &str, target: &str) -> Vec<u8> {
    member(kind, name, target, 0o777, b"")
}

fn member(kind: u8, name: &str, link: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 512];
    record[..name.len()].copy_from_slice(name.as_bytes());
    record[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    record[108..115].copy_from_slice(b"0000000");
    record[116..123].copy_from_slice(b"0000000");
    record[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    record[136..147].copy_from_slice(b"00000000000");
    record[156] = kind;
    record[157..157 + link.len()].copy_from_slice(link.as_bytes());
    record[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut record);
    record.extend_from_slice(data);
    record.resize(record.len().next_multiple_of(512), 0);
    record
}

/// Puts the checksum right.
fn sum(record: &mut [u8]) {
    record[148..156].fill(b' ');
    let sum: u32 = record[..512].iter().map(|byte| u32::from(*byte)).sum();
    record[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A file whose length is this, in the binary form.
fn resized(name: &str, length: &[u8; 8], sign: u8) -> Vec<u8> {
    let mut record = member(b'0', name, "", 0o666, b"");
    record[124..128].fill(if sign == 0xff { 0xff } else { 0 });
    record[124] = sign;
    record[128..136].copy_from_slice(length);
    sum(&mut record);
    record
}

/// Extension headers.
fn records(kind: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        data.push_str(&format!("{length} {key}={value}\n"));
    }
    member(kind, "records", "", 0o644, data.as_bytes())
}

fn hole(name: &str, size: u64) -> Vec<u8> {
    let mut data = b"1\n0\n1\n".to_vec();
    data.resize(512, 0);
    data.push(b'A');
    let size = size.to_string();
    let pairs = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", name),
        ("GNU.sparse.realsize", &size),
    ];
    [
        records(b'x', &pairs),
        member(b'0', "GNUSparseFile.0/x", "", 0o644, &data),
    ]
    .concat()
}
