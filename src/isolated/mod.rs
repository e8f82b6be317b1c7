//! The private git directory (`git.mode = "isolated"`): what a run works on in place of the host's, and how that comes
//! back.
//!
//! [`layout`] looks whether one can stand for the project's repository, [`make`] makes it in aca's own state, the plan
//! shows it at the place of the host's, whose objects it borrows read-only. So git inside can do all that it does outside,
//! and nothing that is written there is ever run or obeyed by git outside. While the run goes on, and a last time at its
//! end, [`import`] brings branches, tags, `HEAD`, the index, the stash, and new remotes back: each read strictly ([`read`],
//! [`crate::git::index`]), objects by a confined process of our own ([`export`]) and a pack that git outside checks as it
//! checks a server's ([`fetch`], [`host`]), refs only forward from what the user has ([`decide`]).
//!
//! A repository is several git directories, its submodules' among them ([`part`]), each with several work trees ([`tree`]);
//! both may be made inside ([`new_part`], [`new_tree`]), where the one and the other name each other ([`ground`]).

mod apply;
pub mod borrowed;
mod decide;
pub(crate) mod export;
mod fetch;
mod follow;
mod going;
mod ground;
mod host;
mod import;
mod index_lock;
mod kept;
mod layout;
mod limits;
mod links;
mod make;
mod misleading;
mod new_part;
mod new_tree;
mod part;
mod place;
mod read;
mod remove;
mod staged;
mod tree;

pub use ground::Ground;
pub(crate) use ground::linked_tree;
pub use host::HostGit;
pub use import::{Import, News, Progress};
pub use layout::{Layout, Unfit};
pub use place::Place;
pub(crate) use read::{Opened, Refs};
