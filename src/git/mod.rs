//! Git's wire protocol, as far as who stands between a client inside and a server outside has to understand it.
//!
//! Everything here is pure: bytes in, values out, and bytes again. A client's bytes are read strictly into what is known
//! and written anew ([`push`]); a server's are passed on with what would lead past the policy taken out
//! ([`advertisement`]); a refusal is told so that git takes it for a working server's ([`report`]).

pub mod advertisement;
pub mod ancestry;
pub mod check;
pub mod commit;
pub mod delta;
pub mod fetch;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod hide;
pub mod index;
pub mod object_id;
pub mod objects;
pub mod outcome;
pub mod pack;
pub mod pack_sum;
pub mod packet;
pub mod push;
pub mod ref_files;
pub mod ref_name;
pub mod report;
pub mod ssh_words;
pub mod tree;
pub mod under_way;
