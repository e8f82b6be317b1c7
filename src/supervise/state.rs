//! Carries an agent's state files back from the private home once everything inside is dead.
//!
//! The supervisor holds the home as a directory: nobody can write there any more, so what is read is what the agent
//! left. It is read without following a link, as a regular file, up to a bound; it is written beside the host's file
//! and renamed over it.

use super::event::{Emit, Event};
use crate::agents::{MergeError, MergeFormat, merge_append, merge_json, merge_whole, parse_json};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a file that changed meanwhile is merged again.
const REPLACE_TRIES: usize = 5;
/// Largest state file in bytes.
const SIZE_MAX: u64 = 64 << 20;

/// One file of the agent's state.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// On the host.
    pub host: PathBuf,
    /// Below the home, inside.
    pub below_home: PathBuf,
    /// As it was copied in.
    pub start: Option<Vec<u8>>,
    /// How it goes back.
    pub format: MergeFormat,
    /// Keys whose host value always wins.
    pub host_keeps: Vec<String>,
}

/// Why a state file did not go back.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is no regular file any more, or a link leads to it.
    #[error("it is no regular file inside")]
    NotRegular,
    /// Over the bound.
    #[error("it is larger than {SIZE_MAX} bytes")]
    TooLarge,
    /// It can't be understood.
    #[error("its content is no JSON")]
    Malformed(#[from] serde_json::Error),
    /// It can't be merged.
    #[error("{0}")]
    Merge(#[from] MergeError),
    /// Somebody else writes it all the time.
    #[error("it changes on the host all the time")]
    Busy,
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

/// Carries every file back; tells which could not be. Runs that end together do it one after the other: `lock` is a file
/// of aca's own, made when missing, that no sandbox sees.
pub fn carry_back(
    home: &OwnedFd,
    files: &[StateFile],
    lock: &Path,
    events: &Arc<dyn Emit>,
) -> Vec<(PathBuf, StateError)> {
    let mut lost = Vec::new();
    if files.is_empty() {
        return lost;
    }
    // Where there is no lock to be had (a network file system without), the check before the rename is what is left.
    let _held = locked(lock).ok();
    for file in files {
        match carry(home, file) {
            Ok(()) => {}
            Err(error) => {
                events.emit(Event::StateNotKept {
                    path: file.below_home.clone(),
                    reason: error.to_string(),
                });
                lost.push((file.below_home.clone(), error));
            }
        }
    }
    lost
}

fn carry(home: &OwnedFd, file: &StateFile) -> Result<(), StateError> {
    let Some(end) = read_below(home, &file.below_home)? else {
        return Ok(());
    };
    if file.start.as_deref() == Some(end.as_slice()) {
        return Ok(());
    }
    // The user's own client may write it at the same time.
    for _ in 0..REPLACE_TRIES {
        let host = read_host(&file.host)?;
        let merged = match merged(file, host.as_deref(), &end)? {
            Some(merged) if host.as_deref() != Some(merged.as_slice()) => merged,
            Some(_) | None => return Ok(()),
        };
        if replace(&file.host, &merged, host.as_deref())? {
            return Ok(());
        }
    }
    Err(StateError::Busy)
}

fn read_host(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Call { call: "read", source }),
    }
}

/// Holds the lock for as long as the value lives.
fn locked(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
    Ok(file)
}

/// What the host's file shall hold; `None` leaves it as it is.
fn merged(file: &StateFile, host: Option<&[u8]>, end: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
    match file.format {
        MergeFormat::Json => {
            let parse = |bytes: Option<&[u8]>| parse_json(bytes.unwrap_or_default());
            let merged = merge_json(
                &parse(host)?,
                &parse(file.start.as_deref())?,
                &parse(Some(end))?,
                &file.host_keeps,
            )?;
            Ok(if merged.changed {
                Some(serde_json::to_vec_pretty(&merged.value)?)
            } else {
                None
            })
        }
        MergeFormat::Whole => Ok(merge_whole(host, file.start.as_deref(), Some(end))?),
        MergeFormat::Append => {
            let added = merge_append(file.start.as_deref().unwrap_or_default(), end)?;
            Ok((!added.is_empty()).then(|| [host.unwrap_or_default(), added].concat()))
        }
    }
}

/// The file as the agent left it; `None` when there is none.
fn read_below(home: &OwnedFd, path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let descriptor = match openat2(home.as_fd(), path, flags, Mode::empty(), resolve) {
        Ok(descriptor) => descriptor,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(StateError::NotRegular),
        Err(errno) => {
            return Err(StateError::Call {
                call: "openat2",
                source: errno.into(),
            });
        }
    };
    let status = fstat(&descriptor).map_err(|errno| StateError::Call {
        call: "fstat",
        source: errno.into(),
    })?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(StateError::NotRegular);
    }
    let mut content = Vec::new();
    let mut reader = std::fs::File::from(descriptor).take(SIZE_MAX + 1);
    reader
        .read_to_end(&mut content)
        .map_err(|source| StateError::Call { call: "read", source })?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > SIZE_MAX {
        return Err(StateError::TooLarge);
    }
    Ok(Some(content))
}

/// Writes beside the file and renames over it, owner-only; a link of the user's own at that place is followed, so that
/// state kept elsewhere stays there.
/// `false` when it doesn't hold `expected` any more: nothing is done then.
fn replace(path: &Path, content: &[u8], expected: Option<&[u8]>) -> Result<bool, StateError> {
    let path = match std::fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("/")).join(target),
        Err(_) => path.to_owned(),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".aca-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write_new(&beside, content).and_then(|()| {
        let now = match std::fs::read(&path) {
            Ok(now) => Some(now),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let same = now.as_deref() == expected;
        if same {
            std::fs::rename(&beside, &path)?;
        }
        Ok(same)
    });
    if !matches!(written, Ok(true)) {
        rustix::fs::unlinkat(rustix::fs::CWD, &beside, AtFlags::empty()).ok();
    }
    written.map_err(|source| StateError::Call {
        call: "write",
        source,
    })
}

fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
