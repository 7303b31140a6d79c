use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::Command;

use super::*;

const SIZE: u64 = 9 << 20;

/// A disk with data that packs and data that does not, holes, and an odd end.
fn raw(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("raw");
    let file = File::create(&path).unwrap();
    file.set_len(SIZE + 512).unwrap();
    file.write_all_at(&[7; 200_000], 100_000).unwrap();
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(300_000)
    .collect();
    file.write_all_at(&noise, 3 << 20).unwrap();
    file.write_all_at(b"the end", SIZE + 500).unwrap();
    path
}

fn convert(raw: &Path, options: &[&str]) -> File {
    let out = raw.with_extension("qcow2");
    let mut command = Command::new("qemu-img");
    let command = command.args(["convert", "-q", "-f", "raw", "-O", "qcow2"]);
    let done = command.args(options).args([raw, &out]).output();
    let done = done.expect("qemu-img is installed (qemu-utils)");
    assert!(done.status.success(), "{done:?}");
    File::open(out).unwrap()
}

fn unpacked(file: &File) -> Result<Vec<u8>, String> {
    let mut out = tempfile::tempfile().unwrap();
    unpack(file, &out, |_, _| true).map_err(|error| error.to_string())?;
    out.rewind().unwrap();
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[test]
fn what_qemu_has_packed_is_unpacked_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path());
    let expected = std::fs::read(&raw).unwrap();
    for options in [
        &[][..],
        &["-o", "compat=0.10"],
        &["-c"],
        &["-c", "-o", "compat=0.10"],
        &["-c", "-o", "compression_type=zstd"],
        &["-o", "cluster_size=512"],
        &["-c", "-o", "cluster_size=2M"],
    ] {
        let file = convert(&raw, options);
        assert!(is_one(&file).unwrap());
        assert!(unpacked(&file).unwrap() == expected, "{options:?}");
    }
    assert!(!is_one(&File::open(&raw).unwrap()).unwrap());
}

#[test]
fn what_is_zero_takes_no_room_and_the_caller_can_leave() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = convert(&raw(folder.path()), &[]);
    let out = tempfile::tempfile().unwrap();
    unpack(&file, &out, |_, _| true).unwrap();
    assert!(out.metadata().unwrap().blocks() * 512 < 1 << 20);
    let left = unpack(&file, &out, |_, _| false);
    assert!(matches!(left, Err(Qcow2Error::Cancelled)));
}

#[test]
fn a_disk_that_leans_on_another_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path());
    let name = raw.to_str().unwrap();
    let create = |options: &[&str]| {
        let out = folder.path().join("leaning");
        let mut command = Command::new("qemu-img");
        let command = command.args(["create", "-q", "-f", "qcow2"]).args(options);
        let done = command.arg(&out).arg("1M").output().unwrap();
        assert!(done.status.success(), "{done:?}");
        File::open(out).unwrap()
    };
    let data = format!("data_file={}", folder.path().join("data").display());
    for (options, what) in [
        (&["-b", name, "-F", "raw"][..], "a backing file"),
        (&["-o", &data], "an external data file"),
        (&["-o", "extended_l2=on"], "subclusters"),
    ] {
        let error = unpack(&create(options), &tempfile::tempfile().unwrap(), |_, _| true).unwrap_err();
        let told = format!("it is a qcow2 disk with {what}, which is not supported");
        assert_eq!(error.to_string(), told);
        assert!(error.hint().is_some());
    }
}

fn holding(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn a_damaged_disk_is_told_and_never_more_than_it() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path());
    for options in [&["-o", "cluster_size=64k"][..], &["-c"]] {
        let mut whole = Vec::new();
        convert(&raw, options).read_to_end(&mut whole).unwrap();
        let cut = unpacked(&holding(&whole[..whole.len() / 2])).unwrap_err();
        assert!(cut.starts_with("it is a damaged qcow2 disk: "), "{cut}");
        for at in (4..200).step_by(3).chain((200..whole.len()).step_by(80_021)) {
            let mut damaged = whole.clone();
            let end = (at + 3).min(damaged.len());
            for byte in &mut damaged[at..end] {
                *byte = !*byte;
            }
            // A larger size of the disk alone is no damage: it is a hole.
            let file = holding(&damaged);
            if Header::read(&file).is_ok_and(|header| header.size < 1 << 30) {
                let _ = unpacked(&file);
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4000),
        bits in 0_u8..24,
    ) {
        if bytes.len() > 200 {
            bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
            bytes[8..16].fill(0);
            bytes[20..32].fill(0);
            bytes[23] = bits;
            bytes[29] = 0x10;
            bytes[32..39].fill(0);
            bytes[40..46].fill(0);
            bytes[72..80].fill(0);
        }
        let _ = unpack(&holding(&bytes), &tempfile::tempfile().unwrap(), |_, _| true);
    }
}
