//! What is asked of a push before anything of it goes to a server, and what was found.
//!
//! A push names refs and brings a pack; both come from inside, as does the repository that the pack builds on. What is in
//! them is looked at by a process that holds nothing else (`crate::gitcheck`). A [`Question`] goes in, an [`Answer`]
//! comes out, and both are all that passes.

mod coded;
mod findings;
mod fingerprint;
mod protect;
mod question;
mod scan;
mod shapes;
mod source;
mod unfold;
mod work;

pub use findings::{ANSWER_MAX, Answer, AnswerError, Findings, PROBLEMS_MAX, Problem, read_answer};
pub(crate) use fingerprint::written;
pub use fingerprint::{FINGERPRINTS_MAX, Fingerprint, Key, SECRET_MIN, Search};
pub use question::{Asked, Question, standard_limits};
pub use scan::Scanner;
pub use source::Store;
pub use work::{PackBytes, check, check_coming};
