//! Finds the logs of sessions, and opens them: never through a link, never waiting for anyone.

use super::SessionId;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Why a session can't be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The directory can't be read.
    #[error("cannot read the directory of session logs {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are none.
    #[error("there are no sessions yet in {}", .0.display())]
    Empty(PathBuf),
    /// None begins like that.
    #[error("there is no session `{0}`")]
    Unknown(String),
    /// Several begin like that.
    #[error("{count} sessions begin with `{prefix}`")]
    Ambiguous {
        /// As asked for.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// The log can't be opened.
    #[error("cannot read the session log {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What has the log's name is no file.
    #[error("{} is {what}, not a session log", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
}

/// The sessions that have a log, oldest first.
///
/// # Errors
/// The directory can't be read. None at all is [`FindError::Empty`].
pub fn all(sessions: &Path) -> Result<Vec<SessionId>, FindError> {
    let failed = |source| FindError::Directory {
        path: sessions.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(sessions) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FindError::Empty(sessions.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // Other files there are none of ours.
        ids.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".jsonl"))
                .and_then(|id| id.parse::<SessionId>().ok()),
        );
    }
    if ids.is_empty() {
        return Err(FindError::Empty(sessions.to_owned()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Opens the log of the session whose id begins with `prefix`, or of the newest.
///
/// # Errors
/// Those of [`find`] and [`open_log`].
pub fn open(sessions: &Path, prefix: Option<&str>) -> Result<(SessionId, File), FindError> {
    let id = find(sessions, prefix)?;
    let file = open_log(sessions, &id)?;
    Ok((id, file))
}

/// The session whose id begins with `prefix`, or the newest.
///
/// # Errors
/// None, or several.
pub fn find(sessions: &Path, prefix: Option<&str>) -> Result<SessionId, FindError> {
    let mut ids = all(sessions).or_else(|error| match (error, prefix) {
        (FindError::Empty(_), Some(_)) => Ok(Vec::new()),
        (error, _) => Err(error),
    })?;
    if let Some(prefix) = prefix {
        ids.retain(|id| id.as_str().starts_with(prefix));
        match ids.len() {
            0 => return Err(FindError::Unknown(prefix.to_owned())),
            1 => {}
            count => {
                return Err(FindError::Ambiguous {
                    prefix: prefix.to_owned(),
                    count,
                });
            }
        }
    }
    ids.pop().ok_or_else(|| FindError::Empty(sessions.to_owned()))
}

/// Opens the log of one session.
///
/// # Errors
/// It can't be opened, or it is no regular file.
pub(super) fn open_log(sessions: &Path, id: &SessionId) -> Result<File, FindError> {
    let path = sessions.join(format!("{id}.jsonl"));
    // A pipe would be waited for, a terminal taken.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP) => {
            let what = "a symbolic link";
            return Err(FindError::NotAFile { path, what });
        }
        // open(2): a socket.
        Err(Errno::NXIO) => {
            let what = "a socket";
            return Err(FindError::NotAFile { path, what });
        }
        Err(errno) => {
            let source = errno.into();
            return Err(FindError::Open { path, source });
        }
    };
    let kind = match fstat(&file) {
        Ok(status) => FileType::from_raw_mode(status.st_mode),
        Err(errno) => {
            let source = errno.into();
            return Err(FindError::Open { path, source });
        }
    };
    let what = match kind {
        FileType::RegularFile => return Ok(file.into()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a named pipe",
        FileType::Symlink
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => "a device",
    };
    Err(FindError::NotAFile { path, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkfifoat};

    const NAMES: [&str; 3] = [
        "20261123T090807006Z-aaaaaaaaaaaa",
        "20261123T090807006Z-bbbbbbbbbbbb",
        "20261124T090807006Z-000000000000",
    ];

    #[test]
    fn sessions_by_the_beginning_of_their_id() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path(), None), Err(FindError::Empty(_))));
        assert!(matches!(
            open(&folder.path().join("none"), None),
            Err(FindError::Empty(_))
        ));
        for name in NAMES {
            std::fs::write(folder.path().join(format!("{name}.jsonl")), name).unwrap();
        }
        std::fs::write(folder.path().join("zzz.jsonl"), "").unwrap();
        let found = |prefix| open(folder.path(), prefix).map(|(id, _)| id.to_string());
        assert_eq!(found(None).unwrap(), NAMES[2]);
        assert_eq!(found(Some("20261124")).unwrap(), NAMES[2]);
        assert_eq!(found(Some("20261123T090807006Z-b")).unwrap(), NAMES[1]);
        assert!(matches!(
            found(Some("20261123")),
            Err(FindError::Ambiguous { count: 2, .. })
        ));
        assert!(matches!(found(Some("../x")), Err(FindError::Unknown(_))));
    }

    #[test]
    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |index: usize| folder.path().join(format!("{}.jsonl", NAMES[index]));
        std::fs::create_dir(at(0)).unwrap();
        mkfifoat(CWD, at(1), Mode::RUSR | Mode::WUSR).unwrap();
        std::fs::write(folder.path().join("victim"), "x").unwrap();
        std::os::unix::fs::symlink("victim", at(2)).unwrap();
        for (index, expected) in ["a directory", "a named pipe", "a symbolic link"]
            .into_iter()
            .enumerate()
        {
            let found = open_log(folder.path(), &NAMES[index].parse().unwrap());
            assert!(
                matches!(&found, Err(FindError::NotAFile { what, .. }) if *what == expected),
                "{found:?}"
            );
        }
    }
}
