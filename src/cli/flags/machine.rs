//! Arguments of what is asked about this machine and this program: `aca doctor`, `aca selftest`, `aca agents`.

use clap::Args;

/// Arguments of `aca doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `aca selftest`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SelftestArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Makes the attempts of the run outside of any sandbox, to see that they are told as failed
    #[arg(long, hide = true)]
    pub without_sandbox: bool,
    /// Only makes the attempts, where it stands; the bait as JSON. The self-test starts itself with it.
    #[arg(long, hide = true, value_name = "BAIT")]
    pub attempt: Option<String>,
}

/// Arguments of `aca agents`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AgentsArgs {
    /// One agent, in full; all of them in short if left out
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
