//! The tools of a developer's day inside, with the domain filter of the default preset on: each row runs outside and
//! inside, as an ordinary user, and has the same result. Only three facilities of the kernel may differ by default,
//! and each has a grant by name (`grants`).
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may stop, print and look at paths"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/web.rs"]
mod web;

mod browser;
mod compilers;
mod files;
mod grants;
mod homes;
mod https;
mod ipc;
mod keys;
mod network;
mod processes;
mod registry;
mod rust;
mod table;
