//! Each promise and each trouble that the documents list has tests, and they exist.

use std::path::Path;

use testkit::trouble::{complaints, read, tests_of};

#[test]
fn every_promise_and_every_trouble_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tests = tests_of(&root.join("crates")).unwrap();
    let mut all = Vec::new();
    for document in ["SPECIFICATION.md", "docs/trouble.md"] {
        let list = read(&std::fs::read_to_string(root.join(document)).unwrap());
        all.extend(
            complaints(&list, &tests)
                .into_iter()
                .map(|complaint| format!("{document}: {complaint}")),
        );
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
