//! Secrets that were masked when an earlier run began, and that no pattern finds any more.
//!
//! Who is inside can't rename what is masked, for it is a mount; but a directory that it lies in, to where the walk doesn't
//! look, or to another name than the one by which the secret was found. Or it marks a directory as one that is left out. So
//! what was masked is looked for by its inode, its time of birth and its name, wherever it may be by now.

use super::Identity;
use super::beneath::{changed_ns, now_ns, open_directory, open_root, status};
use super::found::{Found, Walk};
use super::notes::{found_kind, identity};
use super::walk::{DEPTH_MAX, NAMES_MAX, WalkError, call};
use rustix::event::{Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, RawDir, StatxFlags, statx};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes that are asked for at once (getdents64(2)).
const LIST_BYTES: usize = 32 << 10;
/// How often it is looked again where directories changed meanwhile.
const LOOKS: usize = 40;
/// A directory that changed so shortly before a look, in nanoseconds, may have changed after it as well: two ticks of the
/// slowest kernel.
const TICKS_NS: i64 = 20_000_000;
/// From one look to the next.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: TICKS_NS + 5_000_000,
};

/// Something that was masked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Known {
    /// Where it was: absolute, without links.
    pub path: PathBuf,
    /// Inode number.
    pub inode: u64,
    /// Time of birth in nanoseconds since 1970 (statx(2)), or the device number negated where the file system has none: a
    /// device may have another number after the next boot.
    pub born: i128,
    /// It lay there only because its directory was moved: no pattern would find it there.
    pub strayed: bool,
}

impl Known {
    /// What is at a path, if that is what was found there.
    #[must_use]
    pub fn of(path: PathBuf, found: Identity, strayed: bool) -> Option<Self> {
        let (inode, born) = mark(CWD, path.as_os_str(), found.device)?;
        (inode == found.inode).then_some(Self {
            path,
            inode,
            born,
            strayed,
        })
    }

    fn is(&self, parent: impl AsFd, name: &OsStr, device: u64) -> bool {
        mark(parent, name, device) == Some((self.inode, self.born))
    }

    fn is_at(&self, path: &Path) -> bool {
        super::identity_of(path).is_some_and(|now| self.is(CWD, path.as_os_str(), now.device))
    }
}

/// The inode and the birth of a name.
fn mark(parent: impl AsFd, name: &OsStr, device: u64) -> Option<(u64, i128)> {
    let flags = StatxFlags::INO | StatxFlags::BTIME;
    let status = statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, flags).ok()?;
    let born = if status.stx_mask & StatxFlags::BTIME.bits() == 0 {
        -i128::from(device)
    } else {
        i128::from(status.stx_btime.tv_sec) * 1_000_000_000 + i128::from(status.stx_btime.tv_nsec)
    };
    Some((status.stx_ino, born))
}

/// What walks found to mask, with its place.
#[must_use]
pub fn masked(walks: &[Walk]) -> Vec<(PathBuf, Identity)> {
    let found = walks.iter().flat_map(|walk| {
        walk.hidden()
            .filter_map(|found| found.mountable())
            .map(|(path, _, identity)| (walk.root.join(path), identity))
    });
    found.collect()
}

/// Looks for what was masked before and isn't any more, and adds it to the walks' masks. Nothing is looked for where all is
/// known, or where it is in its place and was looked at there: then it is no secret any more.
///
/// # Errors
/// [`WalkError`]; it may be there and wasn't found.
pub fn add_strayed(known: &[Known], walks: &mut [Walk]) -> Result<(), WalkError> {
    let found: HashMap<u64, PathBuf> = masked(walks)
        .into_iter()
        .map(|(path, identity)| (identity.inode, path))
        .collect();
    let is_found = |known: &Known| found.get(&known.inode).is_some_and(|path| known.is_at(path));
    let left_out = |path: &Path| {
        let beneath = |walk: &Walk| {
            walk.truncated
                || walk
                    .skipped
                    .iter()
                    .any(|skipped| path.starts_with(walk.root.join(&skipped.path)))
        };
        walks.iter().any(beneath)
    };
    let missing = known.iter().filter(|known| {
        !is_found(known) && (known.strayed || left_out(&known.path) || !known.is_at(&known.path))
    });
    let mut by_name: HashMap<&OsStr, Vec<&Known>> = HashMap::new();
    for known in missing {
        by_name
            .entry(known.path.file_name().unwrap_or_default())
            .or_default()
            .push(known);
    }
    if by_name.is_empty() {
        return Ok(());
    }
    let roots: Vec<PathBuf> = walks.iter().map(|walk| walk.root.clone()).collect();
    for walk in walks {
        let mut looks = 0;
        let strayed = loop {
            let mut search = Search {
                wanted: &by_name,
                roots: &roots,
                walk_root: &walk.root,
                begun_ns: now_ns(),
                changed: false,
                names: 0,
                strayed: Vec::new(),
            };
            let root = open_root(&walk.root).map_err(|errno| call("open", &walk.root, errno))?;
            search.directory(&root, Path::new(""), 0)?;
            looks += 1;
            if !search.changed {
                break search.strayed;
            }
            if looks == LOOKS {
                return Err(WalkError::Restless {
                    path: walk.root.clone(),
                });
            }
            poll(&mut [], Some(&PAUSE)).ok();
        };
        walk.strayed = strayed.iter().map(|found| found.identity).collect();
        walk.masks.extend(strayed);
    }
    Ok(())
}

