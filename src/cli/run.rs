//! `aca run`: runs a command in the sandbox.

use super::flags::RunArgs;
use crate::failure::{Failure, FailureKind};
use std::process::ExitCode;

/// Does it.
///
/// # Errors
/// Always, for now.
pub fn execute(_args: &RunArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(FailureKind::Internal, "`aca run` is not wired yet"))
}
