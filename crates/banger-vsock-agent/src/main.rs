//! The agent binary: `/init` in the guest.

fn main() {}
