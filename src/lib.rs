//! aca runs AI coding agents in a sandbox that the kernel enforces.
pub mod facts;
pub mod launch;
pub mod plan;
pub mod policy;
pub mod supervise;
pub mod sys;
