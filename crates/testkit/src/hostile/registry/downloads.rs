//! Blobs that are not what the manifest says, and downloads that break and go on somewhere else.

use super::RegistryLie;
use super::server::{Asked, Reply, response};
use crate::container::{MANIFEST, TestImage, digest};
use crate::hostile::Answer;

/// As a well-behaved registry answers. Only a blob may be what a lie consists of.
pub(super) fn honest(asked: &Asked, image: &TestImage) -> Reply {
    let name = asked.path().rsplit('/').next().unwrap_or_default();
    if name == "1" || name == digest(&image.manifest) {
        return Reply::honest(response(200, &[("content-type", MANIFEST)], &image.manifest));
    }
    let Some(blob) = image.blobs.get(name) else {
        return Reply::honest(response(404, &[], b"{}"));
    };
    Reply::lie(match from(asked) {
        0 => response(200, &[], blob),
        from if from < blob.len() => part(blob, from, from, blob.len()),
        _ => response(416, &[], b""),
    })
}

/// The first byte that is asked for.
fn from(asked: &Asked) -> usize {
    let range = asked
        .header("range")
        .and_then(|range| range.strip_prefix("bytes="));
    range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap_or(0))
}

/// The end of a blob, said to begin at `told`.
fn part(blob: &[u8], from: usize, told: usize, length: usize) -> Answer {
    let range = format!("bytes {told}-{}/{length}", length - 1);
    response(206, &[("content-range", &range)], &blob[from..])
}

/// A blob whose connection breaks after so many bytes.
fn cut(blob: &[u8], after: usize) -> Answer {
    let mut answer = response(200, &[], blob);
    answer
        .bytes
        .truncate(answer.bytes.len() - blob.len() + after.min(blob.len()));
    answer
}

/// What is told in the place of a blob.
pub(super) fn answer(lie: RegistryLie, asked: &Asked, image: &TestImage) -> Option<Reply> {
    let name = asked.path().rsplit('/').next().unwrap_or_default();
    let blob = image.blobs.get(name)?;
    let other = || blob.iter().map(|byte| byte ^ 1).collect::<Vec<_>>();
    let (from, half) = (from(asked), blob.len() / 2);
    // What is to be continued breaks off first.
    let broken = || Reply::honest(cut(blob, half));
    Some(Reply::lie(match lie {
        RegistryLie::OtherBlob | RegistryLie::OtherConfig => response(200, &[], &other()),
        RegistryLie::LongerBlob => response(200, &[], &[blob.as_slice(), b"more"].concat()),
        RegistryLie::ShorterBlob => response(200, &[], &blob[..half]),
        RegistryLie::EmptyBlob => response(200, &[], b""),
        RegistryLie::CutAgain => cut(blob, 10),
        RegistryLie::ResumedOther
        | RegistryLie::ResumedFromStart
        | RegistryLie::ResumedElsewhere
        | RegistryLie::ResumedNowhere
        | RegistryLie::ResumeRefused
            if from == 0 =>
        {
            return Some(broken());
        }
        RegistryLie::ResumedOther => part(&other(), from, from, blob.len()),
        RegistryLie::ResumedFromStart => part(blob, 0, from, blob.len()),
        RegistryLie::ResumedElsewhere => part(blob, from, from + 7, blob.len()),
        RegistryLie::ResumedNowhere => response(
            206,
            &[("content-range", "bytes -1-18446744073709551616/*")],
            &blob[from..],
        ),
        RegistryLie::ResumeRefused => response(416, &[("content-range", "bytes */0")], b""),
        _ => return None,
    }))
}
