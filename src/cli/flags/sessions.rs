//! Arguments of what looks at runs that were: `aca log`, `aca sessions`, `aca check`.

use crate::config::value;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `aca log`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// Session, or the beginning of its id; the newest if left out
    pub session: Option<String>,
    /// Print the lines as they were written
    #[arg(long)]
    pub json: bool,
    /// Only what was denied
    #[arg(long)]
    pub denied: bool,
    /// Go on as it happens, until the session ends
    #[arg(long)]
    pub follow: bool,
    /// Show nothing, but check that the log is as it was written; exit status 1 when it isn't
    #[arg(long, conflicts_with_all = ["json", "denied", "follow"])]
    pub verify: bool,
    /// With `--verify`: every log
    #[arg(long, requires = "verify", conflicts_with = "session")]
    pub all: bool,
}

/// Arguments of `aca sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SessionsArgs {
    /// Print JSON, a line a session
    #[arg(long)]
    pub json: bool,
    /// Only those of the project that holds this directory
    #[arg(long)]
    pub project: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value = "20", value_parser = value::count)]
    pub limit: u64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// Arguments of `aca check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LeftArgs {
    /// The session, or the beginning of its id; the newest of this project if left out
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
    /// Put back what changed at or beneath this path, and away what appeared there
    #[arg(long, value_name = "PATH")]
    pub revert: Vec<PathBuf>,
    /// Put away what is at or beneath this path
    #[arg(long, value_name = "PATH")]
    pub quarantine: Vec<PathBuf>,
    /// Take what is there for good: it isn't told again
    #[arg(long, conflicts_with_all = ["revert", "quarantine"])]
    pub accept: bool,
    /// Exit with 1 when something is there to be looked at
    #[arg(long)]
    pub strict: bool,
    /// Print a line of JSON each
    #[arg(long)]
    pub json: bool,
}
