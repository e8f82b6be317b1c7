//! Arguments of what is about settings: `aca config`, `aca import`, `aca trust`.

use super::run::RunArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `aca import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "What can't be carried over is listed on standard error. Where that is a restriction, the exit status is 1 \
                  and nothing is written, unless --lenient is given."
)]
pub struct ImportArgs {
    /// Whose settings they are.
    #[command(subcommand)]
    pub dialect: Dialect,
}

/// Whose settings `aca import` reads.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Dialect {
    /// sandbox-runtime's
    Srt {
        /// The file, such as `~/.srt-settings.json`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How.
        #[command(flatten)]
        how: ImportFlags,
    },
    /// Claude Code's
    Claude {
        /// The files; `~/.claude/settings.json` if left out
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also those of the project that holds this directory
        #[arg(long)]
        project: bool,
        /// How.
        #[command(flatten)]
        how: ImportFlags,
    },
}

/// Flags of `aca import`, whatever the dialect.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImportFlags {
    /// Write to a new file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on without the restrictions that can't be carried over
    #[arg(long)]
    pub lenient: bool,
}

/// Arguments of `aca config`: those of `aca run`, and the form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "aca config [--json] [FLAGS] [AGENT]\n       aca config check FILE\n       aca config schema"
)]
pub struct ConfigArgs {
    /// Something else than printing.
    #[command(subcommand)]
    pub action: Option<ConfigAction>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// As for `aca run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What else `aca config` does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConfigAction {
    /// Say whether a file is a configuration, and where it isn't
    Check(CheckArgs),
    /// Print the JSON schema of configuration files
    Schema,
}

/// Arguments of `aca config check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read it as the administrator's, which may set floors and locks
    #[arg(long)]
    pub administrator: bool,
}

/// Arguments of `aca trust`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TrustArgs {
    /// A directory of the project; the current one if left out
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Trust it without asking
    #[arg(long, conflicts_with_all = ["list", "revoke"])]
    pub yes: bool,
    /// Print the projects that are trusted
    #[arg(long, conflicts_with_all = ["revoke", "directory"])]
    pub list: bool,
    /// Trust it no more
    #[arg(long)]
    pub revoke: bool,
}
