//! What stands between git inside and a server outside, against real git.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may stop, and wait"
)]

mod account;
mod check;
mod fidelity;
mod forge;
mod https;
mod https_hostile;
mod isolated;
mod isolated_guard;
mod isolated_hostile;
mod isolated_trees;
mod isolated_trees_hostile;
mod isolated_under_way;
mod nested;
mod packs;
#[path = "../support/pty.rs"]
#[expect(dead_code, reason = "the terminal of other tests does more")]
mod pty;
mod push_https;
mod push_ssh;
mod pushes;
mod ssh;
#[path = "../support/mod.rs"]
mod support;
mod yard;
