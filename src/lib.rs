//! aca runs AI coding agents in a sandbox that the kernel enforces.
//!
//! Data goes one way: [`cli`] → [`config`] → [`policy`] (with [`facts`]) → [`plan`] → [`launch`] → [`supervise`] →
//! [`audit`]. [`policy`], [`plan`] and [`git`] are pure; [`launch`] makes a plan so; [`proxy`] is the gate of the network,
//! [`broker`] finds credentials for it, [`control`] is the channel to a running session, [`exit_gate`] the look at what a
//! run left; [`sys`] holds the only unsafe code. `tests/layers.rs` holds all that.
pub mod agents;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod config;
pub mod control;
pub mod exit_gate;
pub mod facts;
pub mod failure;
pub mod git;
pub mod gitcheck;
pub mod isolated;
pub mod launch;
pub mod plan;
pub mod policy;
pub mod presets;
pub mod proxy;
pub mod supervise;
pub mod sys;
pub mod ui;
