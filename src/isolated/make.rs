//! Makes a private git directory: everything of the host's that git works with, and nothing that leads it elsewhere.
//!
//! Objects are borrowed. Loose refs become packed ones, so that their number costs one file. Hooks and attributes go in:
//! they run and hold inside alone.
//!
//! No link is followed: a run that worked on the host's git directory itself may have left one that leads to a file which
//! isn't seen inside, and so may one that writes the project, where a hook of the user's is a link into that.

use super::kept::going_in;
use super::layout::{Layout, NEIGHBOURS_MAX, Part};
use super::read::beneath;
use crate::facts::beneath::{open_directory, open_root, read_file};
use crate::facts::git_config::{CONFIG_BYTES_MAX, settings};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Most logs of refs that are copied besides `HEAD`'s and the stash's.
const LOGS_MAX: usize = 1000;
/// Largest hook, and largest file of another kind but the index and packed refs.
const FILE_BYTES_MAX: usize = 16 << 20;
/// Longest content of a loose ref.
const REF_BYTES_MAX: usize = 4096;
/// How deep directories of what is copied may lie.
const DEPTH_MAX: usize = 32;

/// Files that a git directory has for all its work trees.
const SHARED: [&str; 4] = ["description", "info/exclude", "info/attributes", "shallow"];
/// Files of one work tree: what it stands at, and what is under way in it.
const OWN: [&str; 24] = [
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "MERGE_MODE",
    "MERGE_MSG",
    "MERGE_RR",
    "MERGE_AUTOSTASH",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "COMMIT_EDITMSG",
    "BISECT_LOG",
    "BISECT_NAMES",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_RUN",
    "BISECT_EXPECTED_REV",
    "BISECT_ANCESTORS_OK",
    "BISECT_FIRST_PARENT",
    "BISECT_HEAD",
    "info/sparse-checkout",
];
/// Directories of what is under way.
const UNDER_WAY: [&str; 4] = ["rebase-merge", "rebase-apply", "sequencer", "rr-cache"];
/// Files of a linked work tree that lead from and to it.
const LINKS: [&str; 3] = ["gitdir", "commondir", "locked"];

/// Makes it at `target`, which is not there yet. Gives, for each part, its refs as they are now, in the form of
/// `packed-refs`.
///
/// # Errors
/// Of the file system.
pub(super) fn make(layout: &Layout, target: &Path) -> io::Result<Vec<Vec<u8>>> {
    let stores = layout.stores();
    let mut refs = Vec::new();
    for part in &layout.parts {
        let (host, to) = (layout.host_of(part), target.join(&part.below));
        for directory in [
            "",
            "info",
            "refs/heads",
            "refs/tags",
            "objects/info",
            "objects/pack",
            "hooks",
        ] {
            directories(&to.join(directory))?;
        }
        let borrowed: Vec<u8> = part
            .stores
            .iter()
            .filter_map(|store| stores.iter().find(|(known, _)| known == store))
            .flat_map(|(_, at)| [at.as_os_str().as_encoded_bytes(), b"\n"].concat())
            .collect();
        write(&to.join("objects/info/alternates"), &borrowed, 0o644)?;
        config(&host, &to, "config")?;
        config(&host, &to, "config.worktree")?;
        for name in SHARED {
            copy(&host, &to, name)?;
        }
        hooks(&host, &to)?;
        let packed = pack_refs(&host, &to)?;
        write(&to.join("packed-refs"), &packed, 0o644)?;
        refs.push(packed);
        if part.trees.contains(&part.below) {
            own(&host, &to)?;
        } else {
            copy(&host, &to, "HEAD")?;
        }
        logs(&host, &to)?;
        worktrees(part, &host, &to)?;
    }
    Ok(refs)
}

/// What belongs to one work tree.
fn own(host: &Path, to: &Path) -> io::Result<()> {
    for name in OWN {
        copy(host, to, name)?;
    }
    for name in UNDER_WAY {
        tree(host, name, to, 10_000)?;
    }
    big(open_root(host)?, "index", &to.join("index"))
}

