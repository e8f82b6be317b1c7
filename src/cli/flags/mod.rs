//! The clap types: every command and flag, and what `--` means.

mod live;
mod machine;
mod run;
mod sessions;
mod settings;
mod usage;
mod why;

pub use live::{AllowArgs, ApproveArgs, DenyArgs, PortsArgs, PortsCommand, RulesArgs};
pub use machine::{AgentsArgs, DoctorArgs, SelftestArgs};
pub use run::{PlanArgs, RunArgs, RunFlags};
pub use sessions::{LeftArgs, LogArgs, SessionsArgs};
pub use settings::{CheckArgs, ConfigAction, ConfigArgs, Dialect, ImportArgs, ImportFlags, TrustArgs};
pub(super) use usage::usage_failure;
pub use why::WhyArgs;

use crate::failure::{Failure, FailureKind};
use clap::Subcommand;
use std::ffi::OsString;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run an agent, or any command, in the sandbox
    Run(RunArgs),
    /// Print what a run would do, without doing it
    Plan(PlanArgs),
    /// Say what this machine gives, and how to get the rest
    Doctor(DoctorArgs),
    /// Show what happened in a session
    Log(LogArgs),
    /// List the sessions, newest first
    Sessions(SessionsArgs),
    /// Show what a run left that runs later on your machine, and put it back or away
    Check(LeftArgs),
    /// Allow hosts in a session that runs
    Allow(AllowArgs),
    /// Deny hosts in a session that runs
    Deny(DenyArgs),
    /// Show, open and close ports of a running session that lead over the wall
    Ports(PortsArgs),
    /// Answer what sessions ask that run with `--ask`
    Approve(ApproveArgs),
    /// Turn the settings of another sandbox into a configuration
    Import(ImportArgs),
    /// Try known escapes on this machine
    Selftest(SelftestArgs),
    /// List the agents that are known, and what each is granted
    Agents(AgentsArgs),
    /// Explain one decision: of a path, a host, a command, or an event of a session
    Why(Box<WhyArgs>),
    /// Explain what would become of a ref that git inside pushes
    WhyPush(Box<super::why::push::WhyPushArgs>),
    /// Print what is configured, each value with its source; check a file; print the schema
    Config(ConfigArgs),
    /// Trust what a project's `.aca.toml` says, after a look at it
    Trust(TrustArgs),
}

impl Command {
    /// Finds out whether `--` stood before the command's words, which clap doesn't tell, and refuses a run of nothing.
    pub(super) fn note_separator(&mut self, argv: &[OsString]) -> Result<(), Failure> {
        let (run, name) = match self {
            Self::Run(run) => (run, "run"),
            Self::Plan(plan) => (&mut plan.run, "plan"),
            Self::Config(config) => (&mut config.run, "config"),
            Self::Agents(_)
            | Self::Allow(_)
            | Self::Deny(_)
            | Self::Approve(_)
            | Self::Trust(_)
            | Self::Doctor(_)
            | Self::Import(_)
            | Self::Log(_)
            | Self::Sessions(_)
            | Self::Check(_)
            | Self::Ports(_)
            | Self::Selftest(_)
            | Self::Why(_)
            | Self::WhyPush(_) => {
                return Ok(());
            }
        };
        // The words are the end of argv, and nothing of aca's stands among them.
        let before = argv
            .len()
            .checked_sub(run.words.len() + 1)
            .and_then(|index| argv.get(index));
        run.after_separator = before.is_some_and(|word| word == "--");
        if run.words.is_empty() && name != "config" {
            return Err(Failure::new(
                FailureKind::Usage,
                format!("`aca {name}` needs an agent or a command"),
            )
            .hint(format!("`aca {name} claude`, or `aca {name} -- make test`")));
        }
        Ok(())
    }
}
