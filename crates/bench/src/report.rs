//! `docs/benchmarks.md`.

use std::fmt::Write;

use crate::machine::Machine;
use crate::sandbox::Shown;
use crate::section::Section;

/// Writes the page. `notes` is kept from the page that it replaces: what people found out about the figures.
pub fn render(date: &str, machine: &Machine, vm: &Shown, sections: &[Section], notes: &str) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, date, machine, vm, sections, notes);
    page
}

/// The part of a page that people write, from its heading to the end.
pub fn notes_of(page: &str) -> &str {
    page.find(NOTES).map_or(NOTES, |start| page[start..].trim_end())
}

/// A page with one section in the place of the one of that title, or before the notes.
pub fn replace(page: &str, section: &Section) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_section(&mut text, section);
    let heading = format!("## {}\n", section.title);
    let start = page.find(&heading).or_else(|| page.find(NOTES));
    let start = start.unwrap_or(page.len());
    let (before, after) = page.split_at(start);
    let after = match after.strip_prefix(&heading) {
        Some(old) => old.find("\n## ").map_or("", |end| &old[end + 1..]),
        None => after,
    };
    format!("{before}{text}{after}")
}

const NOTES: &str = "## Notes";

fn write_page(
    page: &mut String,
    date: &str,
    machine: &Machine,
    vm: &Shown,
    sections: &[Section],
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
        vm.vcpu,
        vm.memory_mib,
        vm.vmm,
        vm.kernel,
        vm.image,
    )?;
    for section in sections {
        write_section(page, section)?;
    }
    writeln!(page, "{notes}")
}

/// A heading with its table.
pub fn write_section(page: &mut String, section: &Section) -> std::fmt::Result {
    writeln!(page, "## {}\n\n{}\n", section.title, section.says)?;
    writeln!(
        page,
        "| | median | fastest to slowest | runs | ratio |\n|---|---|---|---|---|"
    )?;
    for row in &section.rows {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            row.label, row.median, row.spread, row.runs, row.ratio
        )?;
    }
    writeln!(page)?;
    for goal in &section.goals {
        let verdict = if goal.met { "met" } else { "missed" };
        writeln!(page, "Goal: {}: **{verdict}**.\n", goal.text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_alone_takes_the_place_of_the_one_before() {
        let section = Section {
            title: "This",
            says: "New.".to_owned(),
            rows: Vec::new(),
            goals: Vec::new(),
        };
        let table = "| | median | fastest to slowest | runs | ratio |\n|---|---|---|---|---|\n\n";
        let new = format!("## This\n\nNew.\n\n{table}");
        let (old, notes) = ("## This\n\nOld.\n\n", "## Notes\n\nText.\n");
        let other = "## This and that\n\nKept.\n\n";
        assert_eq!(
            replace(&format!("# Page\n\n{old}{other}{notes}"), &section),
            format!("# Page\n\n{new}{other}{notes}")
        );
        assert_eq!(
            replace(&format!("# Page\n\n{other}{notes}"), &section),
            format!("# Page\n\n{other}{new}{notes}")
        );
    }

    #[test]
    fn notes_of_people_are_kept() {
        assert_eq!(
            notes_of("# Page\n\n## Notes\n\nSlow because.\n"),
            "## Notes\n\nSlow because."
        );
        assert_eq!(notes_of("# Page\n"), "## Notes");
    }
}
