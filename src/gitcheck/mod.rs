//! The process that looks into a push: this program once more, started for one, ended after it.
//!
//! Packs and object stores are written by whoever runs inside, and are read by code that inflates, undoes deltas and
//! follows names. Who has credentials doesn't do that. This process has nothing: no variables, no files but the
//! repository's objects, read-only ([`confine`]), no network, no way to start anything, bounded memory and time. It is given
//! a question, a pack in a memory file (memfd_create(2)) and directories by their descriptors; it gives an answer of a bounded
//! length. The pack may still come in: it is told how far it has grown, looks at what is there, and takes the whole for one
//! only when it is sealed and can't change any more. When it crashes, is killed or says nonsense, the push is refused.
//!
//! It is started by the descriptor of the running program (`/proc/self/exe`), so that nobody can have put another in its
//! place.

mod child;
mod confine;
#[cfg(fuzzing)]
pub mod fuzz;
mod index;
mod packs;
mod parent;
mod store;

pub(crate) use child::{CHECK_WORD, check_main};
pub use confine::{ConfineError, confine};
pub use parent::{CheckError, Ending, Running, start};
pub use store::Stores;
