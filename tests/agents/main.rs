//! The real clients of agents in the sandbox, against a model of our own on loopback.
//!
//! The clients are found through variables that the CI sets after it has installed them (`ACA_TEST_CLAUDE`: npm's
//! prefix), or on the machine; a client that isn't there is a counted skip.

#[path = "../support/mod.rs"]
mod support;

mod state;
