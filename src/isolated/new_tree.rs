//! Work trees that are made inside (`git worktree add`): git outside gets to know them, and forgets those that go again.
//!
//! What it needs is a directory `worktrees/NAME` of a few files (gitrepository-layout(5)). Each is written here anew, from
//! what could be read as git writes it; no byte of the inside's is copied. The directory is made whole beside, and renamed
//! to its place.

use super::ground::{Ground, POINTER_BYTES_MAX, linked_tree, names, relative, tree_of};
use super::layout::NEIGHBOURS_MAX;
use super::read::{self, Opened, beneath};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::{Head, LogEntry};
use crate::git::ref_name::RefName;
use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What `locked` says while git makes a work tree (`add_worktree` in git's builtin/worktree.c).
const BEING_MADE: &[u8] = b"initializing";
/// Longest name, and longest reason of a lock that is taken over.
const NAME_MAX: usize = 200;
const REASON_MAX: usize = 500;

/// One that was made inside, as far as it is believed.
pub(super) struct NewTree {
    name: String,
    /// Its directory: on the host its `.git` names it.
    pub(super) tree: PathBuf,
    /// It is named by the way from here to there (`worktree.useRelativePaths`).
    is_relative: bool,
    pub(super) lock: Option<Vec<u8>>,
    /// Who made it.
    log: Option<LogEntry>,
}

/// Why it isn't known outside: not yet, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unready(pub(super) &'static str);

/// The names in `worktrees` beneath a private git directory, without a link on the way.
pub(super) fn listed(root: &OwnedFd, below: &Path) -> Vec<OsString> {
    let directory = beneath(root.as_fd(), below);
    let found = directory.ok().and_then(|directory| read::names(&directory));
    found
        .into_iter()
        .flatten()
        .filter(|(_, kind)| *kind == FileType::Directory)
        .map(|(name, _)| OsStr::from_bytes(name.to_bytes()).to_owned())
        .take(NEIGHBOURS_MAX)
        .collect()
}

/// What is said of a work tree inside; `directory` is its git directory's place on the host.
pub(super) fn look(
    inside: &Opened,
    name: &OsStr,
    directory: &Path,
    ground: &Ground,
) -> Result<NewTree, Unready> {
    let name = name.to_str().filter(|name| is_name(name));
    let name = name.ok_or(Unready("its name isn't one that git gives"))?;
    let unfinished = Unready("it was never finished");
    let lock = inside.text("locked", POINTER_BYTES_MAX);
    if lock
        .as_deref()
        .is_some_and(|lock| lock.trim_ascii() == BEING_MADE)
    {
        return Err(unfinished);
    }
    let text = inside.text("gitdir", POINTER_BYTES_MAX).ok_or(unfinished)?;
    let common = inside.text("commondir", POINTER_BYTES_MAX).ok_or(unfinished)?;
    if common.trim_ascii() != b"../.." {
        return Err(Unready("its git directory leads elsewhere"));
    }
    let tree = tree_of(directory, &text).ok_or(Unready("what it says of its place is no path"))?;
    if !ground.takes(&tree, directory) {
        return Err(Unready(
            "its directory lies where the run doesn't write, or its `.git` names another git directory",
        ));
    }
    Ok(NewTree {
        name: name.to_owned(),
        tree,
        is_relative: !text.starts_with(b"/"),
        lock: lock.map(|lock| reason(&lock)),
        log: inside.head_log().and_then(|log| log.last().cloned()),
    })
}

/// Whether a work tree's git directory says inside where it is as it does on the host.
pub(super) fn is_same(inside: &Opened, host: &Path) -> bool {
    let text = inside.text("gitdir", POINTER_BYTES_MAX);
    text.and_then(|text| tree_of(host, &text)) == linked_tree(host)
}

/// As git makes one of a path's last name (`sanitize_refname_component`).
fn is_name(name: &str) -> bool {
    let is_ref = || format!("refs/heads/{name}").parse::<RefName>().is_ok();
    name.len() <= NAME_MAX && !name.contains('/') && is_ref()
}

/// The reason of a lock, if it can be shown.
fn reason(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    let shown = str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control));
    if shown && text.len() <= REASON_MAX {
        text.to_vec()
    } else {
        Vec::new()
    }
}

/// Makes it known to the repository at `common`. `beside` is a name of the session's on the same file system.
pub(super) fn make(
    new: &NewTree,
    (head, id, format): (&Head, Option<ObjectId>, ObjectFormat),
    index: Option<&[u8]>,
    common: &Path,
    beside: &Path,
) -> io::Result<()> {
    discard(beside)?;
    fs::create_dir(beside)?;
    let worktrees = common.join("worktrees");
    let at = worktrees.join(&new.name);
    let dot_git = new.tree.join(".git");
    let named = if new.is_relative && is_relative_known(common) {
        relative(&at, &dot_git)
    } else {
        dot_git
    };
    file(beside, "commondir", b"../..\n")?;
    file(beside, "gitdir", &[named.as_os_str().as_bytes(), b"\n"].concat())?;
    let text = match head {
        Head::Branch(name) => format!("ref: {name}\n"),
        Head::Detached(id) => format!("{id}\n"),
    };
    file(beside, "HEAD", text.as_bytes())?;
    if let Some(index) = index {
        file(beside, "index", index)?;
    }
    if let Some(lock) = &new.lock {
        file(beside, "locked", lock)?;
    }
    if let (Some(log), Some(id)) = (&new.log, id) {
        fs::create_dir(beside.join("logs"))?;
        let zero = "0".repeat(format.digits());
        let line = format!(
            "{zero} {id} {} <{}> {}\t{}\n",
            log.name, log.email, log.when, log.message
        );
        file(beside, "logs/HEAD", line.as_bytes())?;
    }
    match fs::create_dir(&worktrees) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // A link would lead out of the repository.
    if !worktrees.symlink_metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(renameat_with(CWD, beside, CWD, &at, RenameFlags::NOREPLACE)?)
}

