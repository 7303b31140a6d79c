//! Man pages, a page a command, from the same source as the help.

use std::io;

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, roman};

/// A page: its file's name, `banger-vm-run.1`, and its text.
#[derive(Debug)]
pub struct Page {
    pub file: String,
    pub text: Vec<u8>,
}

/// The pages of all commands that the help shows.
///
/// # Errors
/// None that a buffer in memory gives.
pub fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        commands.extend(
            command
                .get_subcommands()
                .filter(|command| !command.is_hide_set())
                .cloned(),
        );
        pages.push(page(command)?);
    }
    Ok(pages)
}

fn page(command: Command) -> io::Result<Page> {
    let after = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let has_commands = command.get_subcommands().any(|command| !command.is_hide_set());
    let man = Man::new(command)
        .source(concat!("banger ", env!("CARGO_PKG_VERSION")))
        .manual("banger");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    closing(&after).to_writer(&mut text)?;
    Ok(Page {
        file: man.get_filename(),
        text,
    })
}

/// What follows the flags: blocks whose lines stay as they are, each under its own head, and notes.
fn closing(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut noted = false;
    for block in text.split("\n\n") {
        let (head, lines) = block.split_once('\n').unwrap_or((block, ""));
        match head.strip_suffix(':') {
            Some(head) if lines.starts_with(' ') => {
                roff.control("SH", [head.to_uppercase().as_str()]);
                roff.control("nf", []);
                for line in lines.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
            _ if block.is_empty() => {}
            _ => {
                roff.control(
                    if noted { "PP" } else { "SH" },
                    if noted { &[][..] } else { &["NOTES"] }.iter().copied(),
                );
                noted = true;
                for line in block.lines() {
                    roff.text([roman(line)]);
                }
            }
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_has_a_page_with_all_its_flags_and_examples() {
        fn check(command: &Command, pages: &[Page]) {
            let file = format!(
                "{}.1",
                command.get_display_name().unwrap_or_else(|| command.get_name())
            );
            let page = pages
                .iter()
                .find(|page| page.file == file)
                .unwrap_or_else(|| panic!("no {file}"));
            // Hyphens and apostrophes that may be copied are written in roff's own way.
            let text = String::from_utf8(page.text.clone())
                .unwrap()
                .replace("\\-", "-")
                .replace("\\*(Aq", "'");
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for flag in shown.filter_map(clap::Arg::get_long) {
                assert!(text.contains(&format!("--{flag}")), "{file} lacks --{flag}");
            }
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("banger "))
            {
                assert!(text.contains(&line.replace('\\', "\\\\")), "{file} lacks {line}");
            }
            for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                check(command, pages);
            }
        }
        let pages = pages(super::super::command()).unwrap();
        let mut command = super::super::command().disable_help_subcommand(true);
        command.build();
        check(&command, &pages);
        assert!(
            pages.iter().all(|page| !page.file.contains("internal")),
            "hidden commands stay hidden"
        );
    }

    #[test]
    fn examples_keep_their_lines_and_notes_come_together() {
        let roff = closing("Examples:\n  a    b\n  c\n\nSome words\nof note.\n\nMore.").to_roff();
        assert!(
            roff.contains(
                ".SH EXAMPLES\n.nf\n  a    b\n  c\n.fi\n.SH NOTES\nSome words\nof note.\n.PP\nMore.\n"
            ),
            "{roff}"
        );
    }
}
