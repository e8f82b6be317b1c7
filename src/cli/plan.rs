//! `aca plan`: prints what a run would do.

use super::flags::PlanArgs;
use crate::failure::{Failure, FailureKind};
use std::process::ExitCode;

/// Does it.
///
/// # Errors
/// Always, for now.
pub fn execute(_args: &PlanArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(FailureKind::Internal, "`aca plan` is not wired yet"))
}
