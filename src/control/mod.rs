//! The control channel of a running session: what another `aca` on the host asks of its supervisor.
//!
//! A Unix socket for each session, in a directory of aca's own state that no sandbox shows ([`place`]). Whoever connects is
//! looked at before a byte of theirs is read ([`peer`]): native code inside has the user's uid too. Then one request, one
//! answer, each with a bound and a deadline ([`frame`], [`protocol`]).
//!
//! What the supervisor does with a request stands in `crate::supervise`.

pub mod client;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod peer;
pub mod place;
pub mod protocol;

pub use client::{ClientError, Session};
pub use protocol::{Answer, Request, Status};
