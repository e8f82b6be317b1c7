//! Files and flags become a [`Policy`](crate::policy::Policy): the only way in.
//!
//! Layers are built in < the user's file < that file's section for the agent < flags. Every rule keeps the place where
//! it was written. Nothing here looks at the machine beyond reading the one file.

#[cfg(test)]
mod agent_tests;
mod error;
mod excerpt;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod import;
pub mod layer;
mod load;
mod merge;
pub mod path;
mod places;
mod schema;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
pub mod value;

pub use error::{ConfigError, Problem};
pub use excerpt::{Excerpt, Source};
pub use layer::{FileLayer, Settings};
pub use load::load;
pub use merge::{Bases, merge};
pub use places::Places;
pub(crate) use suggest::nearest;
pub use value::FixedAddress;
