//! Puts a file back as it was, or away where nothing runs it. The tree is the agent's work: no link in it is followed, and
//! nothing is written through a name that could have been made to lead elsewhere.

use super::snapshot::Copied;
use crate::facts::beneath::{open_directory, open_root, status};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, openat, openat2, renameat_with, unlinkat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

/// Largest file that is carried to another file system.
const CARRIED_BYTES_MAX: u64 = 1 << 30;
/// Names that are tried before one is free.
const NAMES_TRIED: u32 = 1_000;

/// Why a file was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// There is no name to it.
    #[error("{} names nothing in the project", .0.display())]
    NoName(PathBuf),
    /// The way there leads over a link, or is none.
    #[error("the directory of {} can't be used: {source}", path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A directory can't be carried to another file system.
    #[error("{} lies on another file system than {}: move it yourself", path.display(), to.display())]
    OtherFileSystem {
        /// What.
        path: PathBuf,
        /// Where to.
        to: PathBuf,
    },
    /// A call failed.
    #[error("{call} of {}: {source}", path.display())]
    Call {
        /// The system call.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

/// Writes the copy where the file was. Directories on the way are made where they are gone; one that stands in the file's
/// place is put away below `to`, and where it lies then is given.
///
/// # Errors
/// See [`MendError`].
pub fn put_back(copied: &Copied, to: &Path) -> Result<Option<PathBuf>, MendError> {
    let path = &copied.path;
    let (directory, name) = match parent(&copied.root, path) {
        Err(MendError::Directory {
            source: Errno::NOENT, ..
        }) => {
            make_parents(&copied.root, path)?;
            parent(&copied.root, path)?
        }
        found => found?,
    };
    let failed = |call, source| MendError::Call {
        call,
        path: path.clone(),
        source,
    };
    let mut beside = OsString::from(".aca-");
    beside.push(std::process::id().to_string());
    beside.push(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(copied.mode & 0o777);
    let mut file = openat(&directory, &beside, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|errno| failed("open", errno.into()))?;
    let mut put = || -> Result<Option<PathBuf>, MendError> {
        rustix::fs::fchmod(&file, mode)
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(&copied.content))
            .map_err(|source| failed("write", source))?;
        let rename = || rustix::fs::renameat(&directory, &beside, &directory, name);
        let mut lies = None;
        let renamed = rename().or_else(|errno| {
            if errno != Errno::ISDIR {
                return Err(failed("rename", errno.into()));
            }
            lies = Some(put_away(&copied.root, path, to)?);
            rename().map_err(|errno| failed("rename", errno.into()))
        });
        renamed.map(|()| lies)
    };
    put().inspect_err(|_| {
        unlinkat(&directory, &beside, AtFlags::empty()).ok();
    })
}

/// The directories above a path, as far as they are missing.
fn make_parents(root: &Path, path: &Path) -> Result<(), MendError> {
    let failed = |source| MendError::Directory {
        path: path.to_owned(),
        source,
    };
    let names: Option<Vec<&OsStr>> = path
        .parent()
        .unwrap_or(Path::new(""))
        .components()
        .map(|component| match component {
            Component::Normal(name) => Some(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        })
        .collect();
    let names = names.ok_or_else(|| MendError::NoName(path.to_owned()))?;
    let mut directory = open_root(root).map_err(failed)?;
    for name in names {
        match rustix::fs::mkdirat(&directory, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        directory = open_directory(&directory, name).map_err(failed)?;
    }
    Ok(())
}

/// Moves what is there below `to`, which is made; gives where it lies now.
///
/// # Errors
/// See [`MendError`].
pub fn put_away(root: &Path, path: &Path, to: &Path) -> Result<PathBuf, MendError> {
    let (directory, name) = parent(root, path)?;
    let inner = path.parent().unwrap_or(Path::new(""));
    let place = to.join(inner);
    let call = |call, path: &Path, source| MendError::Call {
        call,
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&place)
        .map_err(|source| call("mkdir", &place, source))?;
    let away = open_root(&place).map_err(|errno| call("open", &place, errno.into()))?;
    for number in 0..NAMES_TRIED {
        let mut free = name.to_owned();
        if number > 0 {
            free.push(format!(".{number}"));
        }
        let rename = || renameat_with(&directory, name, &away, &free, RenameFlags::NOREPLACE);
        let renamed = rename().or_else(|errno| {
            if errno != Errno::ACCESS {
                return Err(errno);
            }
            // Its modes were set so that it stays: they are the user's to set.
            widen(&directory, name)?;
            rename()
        });
        match renamed {
            Ok(()) => return Ok(place.join(free)),
            Err(Errno::EXIST) => {}
            Err(Errno::XDEV) => {
                return carry(&directory, name, &away, &free)
                    .map(|()| place.join(&free))
                    .map_err(|error| match error.raw_os_error() {
                        Some(errno) if errno == Errno::XDEV.raw_os_error() => MendError::OtherFileSystem {
                            path: root.join(path),
                            to: place.clone(),
                        },
                        _ => call("copy", path, error),
                    });
            }
            Err(errno) => return Err(call("rename", path, errno.into())),
        }
    }
    Err(call("rename", path, Errno::EXIST.into()))
}

/// Gives what is there another name in its directory, under which nothing looks for it; gives where it lies now.
///
/// # Errors
/// See [`MendError`].
pub fn set_aside(root: &Path, path: &Path, end: &str) -> Result<PathBuf, MendError> {
    let (directory, name) = parent(root, path)?;
    let mut aside = name.to_owned();
    aside.push(format!(".{end}"));
    let rename = || renameat_with(&directory, name, &directory, &aside, RenameFlags::NOREPLACE);
    let renamed = rename().or_else(|_| widen(&directory, name).and_then(|()| rename()));
    match renamed {
        Ok(()) => Ok(root.join(path).with_file_name(aside)),
        Err(errno) => Err(MendError::Call {
            call: "rename",
            path: path.to_owned(),
            source: errno.into(),
        }),
    }
}

/// Lets a name be taken out of a directory: both have to be writable, where what has the name is a directory itself
/// (rename(2)).
fn widen(directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let wider = |opened: &OwnedFd| {
        let mode = Mode::from_raw_mode(rustix::fs::fstat(opened)?.st_mode & 0o7777);
        // Such a descriptor has no chmod of its own; its name in /proc leads to it alone.
        let own = format!("/proc/self/fd/{}", opened.as_raw_fd());
        rustix::fs::chmod(own, mode | Mode::RWXU)
    };
    wider(directory)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => wider(&opened),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A file or a link, to another file system.
fn carry(directory: &OwnedFd, name: &OsStr, away: &OwnedFd, free: &OsStr) -> io::Result<()> {
    match FileType::from_raw_mode(status(directory, name)?.st_mode) {
        FileType::Symlink => {
            let text = rustix::fs::readlinkat(directory, name, Vec::new())?;
            rustix::fs::symlinkat(text, away, free)?;
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let from = openat(directory, name, flags, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = openat(away, free, flags, Mode::RUSR | Mode::WUSR)?;
            let copied = io::copy(&mut File::from(from).take(CARRIED_BYTES_MAX), &mut File::from(to))?;
            if copied >= CARRIED_BYTES_MAX {
                unlinkat(away, free, AtFlags::empty())?;
                return Err(Errno::FBIG.into());
            }
        }
        FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => return Err(Errno::XDEV.into()),
    }
    Ok(unlinkat(directory, name, AtFlags::empty())?)
}

/// The directory that a path's last name stands in.
pub(super) fn parent<'a>(root: &Path, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), MendError> {
    let name = path
        .file_name()
        .ok_or_else(|| MendError::NoName(path.to_owned()))?;
    let failed = |source| MendError::Directory {
        path: path.to_owned(),
        source,
    };
    let directory = open_root(root).map_err(failed)?;
    let inner = path.parent().unwrap_or(Path::new(""));
    if inner.as_os_str().is_empty() {
        return Ok((directory, name));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let inner = openat2(&directory, inner, flags, Mode::empty(), resolve).map_err(failed)?;
    Ok((inner, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn copied(root: &Path, path: &str) -> Copied {
        Copied {
            root: root.to_owned(),
            path: path.into(),
            mode: 0o750,
            content: b"was".to_vec(),
        }
    }

    #[test]
    fn it_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/run.sh"), "is").unwrap();
        fs::create_dir_all(root.join("a/dir.sh/inner")).unwrap();
        let away = folder.path().join("q");
        for name in ["a/run.sh", "a/gone.sh", "a/b/c/gone.sh"] {
            assert_eq!(put_back(&copied(root, name), &away).unwrap(), None);
        }
        // A directory that took its place isn't lost.
        let lies = put_back(&copied(root, "a/dir.sh"), &away).unwrap().unwrap();
        assert!(fs::metadata(lies.join("inner")).unwrap().is_dir());
        for name in ["a/run.sh", "a/gone.sh", "a/b/c/gone.sh", "a/dir.sh"] {
            assert_eq!(fs::read(root.join(name)).unwrap(), b"was");
            let mode = fs::metadata(root.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o750);
        }
        assert_eq!(fs::read_dir(root.join("a")).unwrap().count(), 4);
    }

    #[test]
    fn no_link_leads_it_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("p"), folder.path().join("other"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("run.sh"), "mine").unwrap();
        symlink(&other, root.join("a")).unwrap();
        assert!(matches!(
            put_back(&copied(&root, "a/run.sh"), &folder.path().join("q")),
            Err(MendError::Directory { .. })
        ));
        assert!(put_away(&root, Path::new("a/run.sh"), &folder.path().join("q")).is_err());
        // Nor a directory that would be made.
        for path in [
            "../other/run.sh",
            "a/b/run.sh",
            "../other/b/run.sh",
            "b/../../other/b/run.sh",
        ] {
            assert!(put_back(&copied(&root, path), &folder.path().join("q")).is_err());
        }
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
        // The link itself is what is replaced, and what is put away.
        symlink(other.join("run.sh"), root.join("run.sh")).unwrap();
        put_back(&copied(&root, "run.sh"), &folder.path().join("q")).unwrap();
        assert_eq!(fs::read(other.join("run.sh")).unwrap(), b"mine");
        let lies = put_away(&root, Path::new("a"), &folder.path().join("q")).unwrap();
        assert_eq!(fs::read_link(lies).unwrap(), other);
        assert_eq!(fs::read(other.join("run.sh")).unwrap(), b"mine");
    }

    #[test]
    fn what_was_put_away_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (root, to) = (folder.path().join("p"), folder.path().join("q"));
        for content in ["one", "two"] {
            fs::create_dir_all(root.join("x/.husky")).unwrap();
            fs::write(root.join("x/.husky/pre-commit"), content).unwrap();
            put_away(&root, Path::new("x/.husky"), &to).unwrap();
            assert!(fs::symlink_metadata(root.join("x/.husky")).is_err());
        }
        assert_eq!(fs::read(to.join("x/.husky/pre-commit")).unwrap(), b"one");
        assert_eq!(fs::read(to.join("x/.husky.1/pre-commit")).unwrap(), b"two");
        let mode = fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