/// Whether the repository says that its work trees are named by ways from one to the other.
fn is_relative_known(common: &Path) -> bool {
    use crate::facts::git_config::{CONFIG_BYTES_MAX, last, settings};
    let text = crate::facts::beneath::read_file(CWD, common.join("config"), CONFIG_BYTES_MAX);
    let value = |text: Vec<u8>| last(&settings(&text), "extensions", "relativeworktrees");
    text.is_ok_and(|text| value(text).is_some_and(|value| value == b"true"))
}

fn file(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(directory.join(name))?;
    file.write_all(content)
}

/// Removes what a session that was killed left half-made.
pub(super) fn discard(beside: &Path) -> io::Result<()> {
    match fs::remove_dir_all(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Follows one that was moved, locked or unlocked inside. `own` is its git directory on the host, `locked` whether the
/// session locked it there: a lock of the user's stays.
pub(super) fn follow(inside: &Opened, own: &Path, ground: &Ground, locked: &mut bool) -> io::Result<()> {
    let now = inside
        .text("gitdir", POINTER_BYTES_MAX)
        .and_then(|text| tree_of(own, &text));
    let known = linked_tree(own);
    if let Some(tree) = now.filter(|tree| known.as_ref() != Some(tree) && ground.takes(tree, own)) {
        let beside = own.join("gitdir.new");
        let text = [tree.join(".git").as_os_str().as_bytes(), b"\n"].concat();
        fs::write(&beside, text)?;
        fs::rename(beside, own.join("gitdir"))?;
    }
    let lock = inside
        .text("locked", POINTER_BYTES_MAX)
        .filter(|lock| lock.trim_ascii() != BEING_MADE);
    let file = own.join("locked");
    match (lock, *locked) {
        (Some(lock), false) => {
            if file.symlink_metadata().is_err() {
                fs::write(file, reason(&lock))?;
                *locked = true;
            }
        }
        (None, true) => {
            *locked = false;
            fs::remove_file(file)?;
        }
        (Some(_), true) | (None, false) => {}
    }
    Ok(())
}

/// Takes the git directory of one away whose directory is gone.
pub(super) fn take_away(own: &Path, beside: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    if linked_tree(own).is_some_and(|tree| names(&tree, own)) {
        return Err("its directory is still there, with what belongs to it".into());
    }
    if own.join("index.lock").symlink_metadata().is_ok() {
        return Err("git outside is at work in it".into());
    }
    discard(beside).map_err(text)?;
    fs::rename(own, beside).map_err(text)?;
    discard(beside).map_err(text)?;
    // As git does with the last one.
    if let Some(all) = own.parent() {
        fs::remove_dir(all).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_git_gives() {
        for name in [
            "wt",
            "wt1",
            "feature-x",
            "ünder",
            "a b".replace(' ', "-").as_str(),
            "-x",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "x.lock",
            "a\nb",
            "a b",
            "a\\b",
            "x.",
            "a..b",
            &"x".repeat(201),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn relative_paths_where_the_repository_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let common = directory.path().join(".git");
        fs::create_dir(&common).unwrap();
        let id = ObjectId::from_bytes(&[1; 20], ObjectFormat::Sha1);
        let made = |name: &str, is_relative: bool, config: &str| {
            fs::write(common.join("config"), config).unwrap();
            let new = NewTree {
                name: name.into(),
                tree: directory.path().join(name),
                is_relative,
                lock: None,
                log: None,
            };
            let head = (&Head::Detached(id), Some(id), ObjectFormat::Sha1);
            make(&new, head, None, &common, &common.join("beside")).unwrap();
            fs::read_to_string(common.join("worktrees").join(name).join("gitdir")).unwrap()
        };
        let known = "[extensions]\n\trelativeWorktrees = true\n";
        assert_eq!(made("a", true, known), "../../../a/.git\n");
        // Who can't read it is given the whole path.
        let whole = |name: &str| format!("{}/{name}/.git\n", directory.path().display());
        assert_eq!(made("b", true, ""), whole("b"));
        assert_eq!(made("c", false, known), whole("c"));
    }

    #[test]
    fn reasons_are_text() {
        assert_eq!(reason(b"claude agent (pid 1)\n"), b"claude agent (pid 1)");
        assert_eq!(reason(b"\x1b[2J"), b"");
        assert_eq!(reason(&[b'x'; 600]), b"");
    }
}
