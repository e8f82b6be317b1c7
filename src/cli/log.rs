//! `aca log`: shows what happened in a session.

use super::flags::LogArgs;
use crate::failure::{Failure, FailureKind};
use std::process::ExitCode;

/// Does it.
///
/// # Errors
/// Always, for now.
pub fn execute(_args: &LogArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(FailureKind::Internal, "`aca log` is not wired yet"))
}
