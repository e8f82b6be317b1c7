//! What a walk writes down.

use super::beneath::changed_ns;
use super::found::{DIRECTORIES_KEPT, Found, FoundKind, Listed, Repository, RepositoryKind, Skipped, Target};
use super::paths::{Identity, Kind, real};
use super::walk::MASKS_MAX;
use super::walker::{Name, Walker};
use crate::presets::RunsWhen;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use std::ffi::{CStr, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most entries of a list that is only reported.
const REPORTED_MAX: usize = 20_000;

impl Walker<'_> {
    pub(super) fn note_directory(&mut self, directory: &OwnedFd) {
        self.walk.directory_count += 1;
        let status = rustix::fs::fstat(directory).ok();
        if self.walk.directories.len() < DIRECTORIES_KEPT {
            let path = self.here();
            // One that can't be looked at counts as one that changed.
            let changed_ns = status.as_ref().map_or(i64::MAX, changed_ns);
            self.walk.directories.push(Listed { path, changed_ns });
        }
        let device = status.map(|status| status.st_dev);
        if self.device.is_some() && device != self.device && self.walk.mounts.len() < REPORTED_MAX {
            let beneath = |mount: &PathBuf| self.here().starts_with(mount);
            if !self.walk.mounts.iter().any(beneath) {
                self.walk.mounts.push(self.here());
            }
        }
        self.device = self.device.or(device);
    }

    /// Notes a part of a git directory before its names are looked at.
    pub(super) fn note_git_directory(&mut self, directory: &OwnedFd) {
        if self.walk.git_directories.len() < DIRECTORIES_KEPT {
            let path = self.here();
            let changed_ns = rustix::fs::fstat(directory).map_or(i64::MAX, |status| changed_ns(&status));
            self.walk.git_directories.push(Listed { path, changed_ns });
        } else {
            self.walk.truncated = true;
        }
    }

    pub(super) fn note_skipped(&mut self, path: PathBuf, why: &str, unread: bool) {
        if self.walk.skipped.len() < REPORTED_MAX {
            self.walk.skipped.push(Skipped {
                path,
                why: why.into(),
                unread,
            });
        } else {
            self.walk.truncated = true;
        }
    }

    pub(super) fn note_mode(&mut self, name: &Name<'_>) {
        // S_ISUID and S_ISGID (inode(7)).
        if name.status.st_mode & 0o6000 != 0 && name.kind == FoundKind::File {
            let found = self.found(name, "it runs with the rights of its owner or group", None);
            push_reported(&mut self.walk.privileged, found, &mut self.walk.truncated);
        }
    }

    /// Notes a link whose text leads above the root.
    pub(super) fn note_escape(&mut self, parent: &OwnedFd, name: &CStr) {
        let Ok(text) = rustix::fs::readlinkat(parent, name, Vec::new()) else {
            return;
        };
        let text = Path::new(OsStr::from_bytes(text.as_bytes()));
        let leads_out = if text.is_absolute() {
            !text.starts_with(&self.walk.root)
        } else {
            let mut level = i64::try_from(self.here().components().count()).unwrap_or(i64::MAX);
            text.components().any(|component| {
                match component {
                    std::path::Component::ParentDir => level -= 1,
                    std::path::Component::Normal(_) => level += 1,
                    std::path::Component::CurDir
                    | std::path::Component::RootDir
                    | std::path::Component::Prefix(_) => {}
                }
                level < 0
            })
        };
        if leads_out {
            if self.walk.escapes.len() < REPORTED_MAX {
                let path = self.path_of(name.to_bytes());
                self.walk.escapes.push(path);
            } else {
                self.walk.truncated = true;
            }
        }
    }

    /// What a link beneath the current directory leads to, if that lies beneath the root.
    pub(super) fn target(&self, name: &[u8]) -> Option<Target> {
        let path = real(&self.walk.root.join(self.path_of(name))).ok()?;
        let relative = path.strip_prefix(&self.walk.root).ok()?.to_owned();
        // O_PATH: nothing happens to what it is opened on, be it a pipe or a device (open(2)).
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
        let status = rustix::fs::fstat(file).ok()?;
        let kind = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            Kind::Directory
        } else {
            Kind::File
        };
        Some(Target {
            path: relative,
            kind,
            identity: identity(&status),
        })
    }

    pub(super) fn found(&self, name: &Name<'_>, why: &str, runs_when: Option<RunsWhen>) -> Found {
        Found {
            path: self.path_of(name.name.to_bytes()),
            kind: name.kind,
            identity: identity(&name.status),
            changed_ns: changed_ns(&name.status),
            target: name.target.clone(),
            why: why.to_owned(),
            runs_when,
        }
    }

    pub(super) fn push(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    pub(super) fn here(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.path))
    }

    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.here().join(OsStr::from_bytes(name))
    }

    pub(super) fn add_repository(&mut self, kind: RepositoryKind, path: PathBuf, absent: Vec<String>) {
        if self.walk.repositories.len() < MASKS_MAX {
            self.walk.repositories.push(Repository { path, kind, absent });
        } else {
            self.walk.truncated = true;
        }
    }
}

/// The three names that make git take a directory for a repository.
#[derive(Debug, Default)]
pub(super) struct BareMarks {
    head: bool,
    objects: bool,
    refs: bool,
}

impl BareMarks {
    pub(super) fn note(&mut self, name: &[u8], kind: FileType) {
        match name {
            b"HEAD" if kind != FileType::Directory => self.head = true,
            b"objects" if kind != FileType::RegularFile => self.objects = true,
            b"refs" if kind != FileType::RegularFile => self.refs = true,
            _ => {}
        }
    }

    pub(super) const fn all(&self) -> bool {
        self.head && self.objects && self.refs
    }
}

pub(super) fn push_reported(list: &mut Vec<Found>, found: Found, truncated: &mut bool) {
    if list.len() < REPORTED_MAX {
        list.push(found);
    } else {
        *truncated = true;
    }
}

pub(super) fn found_kind(status: &Stat) -> FoundKind {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => FoundKind::Directory,
        FileType::Symlink => FoundKind::Symlink,
        FileType::RegularFile => FoundKind::File,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => FoundKind::Special,
    }
}

pub(super) const fn identity(status: &Stat) -> Identity {
    Identity {
        device: status.st_dev,
        inode: status.st_ino,
    }
}
