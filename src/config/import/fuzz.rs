//! What `fuzz/` feeds: settings of any text, with what must hold for them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::{ClaudeFile, Scope, Surroundings, claude, srt, toml};
use crate::config::Source;
use std::path::{Path, PathBuf};

pub fn settings(bytes: &[u8]) {
    let Ok(text) = String::from_utf8(bytes.to_vec()) else {
        return;
    };
    let surroundings = Surroundings {
        home: Path::new("/home/u"),
        current: Path::new("/home/u/p"),
        project: Path::new("/home/u/p"),
        extra: &[],
        look: &|path| Some(path.to_owned()),
        visible: vec![PathBuf::from("/usr")],
        tools: vec![PathBuf::from("/home/u/.cargo/bin")],
    };
    let source = Source {
        path: "/home/u/.claude/settings.json".into(),
        text,
    };
    if let Ok(imported) = srt(&source, &surroundings) {
        toml(&imported, "srt").unwrap();
    }
    let scope = Scope::User;
    if let Ok(imported) = claude(&[ClaudeFile { source, scope }], &surroundings) {
        toml(&imported, "claude").unwrap();
    }
}
