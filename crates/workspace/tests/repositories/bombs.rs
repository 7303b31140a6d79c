//! Small patches, packs and repositories that are large once they are unpacked or read.

use std::fs;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};
use workspace::{Apply, Ended, Guest, Input, Parcel, Repository, WorkspaceError, pull, to_branch};

use crate::support::{Scene, parsed, tree};

const NONE: &str = "0000000000000000000000000000000000000000";

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The name of a file.
fn id(bytes: &[u8]) -> String {
    let mut digest = Sha1::new();
    digest.update(format!("blob {}\0", bytes.len()));
    digest.update(bytes);
    format!("{:x}", digest.finalize())
}

/// Lines of a patch's binary data.
fn lines(bytes: &[u8]) -> String {
    let digits: Vec<char> =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
            .chars()
            .collect();
    let mut text = String::new();
    for line in bytes.chunks(52) {
        let count = u8::try_from(line.len()).unwrap();
        let letter = if count <= 26 {
            b'A' + count - 1
        } else {
            b'a' + count - 27
        };
        text.push(char::from(letter));
        for four in line.chunks(4) {
            let mut group = [0; 4];
            group[..four.len()].copy_from_slice(four);
            let mut number = u32::from_be_bytes(group);
            let mut five = ['0'; 5];
            for place in five.iter_mut().rev() {
                *place = digits[(number % 85) as usize];
                number /= 85;
            }
            text.extend(five);
        }
        text.push('\n');
    }
    text + "\n"
}

fn binary(path: &str, id: &str, halves: &[(&str, u64, &[u8])]) -> String {
    let mut text =
        format!("diff --git a/{path} b/{path}\nnew file mode 100644\nindex {NONE}..{id}\nGIT binary patch\n");
    for (kind, size, bytes) in halves {
        text.push_str(&format!("{kind} {size}\n{}", lines(bytes)));
    }
    text
}

fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() >> 10
}

