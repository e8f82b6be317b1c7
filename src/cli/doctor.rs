//! `aca doctor`: says what this machine gives.

use super::flags::DoctorArgs;
use crate::failure::{Failure, FailureKind};
use std::process::ExitCode;

/// Does it.
///
/// # Errors
/// Always, for now.
pub fn execute(_args: &DoctorArgs) -> Result<ExitCode, Failure> {
    Err(Failure::new(
        FailureKind::Internal,
        "`aca doctor` is not wired yet",
    ))
}
