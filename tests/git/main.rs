//! What stands between git inside and a server outside, against real git.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod packs;
