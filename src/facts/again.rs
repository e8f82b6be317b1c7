//! Looking again at parts of a tree that was walked before: the watcher's half of the walk, and the cheap answer to
//! whether a second walk is needed.

use super::Identity;
use super::beneath::{changed_ns, open_directory, open_root, status};
use super::found::{Found, Listed, Walk};
use super::matcher::Matcher;
use super::notes::{found_kind, identity};
use super::walk::{Purpose, WalkError, call};
use super::walker::{Context, Walker};
use rustix::fs::{CWD, FileType, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How old a change must have been when the directory was listed: two ticks of the slowest kernel (`CONFIG_HZ` = 100). A
/// younger one may share its time with one that came after the listing.
const TICKS_NS: i64 = 20_000_000;
/// The same where the file system keeps times in steps of two seconds.
const COARSE_NS: i64 = 3_000_000_000;

impl Listed {
    /// Whether names may have come or gone since it was listed by a walk that began at `begun_ns`, going by the time
    /// of its last change now.
    pub(crate) const fn may_differ(&self, begun_ns: i64, now_ns: i64) -> bool {
        self.changed_ns != now_ns || self.changed_ns > begun_ns.saturating_sub(margin_ns(self.changed_ns))
    }
}

impl Walk {
    /// Whether another walk would certainly find the same: no name has come or gone anywhere that was looked at, and
    /// nothing that was found has changed. One look at an inode for each, instead of a list of every name.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let Ok(root) = open_root(&self.root) else {
            return false;
        };
        self.is_whole()
            && self
                .directories
                .iter()
                .chain(&self.git_directories)
                .all(|listed| {
                    let path = if listed.path.as_os_str().is_empty() {
                        Path::new(".")
                    } else {
                        &listed.path
                    };
                    status(&root, path).is_ok_and(|now| !listed.may_differ(self.begun_ns, changed_ns(&now)))
                })
            && self
                .protected
                .iter()
                .chain(&self.watched)
                .all(|found| status(&root, &found.path).is_ok_and(|now| found.is(&now, self.begun_ns)))
    }
}

impl Found {
    /// Whether what is at `path` certainly is what was found by a walk that began at `begun_ns`.
    pub(crate) fn is_as_it_was(&self, path: &Path, begun_ns: i64) -> bool {
        status(CWD, path).is_ok_and(|now| self.is(&now, begun_ns))
    }

    /// A file's time moves with every write; within a tick of the walk it may be that of a later one.
    fn is(&self, now: &Stat, begun_ns: i64) -> bool {
        identity(now) == self.identity
            && changed_ns(now) == self.changed_ns
            && found_kind(now) == self.kind
            && self.changed_ns <= begun_ns.saturating_sub(margin_ns(self.changed_ns))
    }
}

/// Whether what lies at absolute paths has been there since `begun_ns`: it is what it was, and no directory above it has
/// changed since, up to `root`.
pub(crate) fn is_settled(root: &Path, path: &Path, was: Identity, begun_ns: i64) -> bool {
    let still = |directory: &Path| {
        status(CWD, directory).is_ok_and(|now| {
            let changed = changed_ns(&now);
            changed <= begun_ns.saturating_sub(margin_ns(changed))
        })
    };
    let mut above = path
        .ancestors()
        .skip(1)
        .take_while(|above| above.starts_with(root));
    above.all(still) && status(CWD, path).is_ok_and(|now| identity(&now) == was)
}

/// How long before the walk a change must have been.
const fn margin_ns(changed_ns: i64) -> i64 {
    if changed_ns % 1_000_000_000 == 0 {
        COARSE_NS
    } else {
        TICKS_NS
    }
}

/// Looks at one name of a tree that was walked before, and at all beneath it. `path` is relative to `root`. What is
/// gone, and where the walk would not have gone, gives nothing.
///
/// # Errors
/// [`WalkError`].
pub(crate) fn look_at(root: &Path, path: &Path, matcher: &Matcher) -> Result<Walk, WalkError> {
    let mut walker = Walker::new(root, matcher, Purpose::Report);
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return Ok(walker.finish());
    };
    let Some((directory, context)) = descend(root, parent, matcher)? else {
        return Ok(walker.finish());
    };
    let Ok(name) = CString::new(name.as_bytes()) else {
        return Ok(walker.finish());
    };
    let Ok(found) = status(&directory, name.as_c_str()) else {
        return Ok(walker.finish());
    };
    walker.path = parent.as_os_str().as_bytes().to_vec();
    let mut children = Vec::new();
    let file_type = FileType::from_raw_mode(found.st_mode);
    walker.name(&directory, &name, file_type, &context, &mut children)?;
    for child in children {
        walker.push(child.name.to_bytes());
        let below = child.context.unwrap_or_else(|| context.plain_below());
        walker.enter(&directory, &child.name, &below)?;
    }
    Ok(walker.finish())
}

/// Lists one directory again, and goes into those in it that `known` doesn't know.
///
/// # Errors
/// [`WalkError`].
pub(crate) fn look_again(
    root: &Path,
    path: &Path,
    matcher: &Matcher,
    known: &dyn Fn(&Path) -> bool,
) -> Result<Walk, WalkError> {
    let mut walker = Walker::new(root, matcher, Purpose::Report);
    walker.known = Some(known);
    if let Some((directory, context)) = descend(root, path, matcher)? {
        walker.path = path.as_os_str().as_bytes().to_vec();
        walker.directory(&directory, &context)?;
    }
    Ok(walker.finish())
}

