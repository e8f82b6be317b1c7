//! Whether the user's configuration of git leads to what is written inside, where git outside is asked for credentials: by a
//! file that it includes, or by a credential helper.
//!
//! Includes are followed whatever their condition is, and a helper is looked at word by word, as a shell could take it: what
//! is refused too much is asked for elsewhere.

use super::beneath::read_file;
use super::git_config::{CONFIG_BYTES_MAX, settings};
use super::paths::{leads_to, real};
use rustix::fs::CWD;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files that are read, all together.
const FILES_MAX: usize = 64;

/// What is looked at.
pub(super) struct Look<'a> {
    pub(super) home: &'a Path,
    /// The search path of the programs.
    pub(super) directories: &'a [PathBuf],
    /// Whether a path lies in what is written inside, or leads there.
    pub(super) is_open: &'a dyn Fn(&Path) -> bool,
}

/// The file that is included (git-config(1), "Includes"); `None` where only git knows.
fn included(home: &Path, from: &Path, value: &[u8]) -> Option<PathBuf> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    match value.strip_prefix(b"~/") {
        Some(rest) => Some(home.join(path(rest))),
        None if value.starts_with(b"~") || value.starts_with(b"%(") => None,
        None => Some(from.parent()?.join(path(value))),
    }
}

/// What git would read besides the settings of a repository, of the user and of the machine if it was there, without links:
/// what is there can be protected, and what isn't could be made.
#[must_use]
pub fn absent_includes(config: &Path, home: &Path) -> Vec<PathBuf> {
    let mut waiting = vec![
        config.to_owned(),
        home.join(".gitconfig"),
        home.join(".config/git/config"),
        "/etc/gitconfig".into(),
    ];
    let (mut absent, mut next) = (Vec::new(), 0);
    while let Some(file) = waiting.get(next).cloned().filter(|_| next < FILES_MAX) {
        next += 1;
        let Ok(text) = read_file(CWD, real(&file).unwrap_or(file.clone()), CONFIG_BYTES_MAX) else {
            continue;
        };
        for setting in settings(&text) {
            let (b"include" | b"includeif", b"path") = (setting.section.as_slice(), setting.key.as_slice())
            else {
                continue;
            };
            let Some(path) = included(home, &file, &setting.value) else {
                continue;
            };
            if std::fs::metadata(&path).is_err() {
                absent.push(leads_to(&path));
            } else if !waiting.contains(&path) {
                waiting.push(path);
            }
        }
    }
    absent
}

/// That a file could have been written inside.
pub(super) fn lies(path: &Path) -> String {
    format!("{} lies in what is written inside", path.display())
}

impl Look<'_> {
    /// What of those files, and of what they lead to, could have been written inside; `None` where nothing could.
    pub(super) fn leads_inside(&self, files: Vec<PathBuf>) -> Option<String> {
        let (mut waiting, mut read) = (files, 0);
        while let Some(file) = waiting.pop() {
            if (self.is_open)(&file) {
                return Some(lies(&file));
            }
            let unfollowed = || Some(format!("what {} says can't be followed", file.display()));
            let Ok(metadata) = std::fs::metadata(&file) else {
                // None, or none that git could read either.
                continue;
            };
            read += 1;
            let most = u64::try_from(CONFIG_BYTES_MAX).unwrap_or(u64::MAX);
            if read > FILES_MAX || !metadata.is_file() || metadata.len() > most {
                return unfollowed();
            }
            let Ok(text) = std::fs::read(&file) else {
                return unfollowed();
            };
            for setting in settings(&text) {
                match (setting.section.as_slice(), setting.key.as_slice()) {
                    (b"include" | b"includeif", b"path") => match self.included(&file, &setting.value) {
                        Some(path) => waiting.push(path),
                        None => return unfollowed(),
                    },
                    (b"credential", b"helper") if self.is_helper_open(&setting.value) => {
                        let file = file.display();
                        return Some(format!(
                            "a credential helper that {file} names lies in what is written inside"
                        ));
                    }
                    _ => {}
                }
            }
        }
        None
    }

    fn included(&self, from: &Path, value: &[u8]) -> Option<PathBuf> {
        included(self.home, from, value)
    }

    fn is_helper_open(&self, value: &[u8]) -> bool {
        let cuts = |byte: &u8| byte.is_ascii_whitespace() || b"\"'=;&|()<>,`!\\".contains(byte);
        let words = value.split(cuts).filter(|word| !word.is_empty());
        words.into_iter().any(|word| self.is_word_open(word))
    }

    fn is_word_open(&self, word: &[u8]) -> bool {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let in_home = [&b"~/"[..], b"$HOME/", b"${HOME}/"];
        if let Some(rest) = in_home.iter().find_map(|beginning| word.strip_prefix(*beginning)) {
            return (self.is_open)(&self.home.join(path(rest)));
        }
        match word.iter().position(|byte| *byte == b'/') {
            Some(at) => (self.is_open)(&path(word.get(at..).unwrap_or_default())),
            // A program of that name, or the helper that git calls so.
            None => {
                let helper = [&b"git-credential-"[..], word].concat();
                self.directories
                    .iter()
                    .flat_map(|directory| [directory.join(path(word)), directory.join(path(&helper))])
                    .any(|program| (self.is_open)(&program))
            }
        }
    }
}
