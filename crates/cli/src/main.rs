//! The binary `qbnn`.
fn main() {}