struct Search<'a> {
    wanted: &'a HashMap<&'a OsStr, Vec<&'a Known>>,
    roots: &'a [PathBuf],
    walk_root: &'a Path,
    begun_ns: i64,
    /// A name may have come to a place that was looked at already.
    changed: bool,
    names: u64,
    strayed: Vec<Found>,
}

impl Search<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), WalkError> {
        let here = |path: &Path| self.walk_root.join(path);
        if depth > DEPTH_MAX {
            return Err(WalkError::TooDeep { path: here(path) });
        }
        let mut below: Vec<CString> = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); LIST_BYTES];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::NOENT) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(call("getdents64", &here(path), errno)),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.names += 1;
            if self.names > NAMES_MAX {
                return Err(WalkError::TooManyNames);
            }
            let os_name = OsStr::from_bytes(name.to_bytes());
            let mut is_directory = entry.file_type() == FileType::Directory;
            let wanted = self.wanted.get(os_name);
            if (wanted.is_some() || entry.file_type() == FileType::Unknown)
                && let Ok(now) = status(directory, name)
            {
                is_directory = FileType::from_raw_mode(now.st_mode) == FileType::Directory;
                let before = wanted.into_iter().flatten();
                let mut same = before.filter(|known| known.is(directory, os_name, now.st_dev));
                if let Some(known) = same.next() {
                    self.strayed.push(Found {
                        path: path.join(os_name),
                        kind: found_kind(&now),
                        identity: identity(&now),
                        changed_ns: changed_ns(&now),
                        target: None,
                        why: format!("it was {} when an earlier run began", known.path.display()),
                        runs_when: None,
                    });
                    continue;
                }
            }
            if is_directory {
                below.push(name.to_owned());
            }
        }
        for name in below {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let absolute = self.walk_root.join(&path);
            if self.roots.contains(&absolute) {
                continue;
            }
            match open_directory(directory, name.as_c_str()) {
                Ok(inner) => self.directory(&inner, &path, depth + 1)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.changed = true,
                // Nor does its owner's sandbox look into it; what is the user's own can be opened up from inside.
                Err(Errno::ACCESS | Errno::PERM)
                    if status(directory, name.as_c_str())
                        .is_ok_and(|status| status.st_uid != rustix::process::geteuid().as_raw()) => {}
                Err(errno) => return Err(call("openat", &absolute, errno)),
            }
        }
        let now = rustix::fs::fstat(directory).map_or(i64::MAX, |status| changed_ns(&status));
        self.changed |= now > self.begun_ns.saturating_sub(TICKS_NS);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_masked_is_found_wherever_its_directory_went() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir_all(path("a/.aws")).unwrap();
        std::fs::write(path("a/.aws/credentials"), "x").unwrap();
        std::fs::write(path("a/other"), "x").unwrap();
        let known = |name: &str| {
            let path = path(name);
            let identity = super::super::identity_of(&path).unwrap();
            Known::of(path, identity, false).unwrap()
        };
        let all = [known("a/.aws/credentials"), known("a/other")];
        let look = || {
            let mut walks = [Walk {
                root: root.path().to_owned(),
                ..Walk::default()
            }];
            add_strayed(&all, &mut walks).unwrap();
            let [walk] = walks;
            let found: Vec<PathBuf> = walk.masks.into_iter().map(|found| found.path).collect();
            found
        };
        assert!(look().is_empty());
        std::fs::create_dir(path("node_modules")).unwrap();
        std::fs::rename(path("a/.aws"), path("node_modules/x")).unwrap();
        // Another one in its place changes nothing.
        std::fs::create_dir(path("a/.aws")).unwrap();
        std::fs::write(path("a/.aws/credentials"), "y").unwrap();
        assert_eq!(look(), [Path::new("node_modules/x/credentials")]);
        std::fs::remove_dir_all(path("node_modules")).unwrap();
        assert!(look().is_empty());
    }
}
