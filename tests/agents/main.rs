//! The real clients of agents in the sandbox, against a model of our own on loopback.
//!
//! The clients are found through variables that the CI sets after it has installed them (`ACA_TEST_CLAUDE` and so on:
//! npm's prefix), or at the usual place on the machine; a client that isn't there is a counted skip.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop and look at paths"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/web.rs"]
mod web;

mod claude;
mod codex;
mod copilot;
mod gemini;
mod known;
mod model;
mod npm;
mod opencode;
mod screen;
mod state;
