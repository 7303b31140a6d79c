//! `docs/benchmarks.md`.

use std::fmt::Write;

use crate::boot::Boot;
use crate::erofs::Erofs;
use crate::machine::Machine;
use crate::stats::Times;

/// Writes the page. `notes` is kept from the page that it replaces: what people found out about the figures.
pub fn render(date: &str, machine: &Machine, boot: &Boot, erofs: &Erofs, notes: &str) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, date, machine, boot, erofs, notes);
    page
}

/// The part of a page that people write, from its heading to the end.
pub fn notes_of(page: &str) -> &str {
    page.find(NOTES).map_or(NOTES, |start| page[start..].trim_end())
}

const NOTES: &str = "## Notes";

fn write_page(
    page: &mut String,
    date: &str,
    machine: &Machine,
    boot: &Boot,
    erofs: &Erofs,
    notes: &str,
) -> std::fmt::Result {
    writeln!(page, "# How fast it is\n")?;
    writeln!(
        page,
        "Written by `make bench` on {date}. Each figure stands beside a floor that was measured in the same run, in \
         turn with it; what counts is the ratio. Times are medians, with the fastest and the slowest.\n"
    )?;
    let virtualisation = if machine.virtualisation { "with" } else { "without" };
    writeln!(
        page,
        "The machine: {} cores ({}, {virtualisation} virtualisation), {} GiB of memory, Linux {}, {}, {}. The VM: \
         {} vcpu, {} MiB, {}, kernel {}, image {}.\n",
        machine.cores,
        machine.level,
        machine.memory_gib,
        machine.kernel,
        machine.qemu,
        machine.erofs,
        boot.vm.vcpu,
        boot.vm.memory_mib,
        boot.vm.vmm,
        boot.vm.kernel,
        boot.vm.image,
    )?;

    writeln!(page, "## A cold `banger vm run --rm -- true`\n")?;
    writeln!(
        page,
        "The whole command, from its start to its end: create, boot, run `true` in the guest, delete. The daemon runs, kernel \
         and image are there. The floor is the same QEMU command line with the same kernel and an init that only powers \
         off, from QEMU's start to its end.\n"
    )?;
    writeln!(
        page,
        "| | median | fastest to slowest | runs | ratio |\n|---|---|---|---|---|"
    )?;
    row(page, "floor", &boot.floor, None)?;
    row(
        page,
        "banger",
        &boot.banger,
        Some(boot.banger.ratio_to(&boot.floor)),
    )?;
    writeln!(
        page,
        "\nGoal: at most 1.5 × the floor and 0.3 s, here {:.2} s: **{}**.\n",
        boot.goal_seconds(),
        verdict(boot.is_met())
    )?;

    writeln!(page, "## A tar archive to EROFS\n")?;
    writeln!(
        page,
        "The root file system of the image as a tar archive of {}, to an uncompressed EROFS. The floor is `tar -x` and \
         `mkfs.erofs`, without the time to delete the tree.\n",
        megabytes(erofs.tar_bytes)
    )?;
    writeln!(
        page,
        "| | median | fastest to slowest | runs | ratio |\n|---|---|---|---|---|"
    )?;
    let label = format!("`tar -x` and `mkfs.erofs`, {}", megabytes(erofs.unpacked_bytes));
    row(page, &label, &erofs.unpacked, None)?;
    let label = format!("banger's writer, {}", megabytes(erofs.streamed_bytes));
    row(
        page,
        &label,
        &erofs.streamed,
        Some(erofs.streamed.ratio_to(&erofs.unpacked)),
    )?;
    writeln!(page, "\nGoal: no slower: **{}**.\n", verdict(erofs.is_met()))?;
    writeln!(page, "{notes}")
}

fn row(page: &mut String, label: &str, times: &Times, ratio: Option<f64>) -> std::fmt::Result {
    let ratio = ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}"));
    let [median, least, most] = [times.median(), times.least(), times.most()].map(|time| time.as_secs_f64());
    writeln!(
        page,
        "| {label} | {median:.2} s | {least:.2} to {most:.2} s | {} | {ratio} |",
        times.runs()
    )
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

#[expect(clippy::cast_precision_loss, reason = "a size in whole megabytes")]
fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_people_are_kept() {
        assert_eq!(
            notes_of("# Page\n\n## Notes\n\nSlow because.\n"),
            "## Notes\n\nSlow because."
        );
        assert_eq!(notes_of("# Page\n"), "## Notes");
    }
}
