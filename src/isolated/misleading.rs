//! Names that would mean something else to the user than they do to git, or to git than they do to the user. Pure.
//!
//! Git takes a short name for the first ref that it fits (gitrevisions(7)): a tag before a branch, a branch before what a
//! remote has. So a branch `origin/main`, or a tag `main`, that comes from inside would be taken for the user's in every
//! command that says so, and names that differ in the case of letters alone are one file on some systems and one word to
//! many eyes. Such a ref is kept aside.

use crate::git::ref_name::RefName;
use std::collections::HashSet;

/// What git takes for something of its own where a ref may be named (gitrevisions(7), gitglossary(7) "pseudoref").
const OWN: [&str; 7] = [
    "@",
    "head",
    "stash",
    "auto_merge",
    "merge_autostash",
    "bisect_expected_rev",
    "notes_merge_ref",
];
/// Shortest that git takes for the beginning of an object's name by itself (`core.abbrev` is seldom less).
const ABBREVIATED_MIN: usize = 7;

/// All that the user's refs can be called.
#[derive(Debug, Default)]
pub(super) struct Called(HashSet<String>);

impl Called {
    /// What those refs are called.
    pub(super) fn new<'a>(users: impl Iterator<Item = &'a RefName>) -> Self {
        let mut called = HashSet::new();
        for name in users {
            called.extend(spellings(name).map(folded));
            // The remote itself stands for what it calls its default.
            if let Some(mut rest) = name.as_str().strip_prefix("refs/remotes/") {
                while let Some((above, _)) = rest.rsplit_once('/') {
                    called.insert(folded(above));
                    rest = above;
                }
            }
        }
        Self(called)
    }

    /// Why a new ref can't have its name; `None` where it can.
    pub(super) fn why_not(&self, name: &RefName) -> Option<&'static str> {
        let kinds = ["refs/heads/", "refs/tags/", "refs/remotes/"];
        let short = kinds.iter().find_map(|kind| name.as_str().strip_prefix(kind));
        if let Some(short) = short {
            let plain = folded(short);
            if OWN.contains(&plain.as_str()) || (plain.ends_with("_head") && !plain.contains('/')) {
                return Some("git takes that name for something of its own");
            }
            if short.starts_with('-') {
                return Some("git takes that name for an option");
            }
            if is_like_an_object(short) {
                return Some("it looks like the name of an object");
            }
        }
        spellings(name)
            .any(|spelling| self.0.contains(&folded(spelling)))
            .then_some("what you have is called the same, or the same but for the case of letters")
    }
}

/// Everything that git takes for a ref: its whole name, and what it may be called in short.
fn spellings(name: &RefName) -> impl Iterator<Item = &str> {
    let full = name.as_str();
    let short = full.strip_prefix("refs/");
    let shorter = ["refs/heads/", "refs/tags/", "refs/remotes/"]
        .iter()
        .find_map(|kind| full.strip_prefix(kind));
    [Some(full), short, shorter].into_iter().flatten()
}

/// As a file system that doesn't tell case apart has it: some letters have two others.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// A whole name, or what could be the beginning of one; a date in digits isn't taken for that.
fn is_like_an_object(text: &str) -> bool {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mixed =
        text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    hexadecimal && (matches!(text.len(), 40 | 64) || (mixed && (ABBREVIATED_MIN..64).contains(&text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RefName {
        text.parse().unwrap()
    }

    #[test]
    fn what_means_something_else() {
        let users = [
            "refs/heads/main",
            "refs/heads/origin/mine",
            "refs/heads/Straße",
            "refs/tags/v1",
            "refs/remotes/origin/main",
            "refs/remotes/team/up/main",
        ]
        .map(name);
        let called = Called::new(users.iter());
        for text in [
            // Before the user's, or after it: ambiguous both ways.
            "refs/tags/main",
            "refs/heads/v1",
            "refs/heads/origin/main",
            "refs/tags/origin/main",
            "refs/heads/origin",
            "refs/heads/team/up",
            "refs/heads/remotes/origin/main",
            "refs/heads/heads/main",
            "refs/heads/tags/v1",
            "refs/tags/refs/heads/main",
            "refs/remotes/origin/mine",
            // For some file systems, and for eyes.
            "refs/heads/Main",
            "refs/heads/MAIN",
            "refs/tags/V1",
            "refs/heads/Origin/Main",
            "refs/heads/STRASSE",
            // Git's own.
            "refs/heads/HEAD",
            "refs/heads/Head",
            "refs/tags/HEAD",
            "refs/heads/@",
            "refs/heads/FETCH_HEAD",
            "refs/tags/ORIG_HEAD",
            "refs/heads/stash",
            "refs/heads/-f",
            "refs/tags/--upload-pack",
            // Objects.
            "refs/heads/ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6",
            "refs/tags/1111111111111111111111111111111111111111",
            "refs/heads/ac6f8d2",
        ] {
            assert!(called.why_not(&name(text)).is_some(), "{text}");
        }
        for text in [
            "refs/heads/topic",
            "refs/heads/main2",
            "refs/heads/agent/main",
            "refs/tags/v1.0",
            "refs/remotes/origin/topic",
            "refs/heads/originate",
            "refs/heads/overhead",
            "refs/heads/agent/ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6",
            "refs/tags/20261128",
            "refs/heads/facade",
            "refs/heads/defaced",
            "refs/notes/main",
        ] {
            assert_eq!(called.why_not(&name(text)), None, "{text}");
        }
    }
}
