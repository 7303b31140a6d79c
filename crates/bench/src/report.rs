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

const NOTES: &str = "## Notes";

/// A page with these sections in the place of those of the same heading, each with its own date; new ones come last.
pub fn replace(page: &str, date: &str, sections: &[Section]) -> String {
    let mut page = page.to_owned();
    for section in sections {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write_section(&mut text, section);
        let _ = writeln!(text, "Measured by itself on {date}.\n");
        let heading = format!("## {}\n", section.title);
        let (start, end) = match page.find(&heading) {
            Some(start) => {
                let rest = page[start + 1..].find("\n## ");
                (start, rest.map_or(page.len(), |length| start + 1 + length + 1))
            }
            None => {
                let place = page.find(NOTES).unwrap_or(page.len());
                (place, place)
            }
        };
        page.replace_range(start..end, &text);
    }
    page
}

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
    if section.only_ratios {
        writeln!(page, "| | runs | ratio |\n|---|---|---|")?;
        for row in &section.rows {
            writeln!(page, "| {} | {} | {} |", row.label, row.runs, row.ratio)?;
        }
    } else {
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
    fn a_section_that_is_measured_by_itself_takes_its_own_place_and_no_other() {
        let section = |title| Section {
            title: String::from(title),
            says: "Says.".to_owned(),
            rows: Vec::new(),
            goals: Vec::new(),
            only_ratios: false,
        };
        let page = "# Page\n\n## One\n\nold\n\n## Two\n\nstays\n\n## Notes\n\nmine\n";
        let page = replace(page, "2026-01-02", &[section("One"), section("Three")]);
        assert!(page.starts_with("# Page\n\n## One\n\nSays.\n"), "{page}");
        assert!(
            !page.contains("old")
                && page.contains("Measured by itself on 2026-01-02.\n\n## Two\n\nstays\n\n## Three\n")
        );
        assert!(page.ends_with("\n\n## Notes\n\nmine\n"), "{page}");
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
