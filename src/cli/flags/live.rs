//! Arguments of what changes a session that runs: `aca allow`, `aca deny`, `aca approve`, `aca ports`.

use crate::policy::HostPattern;
use clap::{Args, Subcommand};

/// Arguments of `aca allow`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AllowArgs {
    /// Which, and where.
    #[command(flatten)]
    pub rules: RulesArgs,
}

/// Arguments of `aca deny`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DenyArgs {
    /// Which, and where.
    #[command(flatten)]
    pub rules: RulesArgs,
    /// End the open connections that are denied then
    #[arg(long)]
    pub cut: bool,
}

/// Arguments of `aca approve`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = clap::ArgGroup::new("answer").args(["once", "session", "always", "deny", "never"]))]
pub struct ApproveArgs {
    /// Number of an ask, to answer it without being asked
    #[arg(value_name = "N", requires = "answer")]
    pub ask: Option<u64>,
    /// Yes, to the connections that wait now
    #[arg(long, requires = "ask")]
    pub once: bool,
    /// Yes, until the session ends
    #[arg(long, requires = "ask")]
    pub session: bool,
    /// Yes, and write it to your configuration for later runs
    #[arg(long, requires = "ask")]
    pub always: bool,
    /// No, until the session ends
    #[arg(long, requires = "ask")]
    pub deny: bool,
    /// No, and write it to your configuration for later runs
    #[arg(long, requires = "ask")]
    pub never: bool,
    /// Only print what waits
    #[arg(long, conflicts_with = "ask")]
    pub list: bool,
    /// With `--list`: JSON, a line an ask
    #[arg(long, requires = "list")]
    pub json: bool,
    /// Wait for what comes, in sessions that begin later too
    #[arg(long, conflicts_with = "ask")]
    pub follow: bool,
    /// Only of this session, or those whose id begins so
    #[arg(long, value_name = "ID")]
    pub of: Option<String>,
}

/// What `aca allow` and `aca deny` have in common.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RulesArgs {
    /// `host`, `*.host` (sub-domains), `**.host` (and itself), an address; with a port where it isn't 80 or 443
    #[arg(value_name = "HOST[:PORT]", required = true)]
    pub hosts: Vec<HostPattern>,
    /// Session, or the beginning of its id; the one that runs if left out, of several that of this project
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Write it to your configuration too, for later runs
    #[arg(long)]
    pub save: bool,
}

/// Arguments of `aca ports`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(disable_help_subcommand = true)]
pub struct PortsArgs {
    /// What to change; what is open is printed if left out.
    #[command(subcommand)]
    pub command: Option<PortsCommand>,
    /// The session, or the beginning of its id; the only one that runs if left out
    #[arg(long, value_name = "ID", global = true)]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// How `aca ports` changes what is open.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum PortsCommand {
    /// Let the host reach a server inside, or the sandbox a service of the host's, while the run lasts
    Add {
        /// A service on the host's loopback is meant, as `PORT` or `INSIDE:HOST`
        #[arg(long)]
        host: bool,
        /// A server inside, as `PORT`, `HOST:INSIDE`, or `:INSIDE` for any free port
        #[arg(value_name = "[[ADDR:]HOST:]PORT")]
        port: String,
    },
    /// Close one, and its connections
    Remove {
        /// A service on the host's loopback is meant, by its port inside
        #[arg(long)]
        host: bool,
        /// The port of the host
        port: u16,
    },
}
