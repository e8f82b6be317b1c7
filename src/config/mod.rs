//! Files and flags become a [`Policy`](crate::policy::Policy): the only way in.
//!
//! Layers are built in < the administrator's file (`/etc/aca/config.toml`) < the user's < the project's (`.aca.toml`) <
//! flags; a file's section for the agent stands above the rest of that file. Every rule keeps the place where it was
//! written, and every layer says how far it is believed ([`Trust`]): what anyone may have written only makes narrower
//! ([`narrow`]) until the user trusts it ([`trust`]). What an administrator fixes nobody loosens ([`floor`]).
//!
//! Nothing here looks at the machine beyond reading those files.

mod administrator;
#[cfg(test)]
mod agent_tests;
mod credentials;
pub mod edit;
mod error;
mod excerpt;
pub mod floor;
pub mod import;
mod json_schema;
pub mod layer;
#[cfg(test)]
mod layer_tests;
mod load;
#[cfg(test)]
mod load_tests;
mod merge;
pub mod narrow;
pub mod path;
mod places;
mod pushes;
mod rules;
mod said;
mod schema;
mod shown;
pub(crate) mod suggest;
mod tables;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod value;

pub use administrator::ADMINISTRATORS_FILE;
pub use error::{ConfigError, Problem};
pub use excerpt::{Excerpt, Source};
pub use floor::{Floor, Forbidden, Lock};
pub use json_schema::json_schema;
pub use layer::{FileKind, FileLayer, Layers, Settings, Trust};
pub use load::{PROJECT_FILE, ProjectFile, check, load, load_administrators, load_projects, projects_digest};
pub use merge::{Bases, Chosen, Merged, merge};
pub use places::Places;
pub use said::Said;
pub use schema::read;
pub(crate) use suggest::nearest;
pub use value::FixedAddress;
