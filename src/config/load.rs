//! Reads the one configuration file.

use super::{ConfigError, FileLayer, Places, Source, error::Problem, schema};
use rustix::fs::{FileType, Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the user's configuration file: `explicit` where `--config` names one (then it must be there), else the place of
/// the XDG specification, where none is fine.
///
/// # Errors
/// A file that can't be read, or that isn't right, with the place of the fault.
pub fn load(places: &Places, explicit: Option<&Path>) -> Result<Option<FileLayer>, ConfigError> {
    let path = explicit.map_or_else(|| places.config_file(), |explicit| places.current.join(explicit));
    match bytes(&path) {
        Ok(bytes) => schema::read(text(path, bytes)?).map(Some),
        Err(ConfigError::Read { source, .. })
            if explicit.is_none() && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads a file that may be anything: without waiting for the other end of a pipe.
///
/// # Errors
/// As [`load`], and what is no regular file.
pub(super) fn read_regular(path: PathBuf) -> Result<Source, ConfigError> {
    let failed = |errno: rustix::io::Errno| ConfigError::Read {
        path: path.clone(),
        source: errno.into(),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(failed)?;
    let status = rustix::fs::fstat(&file).map_err(failed)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => text(path.clone(), contents(&path, file.into())?),
        FileType::Directory => Err(ConfigError::Directory(path)),
        FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Err(ConfigError::NotAFile(path)),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(ConfigError::Directory(path.to_owned()));
    }
    contents(path, file)
}

fn contents(path: &Path, file: File) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            limit: MAX_BYTES,
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
