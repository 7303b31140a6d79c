//! What merging takes of memory, for layers that are small and mean much.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs;

use oci::{Compression, Limits};
use support::tar::Tar;

/// Most memory that this process has had, in bytes, since the last call of [`forget_peak`].
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// proc(5), `clear_refs`.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A header each for a folder 120 folders deep: a layer of some kilobytes when packed.
fn deep(folders: usize) -> Vec<u8> {
    let below = "d/".repeat(119);
    (0..folders)
        .fold(Tar::new(), |tar, number| {
            tar.file(&format!("{number:05}/{below}f"), "")
        })
        .finish()
}

fn merge(archives: &[Vec<u8>], memory: usize) -> Result<bool, String> {
    let layers: Vec<_> = archives
        .iter()
        .map(|archive| {
            let blob = support::pack(archive, Compression::Gzip);
            support::layer("deep", &blob, Compression::Gzip, None)
        })
        .collect();
    let limits = Limits {
        memory,
        ..Limits::default()
    };
    let mut merged = oci::flatten(&layers, &limits, &progress::Cancel::default());
    loop {
        match merged.next() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(merged.needed_a_plan()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

const BOUND: usize = 8 << 20;
/// Buffers of readers and decoders, and what tables take while they grow.
const BESIDE: usize = 32 << 20;

#[test]
fn a_small_layer_of_very_many_folders_is_refused_within_the_bound_on_memory() {
    let archive = deep(3_000);
    assert!(support::pack(&archive, Compression::Gzip).len() < archive.len() / 20);
    // In the oldest layer the folders are made; in a newer one merging needs a plan first.
    let newer = [Tar::new().file("a", "").finish(), archive.clone()];
    for archives in [vec![archive], newer.to_vec()] {
        forget_peak();
        let before = peak();
        let error = merge(&archives, BOUND).unwrap_err();
        let took = peak() - before;
        assert!(
            error.starts_with("layer deep, `")
                && error.ends_with("more than the 8 MiB of memory that an image may take"),
            "{error}"
        );
        assert!(took < BOUND + BESIDE, "{} MiB", took >> 20);
    }
}

#[test]
fn what_a_layer_hides_counts_as_what_it_holds_does() {
    let whiteouts = (0..15_000)
        .fold(Tar::new().dir("w"), |tar, number| {
            tar.file(&format!("w/.wh.{number:0200}"), "")
        })
        .finish();
    forget_peak();
    let before = peak();
    let error = merge(&[Tar::new().dir("w").finish(), whiteouts], 2 << 20).unwrap_err();
    assert!(error.contains("more than the 2 MiB of memory"), "{error}");
    assert!(peak() - before < (2 << 20) + BESIDE);
}

#[test]
fn layers_of_ordinary_images_are_far_from_the_bound() {
    let folder = |layer: usize, number: usize| format!("usr/lib/python3/dist-packages/{layer}-{number:03}");
    let archives: Vec<_> = (0..4)
        .map(|layer| {
            let mut tar = Tar::new();
            for number in 0..100 {
                tar = tar.dir(&folder(layer, number));
                for file in 0..50 {
                    tar = tar.file(&format!("{}/module_{file}.py", folder(layer, number)), "x");
                }
            }
            tar.finish()
        })
        .collect();
    // 20,000 files with and without a plan: a million fits in fifty times as much, which is the default.
    let default = Limits::default().memory;
    assert_eq!(merge(&archives, default / 50), Ok(true));
    assert_eq!(merge(&archives[..1], default / 200), Ok(false));
}
