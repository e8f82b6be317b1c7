//! Calls of the kernel that no crate has a safe form of. The only unsafe code; each module is a safe form of one subject.
#![expect(unsafe_code, reason = "system calls without a safe form in nix or rustix")]
#[cfg(target_os = "linux")]
pub mod seccomp;
