//! aca runs AI coding agents in a sandbox that the kernel enforces.
pub mod launch;
pub mod policy;
pub mod supervise;
pub mod sys;
