//! The entries of a tree: a mode, a name, an object.

use super::object_id::{ObjectFormat, ObjectId};

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// What it is.
    pub kind: EntryMode,
    /// Its name, which is any bytes but a slash and a zero.
    pub name: &'a [u8],
    /// Its object.
    pub id: ObjectId,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    /// A directory.
    Tree,
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A submodule's commit.
    Submodule,
}

/// Reads a tree's content; `None` where it isn't one as git writes it: modes as they are, names that can be names of
/// files, none twice in a row, none that means git's own directory on any system.
#[must_use]
pub fn entries(mut content: &[u8], format: ObjectFormat) -> Option<Vec<TreeEntry<'_>>> {
    let mut entries = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = content.split_at_checked(space)?;
        let kind = match mode {
            b"40000" => EntryMode::Tree,
            // The second was written by very old versions.
            b"100644" | b"100664" => EntryMode::File,
            b"100755" => EntryMode::Executable,
            b"120000" => EntryMode::Link,
            b"160000" => EntryMode::Submodule,
            _ => return None,
        };
        let rest = rest.get(1..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (name, rest) = rest.split_at_checked(end)?;
        if !is_name(name) {
            return None;
        }
        let (id, rest) = rest.get(1..)?.split_at_checked(format.digits() / 2)?;
        entries.push(TreeEntry {
            kind,
            name,
            id: ObjectId::from_bytes(id, format),
        });
        content = rest;
    }
    Some(entries)
}

/// Whether a name can be a file's, and not git's own directory's.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'/') && !matches!(name, b"." | b"..") && !is_git_directory(name)
}

/// What some file system takes for `.git`, by its own name or by the short one of FAT and NTFS.
fn is_git_directory(name: &[u8]) -> bool {
    matches!(folded(name).as_slice(), b".git" | b"git~1")
}

/// The name that some file system takes `name` for: letters of either size, dots and spaces at the end and alternate
/// streams of NTFS, characters that HFS+ ignores (git's own checks, `core.protectHFS` and `core.protectNTFS`).
#[must_use]
pub fn folded(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return stem(&name.to_ascii_lowercase()).to_vec();
    }
    let text = String::from_utf8_lossy(name);
    let seen: String = text
        .chars()
        .filter(|character| !is_ignored(*character))
        // Both ways: `\u{212a}` is a small k, and `\u{17f}` a large S.
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    stem(seen.as_bytes()).to_vec()
}

/// Without what NTFS leaves out.
fn stem(name: &[u8]) -> &[u8] {
    let end = name
        .iter()
        .position(|byte| matches!(byte, b':' | b'\\'))
        .unwrap_or(name.len());
    let mut stem = name.get(..end).unwrap_or_default();
    while let Some(shorter) = stem.strip_suffix(b".").or_else(|| stem.strip_suffix(b" ")) {
        stem = shorter;
    }
    stem
}

/// Characters that HFS+ leaves out when it compares names (Apple's technical note 1150).
const fn is_ignored(character: char) -> bool {
    matches!(
        character,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (mode, name) in parts {
            out.extend_from_slice(mode.as_bytes());
            out.push(b' ');
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(&[7; 20]);
        }
        out
    }

    fn names(content: &[u8]) -> Option<Vec<String>> {
        let entries = entries(content, ObjectFormat::Sha1)?;
        let name = |entry: &TreeEntry<'_>| String::from_utf8_lossy(entry.name).into_owned();
        Some(entries.iter().map(name).collect())
    }

    #[test]
    fn entries_as_they_stand() {
        let content = tree(&[
            ("100644", b".gitignore"),
            ("40000", b"dir"),
            ("100755", b"run"),
            ("120000", b"to"),
            ("160000", b"\xffmodule"),
        ]);
        assert_eq!(names(&content).unwrap().len(), 5);
        assert_eq!(
            entries(&content, ObjectFormat::Sha1).unwrap()[1].kind,
            EntryMode::Tree
        );
        assert_eq!(names(b""), Some(vec![]));
    }

    #[test]
    fn what_is_no_tree_or_leads_into_gits_directory() {
        for name in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b".git",
            b".GIT",
            b".Git ",
            b".git...",
            b"git~1",
            b"GIT~1",
            b".git::$INDEX_ALLOCATION",
            b".git\\hooks",
            ".g\u{200c}it".as_bytes(),
            "\u{feff}.git".as_bytes(),
            ".g\u{131}t".as_bytes(),
        ] {
            assert_eq!(names(&tree(&[("100644", name)])), None, "{name:?}");
        }
        for mode in ["", "040000", "100600", "100777", "0", "20000"] {
            assert_eq!(names(&tree(&[(mode, b"a")])), None, "{mode}");
        }
        let content = tree(&[("100644", b"a")]);
        assert_eq!(names(&content[..content.len() - 1]), None);
    }
}
