//! The `aca` program.
fn main() {}
