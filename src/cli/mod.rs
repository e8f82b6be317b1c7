//! The command line: what was typed, nothing resolved; one file a command.

mod agent_needs;
pub mod agents;
pub mod approve;
mod attempts;
pub mod check;
pub mod config;
pub mod doctor;
pub mod flags;
pub mod import;
mod isolated;
pub mod log;
mod masked;
pub mod plan;
pub mod ports;
mod prepare;
mod project;
mod put_away;
pub mod rules;
pub mod run;
pub mod selftest;
pub mod sessions;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod why;
mod written;

pub use flags::{Command, RunArgs, RunFlags};

use crate::{
    failure::{Failure, FailureKind},
    launch::linux::parent::{LaunchError, Stage},
    ui,
};
use clap::Parser;
use std::{ffi::OsString, process::ExitCode};

/// aca runs AI coding agents in a sandbox that the kernel enforces.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "aca",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the arguments ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A command.
    Args(Box<Args>),
    /// Help or the version: text for standard output.
    Text(String),
}

/// Reads the arguments, the program's own name first.
///
/// # Errors
/// [`FailureKind::Usage`] with clap's message.
pub fn parse(argv: &[OsString]) -> Result<Parsed, Failure> {
    match Args::try_parse_from(argv) {
        Ok(mut args) => {
            args.command.note_separator(argv)?;
            Ok(Parsed::Args(Box::new(args)))
        }
        Err(error) if !error.use_stderr() => Ok(Parsed::Text(error.render().to_string())),
        Err(error) => Err(flags::usage_failure(&error)),
    }
}

/// Parses the arguments and does what they ask; the exit code is the command's. `stage` is one that was started for a
/// run; without a run it ends when it is let go.
///
/// # Errors
/// What the command failed at, to be rendered by the caller.
pub fn main(argv: Vec<OsString>, stage: Option<Result<Stage, LaunchError>>) -> Result<ExitCode, Failure> {
    let args = match parse(&argv)? {
        Parsed::Args(args) => args,
        Parsed::Text(text) => {
            ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    match args.command {
        Command::Run(args) => run::execute(&args, stage.unwrap_or_else(Stage::spawn)),
        Command::Plan(args) => plan::execute(&args),
        Command::Doctor(args) => doctor::execute(&args),
        Command::Selftest(args) => selftest::execute(&args),
        Command::Log(args) => log::execute(&args),
        Command::Agents(args) => agents::execute(&args),
        Command::Import(args) => import::execute(&args),
        Command::Allow(args) => rules::execute(&args.rules, rules::Effect::Allow),
        Command::Approve(args) => approve::execute(&args),
        Command::Deny(args) => {
            let effect = rules::Effect::Deny { cut: args.cut };
            rules::execute(&args.rules, effect)
        }
        Command::Sessions(args) => sessions::execute(&args),
        Command::Check(args) => check::execute(&args),
        Command::Ports(args) => ports::execute(&args),
        Command::Config(args) => config::execute(&args),
        Command::Trust(args) => trust::execute(&args),
        Command::Why(args) => why::execute(&args),
        Command::WhyPush(args) => why::push::execute(&args),
    }
}