/// All linked work trees are there, so that git knows which branches they have; those that the run can write are whole.
fn worktrees(part: &Part, host: &Path, to: &Path) -> io::Result<()> {
    let Some(all) = reached(host, "worktrees")? else {
        return Ok(());
    };
    let names = fs::read_dir(listed(&all))?;
    for entry in names.filter_map(Result::ok).take(NEIGHBOURS_MAX) {
        let below = Path::new("worktrees").join(entry.file_name());
        let (host, to) = (host.join(&below), to.join(&below));
        if !host.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        directories(&to)?;
        for name in LINKS {
            copy(&host, &to, name)?;
        }
        if part.trees.contains(&part.below.join(&below)) {
            own(&host, &to)?;
            config(&host, &to, "config.worktree")?;
            logs(&host, &to)?;
            tree(&host, "refs", &to, 10_000)?;
        } else {
            copy(&host, &to, "HEAD")?;
        }
    }
    Ok(())
}

/// A path is made with all above it, closed to others.
fn directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        directories(parent)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)
}

/// Copies a small regular file, if it is there.
fn copy(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    match read_file(CWD, from.join(name), FILE_BYTES_MAX) {
        Ok(content) if content.len() <= FILE_BYTES_MAX => match write(&to.join(name), &content, 0o644) {
            // The same file for both kinds.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        },
        Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL | rustix::io::Errno::NOTDIR) => {
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// A directory beneath a git directory; `None` where there is none, or a link is on the way.
fn reached(host: &Path, name: &str) -> io::Result<Option<OwnedFd>> {
    match beneath(open_root(host)?.as_fd(), Path::new(name)) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The path by which the names of an open directory are listed.
fn listed(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", directory.as_raw_fd())
}

/// A regular file, not by a link; `None` where there is none.
pub(super) fn open_regular(directory: impl AsFd, name: impl rustix::path::Arg) -> io::Result<Option<File>> {
    // Nothing waits for the other end of a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    Ok((kind == FileType::RegularFile).then(|| file.into()))
}

/// Copies a file of any size; the kernel shares its blocks where the file system can (copy_file_range(2)).
fn big(directory: impl AsFd, name: impl rustix::path::Arg, to: &Path) -> io::Result<()> {
    let Some(mut source) = open_regular(directory, name)? else {
        return Ok(());
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(to)?;
    io::copy(&mut source, &mut file).map(drop)
}

fn config(host: &Path, to: &Path, name: &str) -> io::Result<()> {
    match read_file(CWD, host.join(name), CONFIG_BYTES_MAX) {
        Ok(text) => write(&to.join(name), &going_in(&settings(&text)), 0o644),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn hooks(host: &Path, to: &Path) -> io::Result<()> {
    let to = to.join("hooks");
    // A link leads where it does, and inside that is what is seen there.
    if let Ok(text) = fs::read_link(host.join("hooks")) {
        fs::remove_dir(&to)?;
        return symlink(text, to);
    }
    let Some(directory) = reached(host, "hooks")? else {
        return Ok(());
    };
    for entry in fs::read_dir(listed(&directory))?
        .filter_map(Result::ok)
        .take(1000)
    {
        let name = entry.file_name();
        if Path::new(&name).extension().is_some_and(|end| end == "sample") {
            continue;
        }
        if let Ok(text) = rustix::fs::readlinkat(&directory, &name, Vec::new()) {
            symlink(OsStr::from_bytes(text.to_bytes()), to.join(name))?;
            continue;
        }
        let Some(file) = open_regular(&directory, &name)? else {
            continue;
        };
        let metadata = file.metadata()?;
        if metadata.len() <= 16 << 20 {
            let mut content = Vec::new();
            file.take(16 << 20).read_to_end(&mut content)?;
            write(&to.join(name), &content, metadata.permissions().mode() & 0o755)?;
        }
    }
    Ok(())
}

/// Copies a directory of regular files, which may not be there.
fn tree(host: &Path, name: &str, to: &Path, most: usize) -> io::Result<()> {
    match reached(host, name)? {
        Some(directory) => inner_tree(&directory, &to.join(name), &mut 0, most, DEPTH_MAX),
        None => Ok(()),
    }
}

fn inner_tree(from: &OwnedFd, to: &Path, count: &mut usize, most: usize, depth: usize) -> io::Result<()> {
    directories(to)?;
    for entry in fs::read_dir(listed(from))? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if *count >= most {
            return Ok(());
        }
        if kind.is_dir() && depth > 0 {
            if let Ok(inner) = open_directory(from, &name) {
                inner_tree(&inner, &to.join(name), count, most, depth - 1)?;
            }
        } else if kind.is_file() {
            *count += 1;
            big(from, &name, &to.join(&name))?;
        }
    }
    Ok(())
}

fn logs(host: &Path, to: &Path) -> io::Result<()> {
    for (directory, name) in [("logs", "HEAD"), ("logs/refs", "stash")] {
        if let Some(from) = reached(host, directory)? {
            directories(&to.join(directory))?;
            big(from, name, &to.join(directory).join(name))?;
        }
    }
    tree(host, "logs/refs/heads", to, LOGS_MAX)?;
    tree(host, "logs/refs/remotes", to, LOGS_MAX)
}

/// All refs in the form of `packed-refs`: a loose one stands for itself, whatever is packed under its name. Those that
/// stand for another ref stay files.
fn pack_refs(host: &Path, to: &Path) -> io::Result<Vec<u8>> {
    let mut refs: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut packed = Vec::new();
    if let Some(mut file) = open_regular(CWD, host.join("packed-refs"))? {
        file.read_to_end(&mut packed)?;
    }
    let mut last: Option<Vec<u8>> = None;
    for line in packed.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"#") {
            continue;
        }
        if line.starts_with(b"^") {
            // What the tag of the line before leads to.
            if let Some(lines) = last.as_ref().and_then(|name| refs.get_mut(name)) {
                lines.extend_from_slice(line);
            }
            continue;
        }
        let name = line
            .split(|byte| *byte == b' ')
            .nth(1)
            .unwrap_or_default()
            .trim_ascii()
            .to_vec();
        refs.insert(name.clone(), line.to_vec());
        last = Some(name);
    }
    let directory = reached(host, "refs")?.ok_or(io::ErrorKind::NotADirectory)?;
    loose(&directory, "refs", to, &mut refs, DEPTH_MAX)?;
    let mut text = b"# pack-refs with: sorted \n".to_vec();
    text.extend(refs.into_values().flatten());
    Ok(text)
}

fn loose(
    directory: &OwnedFd,
    name: &str,
    to: &Path,
    refs: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    depth: usize,
) -> io::Result<()> {
    for entry in fs::read_dir(listed(directory))? {
        let entry = entry?;
        let Ok(own) = entry.file_name().into_string() else {
            continue;
        };
        let (kind, name): (_, String) = (entry.file_type()?, format!("{name}/{own}"));
        if kind.is_dir() && depth > 0 {
            if let Ok(inner) = open_directory(directory, own.as_str()) {
                loose(&inner, &name, to, refs, depth - 1)?;
            }
            continue;
        }
        // A lock's name can't be a ref's.
        if !kind.is_file() || own.ends_with(".lock") {
            continue;
        }
        let content = match read_file(directory, own.as_str(), REF_BYTES_MAX) {
            Ok(content) => content,
            // Packed, or deleted, at this moment.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if content.starts_with(b"ref:") || is_one_trees(&name) {
            write(&to.join(&name), &content, 0o644)?;
            refs.remove(name.as_bytes());
        } else {
            let line = [content.trim_ascii(), b" ", name.as_bytes(), b"\n"].concat();
            refs.insert(name.into_bytes(), line);
        }
    }
    Ok(())
}

/// Refs of one work tree are never packed (gitglossary(7), "per-worktree ref").
fn is_one_trees(name: &str) -> bool {
    ["refs/bisect/", "refs/worktree/", "refs/rewritten/"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The file that refs as they were at the start are kept in, beside the private directory.
pub(super) fn refs_file(place: &Path, part: usize) -> PathBuf {
    place.join(format!("refs-{part}"))
}
