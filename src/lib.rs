//! aca runs AI coding agents in a sandbox that the kernel enforces.
pub mod policy;
pub mod supervise;
