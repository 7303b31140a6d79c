//! Command-line client: development sandboxes on microVMs in one command.

fn main() {}
