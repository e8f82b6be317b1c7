//! Files that name another git directory, and the paths in them. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The git directory that the `.git` file of a work tree names (gitrepository-layout(5)).
pub(crate) fn pointed_at(tree: &Path, text: &[u8]) -> Option<PathBuf> {
    let named = text.strip_prefix(b"gitdir: ")?;
    lexical(tree, one_line(named)?)
}

/// A line that is all of a text, without its end.
pub(crate) fn one_line(text: &[u8]) -> Option<&[u8]> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let good = !line.is_empty() && !line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0));
    good.then_some(line)
}

/// A path, from `base` if it is relative, without `.` and `..`: those are taken by the text, which is right where no link is
/// on the way.
pub(crate) fn lexical(base: &Path, path: &[u8]) -> Option<PathBuf> {
    let mut whole = PathBuf::new();
    for component in base.join(OsStr::from_bytes(path)).components() {
        match component {
            Component::ParentDir => {
                if !whole.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Normal(_) | Component::Prefix(_) => whole.push(component),
        }
    }
    whole.is_absolute().then_some(whole)
}
