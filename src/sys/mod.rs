//! The only place with `unsafe`: one safe function a kernel call, for what nix and rustix have no safe call for.
#![expect(
    unsafe_code,
    reason = "the calls that the safe crates lack stand here, and nowhere else"
)]

pub(crate) mod attempt;
pub(crate) mod landlock;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod process;
pub mod seccomp;
