//! Images whose layers mean no good, each with the digests that it should have but where those are the lie.

use serde_json::json;

use super::packed::{giant_window, gzip, run, zstd};
use super::server::Places;
use super::{RegistryLie, documents};
use crate::container::{LAYER, TestImage, TestLayer, digest, layer};
use crate::hostile::ESCAPES;
use crate::hostile::members::{file, folder, hole, link, member, records, resized, sum};

/// The end of an archive.
const END: [u8; 1024] = [0; 1024];

/// An image of which nothing is wrong.
pub(super) fn honest() -> TestImage {
    let config = json!({"Env": ["A=b"], "Cmd": ["true"]});
    TestImage::new(&[honest_archive()], &config)
}

/// A layer that is large enough to break off in its middle.
pub(super) fn honest_archive() -> Vec<u8> {
    let mut dice = crate::Dice::new(1);
    let noise: String = (0..20_000).map(|_| format!("{:016x}", dice.throw())).collect();
    layer(&[("bin/sh", "a shell"), ("noise", &noise)])
}

/// The image of which something is.
pub(super) fn image(lie: RegistryLie, places: &Places) -> TestImage {
    let layers = packed(lie).unwrap_or_else(|| {
        let archives = archives(lie, places);
        archives
            .into_iter()
            .map(|archive| packed_as("gzip", gzip(&archive), digest(&archive)))
            .collect()
    });
    TestImage::of(&layers, documents::config(&layers).to_string().as_bytes())
}

fn packed_as(kind: &str, blob: Vec<u8>, diff_id: String) -> TestLayer {
    TestLayer {
        media_type: format!("{LAYER}+{kind}"),
        blob,
        diff_id,
    }
}

/// What is wrong with how a layer is packed.
fn packed(lie: RegistryLie) -> Option<Vec<TestLayer>> {
    let unknown = || digest(b"it is never seen whole");
    let archive = honest_archive();
    let good = digest(&archive);
    let bomb = |byte, length: u64| {
        let head = sized("bomb", length);
        packed_as("zstd", [zstd(&head), run(byte, length)].concat(), unknown())
    };
    Some(vec![match lie {
        RegistryLie::GzipBomb => {
            let zeros = gzip(&vec![0; 64 << 20]);
            let head = gzip(&sized("bomb", 8 * (64 << 20)));
            packed_as("gzip", [head, zeros.repeat(8)].concat(), unknown())
        }
        RegistryLie::ZstdBomb => bomb(0, 1 << 30),
        RegistryLie::FullBomb => bomb(b'x', 256 << 20),
        RegistryLie::GiantWindow => packed_as("zstd", giant_window(), unknown()),
        RegistryLie::ManyMembers => {
            let blob = [gzip(b"").repeat(100_000), gzip(&archive)].concat();
            packed_as("gzip", blob, good)
        }
        RegistryLie::ManyFrames => {
            let frame = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
            packed_as("zstd", [frame.repeat(200_000), zstd(&archive)].concat(), good)
        }
        RegistryLie::GzipName => {
            let head = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
            packed_as("gzip", [&head[..], &vec![b'x'; 8 << 20]].concat(), unknown())
        }
        RegistryLie::BadGzip => packed_as("gzip", [&[0x1f, 0x8b, 8][..], &[0xa5; 3000]].concat(), unknown()),
        RegistryLie::BadZstd => packed_as(
            "zstd",
            [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xa5; 3000]].concat(),
            unknown(),
        ),
        RegistryLie::OtherContent => packed_as("gzip", gzip(&archive), unknown()),
        RegistryLie::Mislabelled => packed_as("zstd", gzip(&archive), good),
        RegistryLie::ManyAttributes => {
            let value = "v".repeat(60_000);
            let archive: Vec<u8> = (0..1500)
                .flat_map(|number| {
                    let record = records(b'x', &[(&format!("SCHILY.xattr.user.{number}"), &value)]);
                    [record, file(&format!("f{number}"))].concat()
                })
                .chain(END)
                .collect();
            let diff_id = digest(&archive);
            packed_as("zstd", zstd(&archive), diff_id)
        }
        RegistryLie::LayerAgain => return Some(vec![TestLayer::plain(archive); 100]),
        _ => return None,
    }])
}

