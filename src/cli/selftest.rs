//! `aca selftest`: tries known escapes on this machine.

use super::flags::SelftestArgs;
use crate::failure::{Failure, FailureKind};
use std::process::ExitCode;

/// Does it.
///
/// # Errors
/// Always, for now.
pub fn execute(_args: &SelftestArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(
        FailureKind::Internal,
        "`aca selftest` is not wired yet",
    ))
}
