//! The real clients of agents in the sandbox, against a model of our own on loopback.
//!
//! The clients are found through variables that the CI sets after it has installed them (`ACA_TEST_CLAUDE`: npm's
//! prefix), or on the machine; a client that isn't there is a counted skip.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may stop and look at paths"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/web.rs"]
mod web;

mod claude;
mod model;
mod screen;
mod state;
