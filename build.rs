//! Compiles `seccomp/*.json` into BPF for the target.
fn main() {}
