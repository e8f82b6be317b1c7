//! Files and flags become a [`Policy`](crate::policy::Policy): the only way in.
//!
//! Layers are built in < the user's file < that file's section for the agent < flags. Every rule keeps the place where
//! it was written. Nothing here looks at the machine beyond reading the one file.

pub mod layer;
mod merge;
mod places;
pub mod value;

pub use layer::{FileLayer, Settings};
pub use merge::{Bases, merge};
pub use places::Places;
pub use value::FixedAddress;

use std::path::Path;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Placeholder.
    #[error("not wired yet")]
    NotYet,
}

/// Reads the user's configuration file: `explicit` where `--config` names one (then it must exist), else the place of
/// the XDG specification, where none is fine.
///
/// # Errors
/// A file that can't be read, or that isn't right, with the place of the fault.
pub fn load(places: &Places, explicit: Option<&Path>) -> Result<Option<FileLayer>, ConfigError> {
    let _ = (places, explicit);
    Ok(None)
}
