//! The lists of promises and troubles held against the tests: each line has a test, each test exists.
//!
//! `SPECIFICATION.md` and `docs/trouble.md` hold tables whose last column names tests as `` `crate::name` ``.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Heading that it stands under.
    pub section: String,
    /// What goes wrong.
    pub item: String,
    /// Names of the tests that show what happens then.
    pub tests: Vec<String>,
}

/// Reads the tables of a list: rows `| line | … | ``crate::name``, … |`, tests in the last column.
#[must_use]
pub fn read(markdown: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut troubles = Vec::new();
    let mut in_table = false;
    for line in markdown.lines().map(str::trim) {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        }
        let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let is_rule = cells
            .iter()
            .all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')));
        if is_rule {
            in_table = true;
        } else if in_table && let [item, .., tests] = cells.as_slice() {
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            troubles.push(Line {
                section: section.clone(),
                item: (*item).to_owned(),
                tests,
            });
        }
    }
    troubles
}

/// What is wrong with the list, one line each: a trouble without a test, a test that is not there.
#[must_use]
pub fn complaints(troubles: &[Line], tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    if troubles.is_empty() {
        complaints.push("the list is empty".to_owned());
    }
    for Line {
        section,
        item,
        tests: named,
    } in troubles
    {
        if named.is_empty() {
            complaints.push(format!("{section}: `{item}` has no test"));
        }
        for test in named.iter().filter(|test| !tests.contains(*test)) {
            complaints.push(format!(
                "{section}: `{item}` names the test `{test}`, which does not exist"
            ));
        }
    }
    complaints
}

/// Every test of the crates that lie in `crates`, as `crate::name`; modules do not count.
///
/// # Errors
/// Where a source cannot be read.
pub fn tests_of(crates: &Path) -> io::Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(crates)? {
        let folder = entry?.path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        tests.extend(
            tests_below(&folder)?
                .into_iter()
                .map(|test| format!("{name}::{test}")),
        );
    }
    Ok(tests)
}

fn tests_below(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let (kind, path) = entry.and_then(|entry| Ok((entry.file_type()?, entry.path())))?;
            if kind.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                tests.extend(tests_in(&fs::read_to_string(&path)?));
            }
        }
    }
    Ok(tests)
}

/// Functions under an attribute that makes a test of them, in the way rustfmt writes it.
fn tests_in(source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let (mut is_test, mut in_attribute) = (false, false);
    for line in source.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let name = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= name == "test" || name.ends_with("::test");
            in_attribute = !line.ends_with(']');
        } else if in_attribute {
            in_attribute = !line.ends_with(")]");
        } else if let Some((before, after)) = line.split_once("fn ") {
            let is_function = before.is_empty() || before.ends_with(' ');
            if is_test
                && is_function
                && let Some((name, _)) = after.split_once(['(', '<'])
            {
                tests.push(name.to_owned());
            }
            is_test = false;
        } else if !line.is_empty() && !line.starts_with("//") {
            is_test = false;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# Trouble
| not a row before the rule |
## First
| trouble | what the user gets | tests |
|---|:--|---|
| a bad name | a line | `cli::a_bad_name_is_refused`, `x::b` |
| no tests yet | a line | |

## Second
| trouble | tests |
|---|---|
| `x` fails | `x::c` |
";

    #[test]
    fn the_rows_of_every_table_are_read_with_their_tests() {
        let rows: Vec<_> = read(LIST)
            .into_iter()
            .map(|row| (row.section, row.item, row.tests.len()))
            .collect();
        let expected = [
            ("First", "a bad name", 2),
            ("First", "no tests yet", 0),
            ("Second", "`x` fails", 1),
        ];
        assert_eq!(
            rows,
            expected.map(|(section, item, tests)| (section.to_owned(), item.to_owned(), tests))
        );
    }

    #[test]
    fn a_trouble_without_a_test_and_a_test_that_is_not_there_are_complained_of() {
        let tests = BTreeSet::from(["cli::a_bad_name_is_refused".to_owned(), "x::c".to_owned()]);
        let complaints = complaints(&read(LIST), &tests);
        assert_eq!(
            complaints,
            [
                "First: `a bad name` names the test `x::b`, which does not exist",
                "First: `no tests yet` has no test",
            ]
        );
        assert_eq!(super::complaints(&[], &tests), ["the list is empty"]);
    }

    #[test]
    fn only_functions_that_are_tests_count() {
        let source = "
            #[test]
            fn plain() {}
            #[tokio::test(flavor = \"multi_thread\")]
            #[should_panic(
                expected = \"no\"
            )]
            // Why.
            async fn with_more_attributes() {}
            fn helper() {}
            #[test]
            const NO: () = ();
            fn after_something_else() {}
            #[cfg(test)]
            fn not_a_test() {}
            proptest! {
                #[test]
                fn of_properties(x in 0..1) {}
            }
        ";
        assert_eq!(
            tests_in(source),
            ["plain", "with_more_attributes", "of_properties"]
        );
    }
}
