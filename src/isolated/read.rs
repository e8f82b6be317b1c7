//! Reads what stands in a git directory that somebody hostile may write: regular files alone, beneath a descriptor,
//! without following a link, each with a bound.

use crate::facts::beneath::{open_directory, read_below, read_file, status};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::{self, Head, LogEntry};
use crate::git::ref_name::RefName;
use rustix::fs::{Dir, FileType, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Longest loose ref and `HEAD`; longest `packed-refs`; longest log of the stash; longest index.
const REF_BYTES_MAX: usize = 4096;
const PACKED_BYTES_MAX: usize = 128 << 20;
const LOG_BYTES_MAX: usize = 4 << 20;
pub(super) const INDEX_BYTES_MAX: usize = 256 << 20;
/// Most loose refs, and how deep they may lie.
const LOOSE_MAX: usize = 200_000;
const DEPTH_MAX: usize = 32;

/// Files and directories that say that something is under way: what git means by `HEAD` and the index is unsettled.
const UNDER_WAY: [&str; 6] = [
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
];

/// All refs.
pub(crate) type Refs = BTreeMap<RefName, ObjectId>;

/// A git directory, and the directory of one work tree's own files in it.
pub(crate) struct Opened {
    shared: OwnedFd,
    own: OwnedFd,
    format: ObjectFormat,
}

impl Opened {
    /// Opens `below` and `work`, both beneath `root`.
    pub(crate) fn open(
        root: impl AsFd,
        below: &Path,
        work: &Path,
        format: ObjectFormat,
    ) -> Result<Self, Errno> {
        Ok(Self {
            shared: beneath(root.as_fd(), below)?,
            own: beneath(root.as_fd(), work)?,
            format,
        })
    }

    /// How objects are named.
    pub(super) const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// The directory of the work tree's own files.
    pub(super) const fn own(&self) -> &OwnedFd {
        &self.own
    }

    /// The directory of objects.
    pub(crate) fn objects(&self) -> Result<OwnedFd, Errno> {
        open_directory(&self.shared, c"objects")
    }

    /// `HEAD`; `None` where it is nothing that can be one.
    pub(super) fn head(&self) -> Option<Head> {
        let text = bounded(&self.own, "HEAD", REF_BYTES_MAX)?;
        ref_files::head(&text, self.format)
    }

    /// Every ref with a value of its own; `None` where what is there can't be read as such.
    pub(crate) fn refs(&self) -> Option<Refs> {
        let mut refs = Refs::new();
        match read_file(&self.shared, c"packed-refs", PACKED_BYTES_MAX) {
            Ok(text) if text.len() <= PACKED_BYTES_MAX => {
                refs.extend(ref_files::packed(&text, self.format)?);
            }
            Err(Errno::NOENT) => {}
            Ok(_) | Err(_) => return None,
        }
        let directory = open_directory(&self.shared, c"refs").ok()?;
        let mut count = 0;
        self.loose(&directory, "refs", &mut refs, &mut count, 0)?;
        Some(refs)
    }

    fn loose(
        &self,
        directory: &OwnedFd,
        above: &str,
        refs: &mut Refs,
        count: &mut usize,
        depth: usize,
    ) -> Option<()> {
        for (name, kind) in names(directory)? {
            *count += 1;
            if *count > LOOSE_MAX {
                return None;
            }
            let Ok(own) = name.to_str() else { continue };
            let full = format!("{above}/{own}");
            if kind == FileType::Directory {
                if depth < DEPTH_MAX
                    && let Ok(inner) = open_directory(directory, name.as_c_str())
                {
                    self.loose(&inner, &full, refs, count, depth + 1)?;
                }
                continue;
            }
            let Ok(full) = full.parse::<RefName>() else {
                continue;
            };
            let text = match read_file(directory, own, REF_BYTES_MAX) {
                // It was packed at this moment.
                Err(Errno::NOENT) => continue,
                other => other.ok().filter(|text| text.len() <= REF_BYTES_MAX),
            };
            // What isn't a value is another ref's name, and for git that counts, not what is packed under this one.
            match text.and_then(|text| ref_files::loose(&text, self.format)) {
                Some(id) => refs.insert(full, id),
                None => refs.remove(&full),
            };
        }
        Some(())
    }

    /// What the stash's ref is.
    pub(super) fn stashed(&self) -> Option<ObjectId> {
        let name = "refs/stash".parse().ok()?;
        self.refs()?.get(&name).copied()
    }

    /// The stash, the oldest first.
    pub(super) fn stash(&self) -> Option<Vec<LogEntry>> {
        let Ok(logs) = beneath(self.shared.as_fd(), Path::new("logs/refs")) else {
            return Some(Vec::new());
        };
        match read_file(&logs, c"stash", LOG_BYTES_MAX) {
            Ok(text) if text.len() <= LOG_BYTES_MAX => ref_files::log(&text, self.format),
            Err(Errno::NOENT) => Some(Vec::new()),
            Ok(_) | Err(_) => None,
        }
    }

    /// The index; `None` where there is none, or what is there can't be read as a file.
    pub(crate) fn index(&self) -> Option<Vec<u8>> {
        // Nothing is read of one that is too large.
        let size = status(&self.own, c"index").ok()?.st_size;
        usize::try_from(size)
            .ok()
            .filter(|size| *size <= INDEX_BYTES_MAX)?;
        bounded(&self.own, "index", INDEX_BYTES_MAX)
    }

    /// The same, and when it was written, in seconds since 1970.
    pub(super) fn index_and_when(&self) -> Option<(Vec<u8>, i64)> {
        let found = read_below(&self.own, Path::new("index"), INDEX_BYTES_MAX);
        let (content, status) = found
            .ok()
            .filter(|(content, _)| content.len() <= INDEX_BYTES_MAX)?;
        Some((content, status.st_mtime))
    }

    /// Tells one state of the index from another.
    pub(super) fn index_mark(&self) -> Option<(u64, i64, i64, u64)> {
        status(&self.own, c"index").ok().map(|found: Stat| {
            let size = u64::try_from(found.st_size).unwrap_or_default();
            (
                found.st_ino,
                found.st_mtime,
                i64::try_from(found.st_mtime_nsec).unwrap_or_default(),
                size,
            )
        })
    }

    /// The configuration, and that of the work tree.
    pub(super) fn config(&self) -> Option<Vec<u8>> {
        bounded(&self.shared, "config", crate::facts::git_config::CONFIG_BYTES_MAX)
    }

    /// Whether something is under way.
    pub(super) fn is_under_way(&self) -> bool {
        UNDER_WAY.iter().any(|name| status(&self.own, *name).is_ok())
    }

    /// Whether git is about to change something of the work tree.
    pub(super) fn is_locked(&self) -> bool {
        ["HEAD.lock", "index.lock"]
            .iter()
            .any(|name| status(&self.own, *name).is_ok())
    }

    /// Whether git is about to pack refs.
    pub(super) fn is_packing(&self) -> bool {
        status(&self.shared, "packed-refs.lock").is_ok()
    }

    /// A small file of the work tree's own.
    pub(super) fn text(&self, name: &str, most: usize) -> Option<Vec<u8>> {
        bounded(&self.own, name, most)
    }

    /// What `HEAD` was, the oldest first.
    pub(super) fn head_log(&self) -> Option<Vec<LogEntry>> {
        let logs = open_directory(&self.own, c"logs").ok()?;
        ref_files::log(&bounded(&logs, "HEAD", LOG_BYTES_MAX)?, self.format)
    }
}

fn bounded(directory: &OwnedFd, name: &str, most: usize) -> Option<Vec<u8>> {
    read_file(directory, name, most)
        .ok()
        .filter(|content| content.len() <= most)
}

/// Opens a directory beneath another one, name by name: none of them may be a link.
pub(super) fn beneath(root: std::os::fd::BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut at = root.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(Errno::INVAL);
        };
        at = open_directory(&at, name)?;
    }
    Ok(at)
}

pub(super) fn names(directory: &OwnedFd) -> Option<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if names.len() > LOOSE_MAX {
            return None;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = FileType::from_raw_mode(status(directory, name).ok()?.st_mode);
        }
        names.push((name.to_owned(), kind));
    }
    Some(names)
}

/// The directories beneath `refs`, for who watches them, as far as a bound goes.
pub(crate) fn ref_directories(root: &Path, most: usize) -> Vec<std::path::PathBuf> {
    let mut found = vec![root.join("refs")];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let Ok(opened) = crate::facts::beneath::open_directory(rustix::fs::CWD, &directory) else {
            continue;
        };
        for (name, kind) in names(&opened).unwrap_or_default() {
            if kind == FileType::Directory && found.len() < most {
                found.push(directory.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    found
}
