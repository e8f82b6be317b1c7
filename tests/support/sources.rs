//! The project's own Rust files, for tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// Those in a directory of the repository, or that one file, in order.
pub(crate) fn rust_files(place: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut files);
    files.sort();
    assert!(!files.is_empty(), "{place} holds no Rust file: was it moved?");
    files
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) {
    if fs::metadata(path).unwrap().is_file() {
        return into.push(path.into());
    }
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") || fs::metadata(&path).unwrap().is_dir() {
            collect(&path, into);
        }
    }
}
