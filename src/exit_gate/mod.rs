//! The exit gate: what a run left that the host runs or trusts later, and what to do with it.
//!
//! Before a run it is written down how the project was ([`snapshot`]): what runs later, git directories, links out of it,
//! and the content of small files. After the run the project is walked again and compared
//! ([`crate::supervise::compare_now`]); no program is started for it, git least of all, which would obey what it is
//! asked about. What changed waits until the user has looked: `aca check` groups it by when it would run, and puts it
//! back or away ([`mend`]).
//!
//! Where programs inside write the host's own git directory, its branches count as well ([`branches`]): one that was moved
//! so that commits of the user's are no longer in it, and files whose changes git was told not to show.
//!
//! A repository that a run made, and that would have git outside start something by a mere look, is put away at once
//! ([`nested`]); of submodules that holds wherever they lie ([`entered`]).
//!
//! The snapshot is there before the program is, and goes when nothing changed or the user has looked. So whoever kills
//! the supervisor gains nothing: the next run in the project says that a look is due.

mod branches;
pub mod entered;
pub mod mend;
pub mod nested;
pub mod snapshot;
