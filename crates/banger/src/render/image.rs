//! Images in words.

use api::{Image, Pruned};
use jiff::Timestamp;

use super::table::{new, pairs, print};
use super::{age, bytes, one_line};

/// The images, a line each, under a head line.
pub fn images(images: &[Image], now: Timestamp) -> String {
    let mut table = new(["NAME", "FROM", "KERNEL", "SIZE", "VMS", "AGE"]);
    for image in images {
        table.add_row([
            one_line(&image.name),
            one_line(image.reference.as_deref().unwrap_or(&image.kind.to_string())),
            one_line(&image.kernel),
            bytes(image.bytes),
            image.vms.len().to_string(),
            age(image.created_at, now),
        ]);
    }
    print(&table)
}

/// Everything about an image, a line each.
pub fn image(image: &Image) -> String {
    let list = |texts: &[String]| match texts {
        [] => "-".to_owned(),
        texts => texts.join(", "),
    };
    let mut lines = vec![
        ("name", image.name.clone()),
        ("id", image.id.clone()),
        ("kind", image.kind.to_string()),
        (
            "from",
            image
                .reference
                .clone()
                .or_else(|| image.file.clone())
                .unwrap_or_else(|| "-".into()),
        ),
        ("kernel", image.kernel.clone()),
        ("boot", image.boot.to_string()),
        ("size", bytes(image.bytes)),
        ("entries", image.entries.to_string()),
        ("vms", list(&image.vms)),
        ("created", image.created_at.to_string()),
    ];
    if let Some(config) = &image.config {
        let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
        let some = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        lines.extend([
            ("entrypoint", words(&config.entrypoint)),
            ("cmd", words(&config.cmd)),
            ("user", some(&config.user)),
            ("workdir", some(&config.working_dir)),
            ("ports", list(&config.exposed_ports)),
        ]);
        lines.extend(config.env.iter().map(|variable| ("env", variable.clone())));
    }
    pairs(lines)
}

/// What a prune did, or would do.
pub fn pruned(pruned: &Pruned, dry_run: bool) -> String {
    let count =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut parts = vec![count(pruned.blobs, "cached blob", "cached blobs")];
    if pruned.kernels > 0 {
        parts.push(count(pruned.kernels, "unused kernel", "unused kernels"));
    }
    let last = count(pruned.file_systems, "unused file system", "unused file systems");
    format!(
        "{} {} and {last}, {}",
        if dry_run { "would remove" } else { "removed" },
        parts.join(", "),
        bytes(pruned.bytes)
    )
}
