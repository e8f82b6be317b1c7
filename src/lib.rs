//! aca runs AI coding agents in a sandbox that the kernel enforces.
pub mod agents;
pub mod audit;
pub mod cli;
pub mod config;
pub mod failure;
pub mod policy;
pub mod presets;
pub mod supervise;
pub mod ui;
