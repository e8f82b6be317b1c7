//! The system-call filter: the lists in `seccomp/*.json`, what they compile to on both architectures, what the kernel
//! makes of it on this one, and what the supervisor sees of it.
//!
//! `cfg(test)` on the modules tells clippy that their helpers are tests too.
#![cfg(target_os = "linux")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what isn't expected fails the test"
)]
#![expect(unsafe_code, reason = "bare system calls are what is tested")]

#[cfg(test)]
mod allowed;
#[cfg(test)]
#[path = "../../seccomp/compile.rs"]
mod compile;
#[cfg(test)]
mod confined;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod starts;

#[cfg(test)]
use compile::{Architecture, List};
#[cfg(test)]
use std::path::Path;

/// The lists as the build reads them.
#[cfg(test)]
fn lists() -> Vec<List> {
    compile::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/seccomp"))).unwrap()
}

/// The architecture that this test was built for.
#[cfg(test)]
fn native() -> Architecture {
    Architecture::ALL
        .into_iter()
        .find(|arch| arch.name() == std::env::consts::ARCH)
        .unwrap()
}