#[test]
fn a_small_patch_of_gigabytes_is_refused_before_it_is_unpacked() {
    let nothing = packed(b"");
    let size = 2 << 30;
    let delta = packed(
        &[
            &[0x80, 0x80, 0x80, 0x80, 0x08, 0x80, 0x80, 0x80, 0x80, 0x08][..],
            &[0x80],
        ]
        .concat(),
    );
    // Made from a byte, and 100 MiB.
    let part = packed(&[0x01, 0x80, 0x80, 0x80, 0x32, 0x80]);
    let id = id(b"");
    for (patch, said) in [
        // What is declared is enough; there is nothing to unpack.
        (binary("big", &id, &[("literal", size, &nothing)]), "`big`"),
        (binary("big", &id, &[("delta", size, &nothing)]), "`big`"),
        (
            binary(
                "big",
                &id,
                &[("literal", 0, &nothing), ("literal", size, &nothing)],
            ),
            "`big`",
        ),
        (
            binary("big", &id, &[("literal", 0, &nothing), ("delta", 11, &delta)]),
            "`big`",
        ),
        (binary("big", &id, &[("delta", 11, &delta)]), "`big`"),
        (
            ["a", "b", "c", "d", "e", "f"]
                .map(|path| binary(path, &id, &[("delta", 6, &part), ("literal", 0, &nothing)]))
                .concat(),
            "`f`",
        ),
    ] {
        assert!(patch.len() < 1 << 20);
        let refused = parsed(patch.as_bytes()).unwrap_err();
        assert!(matches!(refused, WorkspaceError::TooMuch { .. }), "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
        assert!(refused.to_string().contains("512 MiB"), "{refused}");
    }
    assert!(most_memory() < 100, "{} MiB", most_memory());
}

/// git takes an object that it has by its name, and does not look at the data that is to come to it.
#[test]
fn binary_data_that_claims_to_be_what_the_host_has_is_held_to_it() {
    let scene = Scene::committed();
    let text = b"the host's own\n";
    scene.write("elsewhere", "the host's own\n");
    scene.commit("second");
    let nothing = packed(b"");
    let three_way = Apply {
        three_way: true,
        ..Apply::default()
    };
    let delta = |made: &[u8]| {
        let size = u8::try_from(made.len()).unwrap();
        let bytes = [&[0, size, size][..], made].concat();
        let packed = packed(&bytes);
        let halves = [("delta", bytes.len() as u64, &*packed), ("literal", 0, &*nothing)];
        binary("taken", &id(text), &halves)
    };
    let (forged, sound) = (delta(b"x"), delta(text));
    let file = scene.path("branch");
    for (patch, fits) in [(&forged, false), (&sound, true)] {
        fs::write(&file, patch).unwrap();
        let to = |name| {
            let patch = parsed(patch.as_bytes()).unwrap();
            to_branch(&scene.find(), &patch, &file, Some("HEAD"), name, "message")
        };
        let outcomes = [
            scene.apply_as(patch.as_bytes(), three_way).err(),
            to(if fits { "sound" } else { "forged" }).err(),
        ];
        for outcome in outcomes {
            match outcome {
                None => assert!(fits),
                Some(refused) => {
                    let said = "binary data is another than its id says";
                    assert!(!fits && refused.to_string().contains(said), "{refused}");
                }
            }
        }
        assert_eq!(scene.top().join("taken").exists(), fits);
    }
    assert_eq!(scene.read("taken"), "the host's own\n");
}

/// Neither few bytes a line nor few lines a hunk make git take much more than the text.
#[test]
fn lines_hunks_files_and_folders_without_end_are_refused_in_bounded_memory() {
    let new = format!(
        "diff --git a/x b/x\nnew file mode 100644\nindex {NONE}..{}\n",
        id(b"x")
    );
    // Most of what there is goes to one file: 0x1f400000 bytes, made from one.
    let most = packed(&[0x01, 0x80, 0x80, 0x80, 0xfa, 0x01, 0x80]);
    let most = binary(
        "most",
        &id(b""),
        &[("delta", 7, &most), ("literal", 0, &packed(b""))],
    );
    assert_eq!(
        parsed(most.as_bytes()).unwrap().changes[0].size,
        Some(0x1f40_0000)
    );
    let lines = "+\n".repeat(400_000);
    let lines = format!("{most}{new}--- /dev/null\n+++ b/x\n@@ -0,0 +1,400000 @@\n{lines}");
    let hunks = "@@ -0,0 +1 @@\n+\n".repeat(100_000);
    let hunks = format!("{most}{new}--- /dev/null\n+++ b/x\n{hunks}");
    for patch in [lines, hunks] {
        let refused = parsed(patch.as_bytes()).unwrap_err();
        assert!(matches!(refused, WorkspaceError::TooMuch { .. }), "{refused}");
    }
    let file = |path: &str| {
        let head = new.replace("a/x b/x", &format!("a/{path} b/{path}"));
        assert!(head.len() < 2000);
        head
    };
    let files: String = (0..250_001).map(|number| file(&number.to_string())).collect();
    let refused = parsed(files.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("`250000` is one file too many"), "{refused}");
    let deep = "d/".repeat(250);
    let deep: String = (0..2000)
        .map(|number| file(&format!("{number}/{deep}x")))
        .collect();
    let refused = parsed(deep.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("makes the paths too long together"), "{refused}");
    assert!(most_memory() < 500, "{} MiB", most_memory());
}

#[test]
fn binary_data_that_is_not_what_it_says_is_refused() {
    let nothing = packed(b"");
    let text = packed(b"text");
    let (right, hash) = (id(b"text"), id(b"other"));
    let empty = ("literal", 0, nothing.as_slice());
    let good = binary("x", &right, &[("literal", 4, &text), empty]);
    let change = &parsed(good.as_bytes()).unwrap().changes[0];
    assert_eq!((change.lines, change.size), (None, Some(4)));
    for (patch, said) in [
        (
            binary("x", &hash, &[("literal", 4, &text), empty]),
            "another than its id",
        ),
        (
            binary("x", &right, &[("literal", 3, &text), empty]),
            "is longer than it says",
        ),
        (
            binary("x", &right, &[("literal", 5, &text), empty]),
            "is shorter than it says",
        ),
        (
            binary("x", &right, &[("literal", 4, &text[..text.len() - 2]), empty]),
            "shorter than it says",
        ),
        (
            binary(
                "x",
                &right,
                &[("literal", 4, &[&text[..], b"more"].concat()), empty],
            ),
            "goes on after",
        ),
        (
            binary("x", &right, &[("literal", 4, b"not packed")]),
            "cannot be unpacked",
        ),
        (
            binary("x", &right, &[("delta", 1, &packed(b"\x80"))]),
            "sizes of a delta",
        ),
        (
            good.replace("literal 4", "literal 18446744073709551620"),
            "length of binary data",
        ),
        (good.replace("literal 4", "literal 999999999999999"), "would take"),
    ] {
        let refused = parsed(patch.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn binary_files_that_git_made_come_back_as_they_are() {
    let scene = Scene::committed();
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(scene.top().join("blob"), &noise).unwrap();
    fs::write(scene.top().join("gone"), &noise[..5000]).unwrap();
    scene.commit("binary");
    scene.prepare();
    let mut changed = noise.clone();
    changed[100_000..100_010].fill(0);
    fs::write(scene.inside().join("blob"), &changed).unwrap();
    fs::write(scene.inside().join("new"), &noise[..70_001]).unwrap();
    fs::remove_file(scene.inside().join("gone")).unwrap();
    let patch = scene.export(&workspace::Base::Prepared);
    let text = String::from_utf8_lossy(&patch);
    assert!(text.contains("\ndelta "), "a delta is wanted here");
    let sizes: Vec<_> = parsed(&patch)
        .unwrap()
        .changes
        .iter()
        .map(|change| change.size)
        .collect();
    assert_eq!(sizes, [Some(800_000), Some(0), Some(70_001)]);
    scene.apply(&patch).unwrap();
    assert_eq!(tree(&scene.top(), false), tree(&scene.inside(), false));
}

/// A guest that says it has a commit, and sends a pack of its own making.
struct Liar(Vec<u8>);

impl Guest for Liar {
    fn run(&mut self, _: &[String], _: Input, output: &mut dyn Write) -> io::Result<Ended> {
        output.write_all(&[&[b'1'; 40][..], b"\n", &self.0].concat())?;
        Ok(Ended::default())
    }

    fn unpack(&mut self, _: &str, _: Parcel) -> Result<(), WorkspaceError> {
        Ok(())
    }
}

#[test]
fn a_small_pack_of_gigabytes_is_refused_before_git_sees_it() {
    let scene = Scene::committed();
    let base = scene.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let size = 600_u64 << 20;
    let before = tree(&scene.top(), true);
    // A commit, a tree, a file.
    for kind in [1_u8, 2, 3] {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        pack.push((kind << 4) | u8::try_from(size & 0xf).unwrap() | 0x80);
        let mut rest = size >> 4;
        while rest > 0x7f {
            pack.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        pack.push(u8::try_from(rest).unwrap());
        pack.extend(packed(&vec![0; 1 << 20]));
        let sum = Sha1::digest(&pack);
        pack.extend_from_slice(&sum);
        let repository = scene.find();
        let refused = pull(&repository, &mut Liar(pack), "/root/repo", Some(&base)).unwrap_err();
        assert!(matches!(refused, WorkspaceError::TooMuch { .. }), "{refused}");
        assert!(refused.to_string().contains("object 1 of 1"), "{refused}");
        assert_eq!(tree(&scene.top(), true), before);
    }
}

#[test]
fn settings_that_are_included_again_and_again_are_bounded_together() {
    let scene = Scene::committed();
    let plain = scene.read(".git/config");
    let long = "x".repeat(7 << 20);
    scene.write(".git/long", &format!("[user]\n\tname = {long}\n"));
    scene.write(".git/comment", &format!("# {long}\n"));
    // One section above many settings.
    scene.write(
        ".git/section",
        &format!("[a \"{}\"]\n{}", "s".repeat(1 << 20), "b\n".repeat(100)),
    );
    for (file, times, fits) in [
        ("long", 2, true),
        ("long", 3, false),
        ("comment", 3, false),
        ("section", 1, false),
    ] {
        let includes = format!("\tpath = {file}\n").repeat(times);
        scene.write(".git/config", &format!("{plain}[include]\n{includes}"));
        match Repository::find(&scene.top()) {
            Ok(_) => assert!(fits, "{file} {times}"),
            Err(error) => assert!(
                !fits && error.to_string().contains("too many settings"),
                "{file}: {error}"
            ),
        }
    }
}

#[test]
fn files_of_patterns_are_bounded_together() {
    let scene = Scene::committed();
    for place in ["info/exclude", "info/sparse-checkout"] {
        let path = scene.top().join(".git").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().set_len(60 << 20).unwrap();
    }
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(error.to_string().contains("is larger than"), "{error}");
}
