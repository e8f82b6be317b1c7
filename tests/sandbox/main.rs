//! The sandbox as its users meet it: real runs of the real program, as an ordinary user. Names of tests begin with the
//! id of the black-box case that they hold (`c01_…`).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/mod.rs"]
mod support;

mod attacker;
mod bad_input;
mod command;
mod environment;
mod escapes;
mod exit_gate;
mod git;
mod held;
mod import;
mod invariants;
mod jobs;
mod led;
mod leftovers;
mod lifecycle;
mod moved;
mod own;
mod process;
mod protect;
mod read;
mod root;
mod selftest;
mod sessions;
mod shell;
mod srt;
mod state;
mod surface;
mod terminal;
mod trust;
mod why;
mod write;