/// What is wrong with what is in them.
fn archives(lie: RegistryLie, places: &Places) -> Vec<Vec<u8>> {
    let outside = places.outside.display().to_string();
    let dots = "../".repeat(20) + outside.trim_start_matches('/');
    let evil = |folder: &str| file(&format!("{folder}/evil"));
    let base = || [folder("etc/"), file("etc/passwd")].concat();
    let archives = match lie {
        RegistryLie::Dots => vec![[base(), evil(&dots)].concat()],
        RegistryLie::Absolute => vec![evil(&outside)],
        RegistryLie::ThroughLink => vec![[link(b'2', "out", &outside), evil("out")].concat()],
        RegistryLie::ThroughOlderLink => vec![link(b'2', "out", &outside), evil("out")],
        RegistryLie::HardLink => vec![[base(), link(b'1', "shadow", &format!("{dots}/notes"))].concat()],
        RegistryLie::WhiteoutOutside => vec![base(), file(&format!("{dots}/.wh.notes"))],
        RegistryLie::OddWhiteouts => vec![
            base(),
            [file(".wh.none"), file("x/.wh..wh..opq"), file(".wh..wh..opq")].concat(),
        ],
        RegistryLie::Devices => vec![
            [
                member(b'3', "dev/mem", "", 0o666, b""),
                member(b'4', "dev/sda", "", 0o666, b""),
                member(b'6', "pipe", "", 0o666, b""),
            ]
            .concat(),
        ],
        RegistryLie::SetId => {
            let attributes = [
                ("SCHILY.xattr.security.capability", "\u{1}\0\0\u{2}evil"),
                ("SCHILY.xattr.trusted.overlay.redirect", "/../../x"),
                ("SCHILY.xattr.trusted.overlay.opaque", "y"),
            ];
            let program = member(b'0', "program", "", 0o6777, b"evil");
            vec![[records(b'x', &attributes), program].concat()]
        }
        RegistryLie::Hole => vec![hole("disk", 1 << 50)],
        RegistryLie::Holes => {
            vec![
                (0..100)
                    .flat_map(|number| hole(&number.to_string(), 1 << 42))
                    .collect(),
            ]
        }
        RegistryLie::LargeFile => vec![resized("large", &(1_u64 << 50).to_be_bytes(), 0x80)],
        RegistryLie::NegativeLength => vec![resized("less", &[0xff; 8], 0xff)],
        RegistryLie::OverflowingLength => {
            let length = [("size", "18446744073709551615")];
            vec![[records(b'x', &length), file("more")].concat()]
        }
        RegistryLie::EndlessRecords => {
            let record = records(b'x', &[("comment", &"x".repeat(900))]);
            vec![[record.repeat(5000), file("x")].concat()]
        }
        RegistryLie::EndlessGlobals => {
            let record = records(b'g', &[("comment", &"x".repeat(900))]);
            vec![[record.repeat(5000), file("x")].concat()]
        }
        RegistryLie::GiantRecord => {
            let mut record = member(b'x', "records", "", 0o644, b"");
            record[124..135].copy_from_slice(b"77777777777");
            sum(&mut record);
            vec![[record, vec![b'x'; 1 << 20]].concat()]
        }
        RegistryLie::ManyFiles => {
            let path = |number: u32| format!("d{}/f{number}", number / 1000);
            let empty = |number| member(b'0', &path(number), "", 0o644, b"");
            vec![(0..10_000).flat_map(empty).collect()]
        }
        RegistryLie::SameFile => vec![file("same").repeat(20_000)],
        RegistryLie::DeepFolders => vec![deep_folders(10_000)],
        RegistryLie::DeepFoldersOnTop => vec![base(), deep_folders(10_000)],
        _ => vec![names(lie)],
    };
    let ended = |archive: Vec<u8>| match lie {
        RegistryLie::Truncated => archive,
        _ => [archive.as_slice(), &END].concat(),
    };
    archives.into_iter().map(ended).collect()
}

/// An archive whose names are the lie.
fn names(lie: RegistryLie) -> Vec<u8> {
    match lie {
        RegistryLie::LinkChain => {
            let links =
                (0..5000).map(|number| link(b'2', &format!("s{number}"), &format!("s{}", number + 1)));
            [links.flatten().collect(), file("s0/x")].concat()
        }
        RegistryLie::LinkExpansion => {
            let links = (0..39).map(|number| {
                let next = format!("e{}", number + 1);
                link(
                    b'2',
                    &format!("e{number}"),
                    &(format!("{next}/../").repeat(400) + &next),
                )
            });
            [links.flatten().collect(), folder("e39/"), file("e0/x")].concat()
        }
        RegistryLie::LongName => file(&"n".repeat(400)),
        RegistryLie::NamesInText => {
            [file("plain"), named(ESCAPES), named(&format!("below/{ESCAPES}"))].concat()
        }
        RegistryLie::FaultInText => [file("plain"), named(&format!("../{ESCAPES}"))].concat(),
        RegistryLie::ZeroInName => named("a\0b"),
        RegistryLie::RootIsFile => file("."),
        RegistryLie::Truncated => {
            let mut archive = member(b'0', "cut", "", 0o644, &[b'x'; 5000]);
            archive.truncate(2000);
            archive
        }
        other => panic!("{other:?} is none of a layer's"),
    }
}

/// A file of a name that stands in no header.
fn named(name: &str) -> Vec<u8> {
    [records(b'x', &[("path", name)]), file("named")].concat()
}

/// The header of a file of so many bytes.
fn sized(name: &str, length: u64) -> Vec<u8> {
    resized(name, &length.to_be_bytes(), 0x80)
}

/// Files of which each is in 124 folders of its own, whose names fit into a header: some bytes each when packed.
fn deep_folders(files: u32) -> Vec<u8> {
    let name = format!("{}f", "d/".repeat(49));
    (0..files)
        .flat_map(|number| {
            let mut header = member(b'0', &name, "", 0o644, b"");
            let above = format!("{number:05x}/{}d", "d/".repeat(73));
            header[345..345 + above.len()].copy_from_slice(above.as_bytes());
            sum(&mut header);
            header
        })
        .collect()
}