/// Opens a directory name by name, and tells how the walk looks at the names in it; `None` where it would not go, such
/// as git directories and those that are left out.
fn descend(root: &Path, path: &Path, matcher: &Matcher) -> Result<Option<(OwnedFd, Context)>, WalkError> {
    let mut directory = open_root(root).map_err(|errno| call("open", root, errno))?;
    let mut context = Context::root(matcher);
    // What it finds on the way was found before.
    let mut walker = Walker::new(root, matcher, Purpose::Report);
    for name in path.iter() {
        if name.as_bytes().eq_ignore_ascii_case(b".git") {
            return Ok(None);
        }
        let Ok(name) = CString::new(name.as_bytes()) else {
            return Ok(None);
        };
        let below = match open_directory(&directory, name.as_c_str()) {
            Ok(below) => below,
            // Gone again, or a link now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(call("openat", path, errno)),
        };
        let mut children = Vec::new();
        walker.name(&directory, &name, FileType::Directory, &context, &mut children)?;
        let Some(child) = children.pop() else {
            return Ok(None);
        };
        walker.push(name.to_bytes());
        context = child.context.unwrap_or_else(|| context.plain_below());
        directory = below;
    }
    Ok(Some((directory, context)))
}

#[cfg(test)]
mod tests {
    use super::super::walk::walk;
    use super::*;
    use crate::presets::tree_rules;
    use std::fs;
    use std::time::{Duration, Instant};

    /// A walk of a tree that nobody has changed for long enough.
    fn settled(root: &Path, matcher: &Matcher) -> Walk {
        let start = Instant::now();
        loop {
            let walk = walk(root, matcher, Purpose::Protect).unwrap();
            if walk.is_current() {
                return walk;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "never settles");
        }
    }

    fn tree() -> (tempfile::TempDir, Matcher) {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            "a/b",
            ".git/objects",
            ".git/refs",
            ".git/hooks",
            "node_modules/x",
            "quiet",
        ] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        for path in ["Makefile", "a/b/plain", ".git/HEAD", ".git/config", "a/.npmrc"] {
            fs::write(directory.path().join(path), "x").unwrap();
        }
        (directory, Matcher::new(tree_rules().unwrap(), Vec::new()))
    }

    #[test]
    fn every_change_that_matters_makes_a_walk_stale() {
        let (directory, matcher) = tree();
        let root = directory.path();
        let changes: [(&str, &dyn Fn()); 9] = [
            ("a name", &|| fs::write(root.join("a/b/new"), "").unwrap()),
            ("a directory", &|| fs::create_dir(root.join("a/b/d")).unwrap()),
            ("a rename", &|| {
                fs::rename(root.join("a/b/plain"), root.join("a/b/other")).unwrap()
            }),
            ("a removal", &|| fs::remove_file(root.join("a/b/other")).unwrap()),
            ("a write in place", &|| {
                fs::write(root.join("Makefile"), "y").unwrap()
            }),
            ("a link", &|| {
                std::os::unix::fs::symlink("/", root.join("quiet/out")).unwrap()
            }),
            ("a setting of git", &|| {
                fs::write(root.join(".git/config"), "y").unwrap()
            }),
            ("a hook", &|| {
                fs::write(root.join(".git/hooks/pre-commit"), "y").unwrap()
            }),
            ("another directory for git", &|| {
                fs::write(root.join(".git/commondir"), "..").unwrap()
            }),
        ];
        for (what, change) in changes {
            let before = settled(root, &matcher);
            change();
            assert!(!before.is_current(), "{what}");
        }
        // What is left out and what nothing is obeyed of doesn't count.
        let before = settled(root, &matcher);
        fs::write(root.join("node_modules/x/new"), "").unwrap();
        fs::write(root.join("a/b/new"), "in place").unwrap();
        fs::write(root.join(".git/refs/x"), "").unwrap();
        assert!(before.is_current());
        // What a bound left out can't be answered for.
        let cut = Walk {
            directory_count: before.directory_count + 1,
            ..before
        };
        assert!(!cut.is_current());
    }

    #[test]
    fn a_look_at_one_name_finds_what_the_walk_would() {
        let (directory, matcher) = tree();
        let root = directory.path();
        for path in [
            "a/b/.env",
            "a/b/c/d/.env",
            "node_modules/x/.env",
            ".git/.env",
            "a/.aws/credentials",
            "a/plain",
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        let masks = |path: &str| {
            let walk = look_at(root, Path::new(path), &matcher).unwrap();
            walk.masks.into_iter().map(|found| found.path).collect::<Vec<_>>()
        };
        assert_eq!(masks("a/b/.env"), [Path::new("a/b/.env")]);
        assert_eq!(masks("a/b/c"), [Path::new("a/b/c/d/.env")]);
        assert_eq!(masks("a/.aws/credentials"), [Path::new("a/.aws/credentials")]);
        for path in [
            "node_modules/x/.env",
            ".git/.env",
            "a/plain",
            "gone",
            "a/gone/x",
            "",
        ] {
            assert!(masks(path).is_empty(), "{path}");
        }
        let whole = walk(root, &matcher, Purpose::Protect).unwrap();
        let known = |path: &Path| path == Path::new("a/b/c");
        let again = look_again(root, Path::new("a/b"), &matcher, &known).unwrap();
        assert_eq!(again.masks.len(), 1);
        assert_eq!(
            look_again(root, Path::new(""), &matcher, &|_| false)
                .unwrap()
                .masks,
            whole.masks
        );
    }
}
