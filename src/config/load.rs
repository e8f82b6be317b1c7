//! Reads the configuration files.

use super::{
    ConfigError, FileKind, FileLayer, Places, Source, Trust,
    administrator::open_administrators,
    error::Problem,
    schema,
    trust::{Digest, Standing, Store},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The same of a project's, which anyone may have written.
const MAX_PROJECT_BYTES: u64 = 64 << 10;
/// The project's file, in its root.
pub const PROJECT_FILE: &str = ".aca.toml";

/// Reads the administrator's file.
///
/// # Errors
/// A file that isn't the administrator's alone, that can't be read, or that isn't right.
pub fn load_administrators() -> Result<Option<FileLayer>, ConfigError> {
    let Some((path, file)) = open_administrators()? else {
        return Ok(None);
    };
    let bytes = bytes(file, &path, MAX_BYTES)?;
    schema::read(text(path, bytes)?, FileKind::Administrator).map(Some)
}

/// Reads the user's configuration file: `explicit` where `--config` names one (then it must be there), else the place of
/// the XDG specification, where none is fine.
///
/// # Errors
/// A file that can't be read, or that isn't right, with the place of the fault.
pub fn load(places: &Places, explicit: Option<&Path>) -> Result<Option<FileLayer>, ConfigError> {
    let (path, bytes) = match explicit {
        // It may be a pipe, which `--config <(…)` gives.
        Some(explicit) => {
            let path = places.current.join(explicit);
            let file = File::open(&path).map_err(|source| ConfigError::Read {
                path: path.clone(),
                source,
            })?;
            let bytes = bytes(file, &path, MAX_BYTES)?;
            (path, bytes)
        }
        None => {
            let path = places.config_file();
            match open_plain(&path, OFlags::empty()) {
                Ok(Opened::File(file)) => {
                    let bytes = bytes(file, &path, MAX_BYTES)?;
                    (path, bytes)
                }
                Ok(Opened::Other(what)) => return Err(ConfigError::NoFile { path, what }),
                // A link whose target isn't there, on a disk that isn't mounted, say, is no absence.
                Err(Errno::NOENT) if std::fs::read_link(&path).is_ok() => {
                    let what = "a link that leads nowhere";
                    return Err(ConfigError::NoFile { path, what });
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => {
                    let source = errno.into();
                    return Err(ConfigError::Read { path, source });
                }
            }
        }
    };
    schema::read(text(path, bytes)?, FileKind::User).map(Some)
}

/// A project's file, as it was read once: what is hashed is what counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFile {
    /// What it says, and how far it is believed.
    pub layer: FileLayer,
    /// Its content.
    pub digest: Digest,
    /// Whether the user trusts that content.
    pub standing: Standing,
}

/// Reads the file of the project with that root, a path without links; `None` when there is none.
///
/// # Errors
/// One that isn't a regular file, can't be read or isn't right, and a store that doesn't tell whether it is trusted.
pub fn load_projects(places: &Places, root: &Path) -> Result<Option<ProjectFile>, ConfigError> {
    let Some((path, bytes)) = read_projects(root)? else {
        return Ok(None);
    };
    let digest = Digest::of(&bytes);
    let standing = Store::read(&places.trust_store())?.standing(root, &digest);
    let mut layer = schema::read(text(path, bytes)?, FileKind::Project)?;
    layer.trust = match standing {
        Standing::Trusted => Trust::Full,
        Standing::Unknown | Standing::Changed => Trust::Reduced,
    };
    Ok(Some(ProjectFile {
        layer,
        digest,
        standing,
    }))
}

/// The content of a project's file, if it has one that could count.
#[must_use]
pub fn projects_digest(root: &Path) -> Option<Digest> {
    let (_, bytes) = read_projects(root).ok().flatten()?;
    Some(Digest::of(&bytes))
}

fn read_projects(root: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, ConfigError> {
    let path = root.join(PROJECT_FILE);
    // No link is followed: it could lead to a file that is trusted, or that whoever made it can't read.
    let file = match open_plain(&path, OFlags::NOFOLLOW) {
        Ok(Opened::File(file)) => file,
        Ok(Opened::Other(what)) => return Err(ConfigError::NoFile { path, what }),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => {
            let what = "a symbolic link";
            return Err(ConfigError::NoFile { path, what });
        }
        Err(errno) => {
            let source = errno.into();
            return Err(ConfigError::Read { path, source });
        }
    };
    let bytes = bytes(file, &path, MAX_PROJECT_BYTES)?;
    Ok(Some((path, bytes)))
}

/// Reads a file that may be anything: without waiting for the other end of a pipe.
///
/// # Errors
/// As [`load`], and what is no regular file.
pub(super) fn read_regular(path: PathBuf) -> Result<Source, ConfigError> {
    match open_plain(&path, OFlags::empty()) {
        Ok(Opened::File(file)) => {
            let bytes = bytes(file, &path, MAX_BYTES)?;
            text(path, bytes)
        }
        Ok(Opened::Other("a directory")) => Err(ConfigError::Directory(path)),
        Ok(Opened::Other(_)) => Err(ConfigError::NotAFile(path)),
        Err(errno) => {
            let source = errno.into();
            Err(ConfigError::Read { path, source })
        }
    }
}

/// Reads any file as a configuration of that kind.
///
/// # Errors
/// As for the others.
pub fn check(path: &Path, kind: FileKind) -> Result<FileLayer, ConfigError> {
    let file = File::open(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let bytes = bytes(file, path, MAX_BYTES)?;
    schema::read(text(path.to_owned(), bytes)?, kind)
}

/// What a path turned out to be.
enum Opened {
    File(File),
    /// With its article.
    Other(&'static str),
}

/// Opens a regular file; a pipe isn't waited for.
fn open_plain(path: &Path, flags: OFlags) -> Result<Opened, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match openat(CWD, path, flags, Mode::empty()) {
        // A socket.
        Err(Errno::NXIO) => return Ok(Opened::Other("a socket or device")),
        other => other?,
    };
    Ok(match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
        FileType::RegularFile => Opened::File(opened.into()),
        FileType::Directory => Opened::Other("a directory"),
        FileType::Fifo => Opened::Other("a pipe"),
        FileType::Symlink
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Opened::Other("a socket or device"),
    })
}

fn bytes(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(ConfigError::Directory(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

fn text(path: PathBuf, bytes: Vec<u8>) -> Result<Source, ConfigError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { path, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let source = Source { path, text };
            Err(ConfigError::InFile {
                problem: Problem::NotUtf8,
                excerpt: Box::new(source.excerpt(valid..valid + 1)),
            })
        }
    }
}
