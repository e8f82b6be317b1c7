//! What of a git directory the host obeys: read by a list, never walked, since objects and references are many and
//! harmless.

use super::beneath::{open_directory, read_file, status};
use super::found::{FoundKind, RepositoryKind};
use super::git_config::{CONFIG_BYTES_MAX, Setting, settings};
use super::notes::{found_kind, push_reported};
use super::paths::real;
use super::walk::{DEPTH_MAX, WalkError, call};
use super::walker::{Name, Walker};
use crate::policy::Component;
use crate::presets::{RunsWhen, TreeRule};
use rustix::fs::{AtFlags, CWD, FileType, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a linked work tree's own git directory has that git obeys.
const WORKTREE_FILES: [&CStr; 3] = [c"commondir", c"gitdir", c"config.worktree"];
/// Settings whose value is a path that git runs or reads settings from.
const PATHS: [(&[u8], &[u8]); 3] = [
    (b"core", b"hookspath"),
    (b"include", b"path"),
    (b"includeif", b"path"),
];

impl Walker<'_> {
    /// A name `.git`, whatever it is.
    pub(super) fn dot_git(&mut self, name: &Name<'_>) -> Result<(), WalkError> {
        let path = self.path_of(name.name.to_bytes());
        match name.kind {
            FoundKind::Directory => {
                let directory = match open_directory(name.parent, name.name) {
                    Ok(directory) => directory,
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                    // Git reads the files in it all the same, if it may only be passed through.
                    Err(Errno::ACCESS) => {
                        self.add_repository(RepositoryKind::Directory, path, Vec::new());
                        return Ok(());
                    }
                    Err(errno) => return Err(call("openat", &path, errno)),
                };
                let length = self.path.len();
                self.push(name.name.to_bytes());
                let read = self.git_directory(&directory, RepositoryKind::Directory);
                self.path.truncate(length);
                read
            }
            FoundKind::Symlink => {
                self.protect(name, "it leads git to a repository", Some(RunsWhen::RunGit))?;
                let target = name
                    .target
                    .clone()
                    .and_then(|target| Some((self.open_target(&target)?, target)));
                let Some((directory, target)) = target else {
                    self.add_repository(RepositoryKind::Pointer, path, Vec::new());
                    return Ok(());
                };
                let here = std::mem::replace(&mut self.path, target.path.as_os_str().as_bytes().to_vec());
                let read = self.git_directory(&directory, RepositoryKind::Directory);
                self.path = here;
                read
            }
            FoundKind::File | FoundKind::Special => {
                self.protect(name, "it leads git to a repository", Some(RunsWhen::RunGit))?;
                self.add_repository(RepositoryKind::Pointer, path, Vec::new());
                Ok(())
            }
        }
    }

    /// A git directory; `self.path` is its path.
    pub(super) fn git_directory(
        &mut self,
        directory: &OwnedFd,
        kind: RepositoryKind,
    ) -> Result<(), WalkError> {
        if self.path.iter().filter(|byte| **byte == b'/').count() > DEPTH_MAX {
            return Ok(());
        }
        self.note_git_directory(directory);
        let mut absent = Vec::new();
        let rows: Vec<TreeRule> = self.matcher.rules.git.clone();
        for row in &rows {
            for pattern in &row.paths {
                let names: Option<Vec<CString>> = pattern
                    .components()
                    .iter()
                    .map(|component| match component {
                        Component::Name(name) => CString::new(name.bytes()).ok(),
                        Component::AnyDepth => None,
                    })
                    .collect();
                let found = self.git_file(directory, names.as_deref().unwrap_or_default(), row)?;
                if !found {
                    absent.push(pattern.to_string());
                }
            }
        }
        let here = self.here();
        self.note_skipped(here.join("objects"), "git's object store", false);
        if kind != RepositoryKind::Module {
            self.configured_in(directory, &here)?;
        }
        self.add_repository(kind, here, absent);
        self.modules(directory)?;
        self.worktrees(directory)
    }

    /// One path of the list; tells whether it is there.
    fn git_file(
        &mut self,
        directory: &OwnedFd,
        names: &[CString],
        row: &TreeRule,
    ) -> Result<bool, WalkError> {
        let Some((name, rest)) = names.split_first() else {
            return Ok(false);
        };
        let Ok(status) = status(directory, name.as_c_str()) else {
            return Ok(false);
        };
        let kind = found_kind(&status);
        let target = if kind == FoundKind::Symlink {
            self.target(name.to_bytes())
        } else {
            None
        };
        let found = Name {
            parent: directory,
            name,
            status,
            kind,
            target,
        };
        if rest.is_empty() || kind == FoundKind::Symlink {
            self.protect(&found, &row.why, Some(RunsWhen::RunGit))?;
            if kind == FoundKind::Directory {
                self.directory_files(directory, name, &row.why)?;
            }
            return Ok(true);
        }
        let Ok(inner) = open_directory(directory, name.as_c_str()) else {
            return Ok(false);
        };
        let length = self.path.len();
        self.push(name.to_bytes());
        self.note_git_directory(&inner);
        let inside = self.git_file(&inner, rest, row);
        self.path.truncate(length);
        inside
    }

    /// The files of a protected directory, for the report. Git ignores samples.
    fn directory_files(&mut self, parent: &OwnedFd, name: &CStr, why: &str) -> Result<(), WalkError> {
        let Ok(directory) = open_directory(parent, name) else {
            return Ok(());
        };
        let length = self.path.len();
        self.push(name.to_bytes());
        self.note_git_directory(&directory);
        for (name, _) in self.names(&directory)? {
            if name.to_bytes().ends_with(b".sample") {
                continue;
            }
            let Ok(status) = status(&directory, name.as_c_str()) else {
                continue;
            };
            let kind = found_kind(&status);
            let found = Name {
                parent: &directory,
                name: &name,
                status,
                kind,
                target: None,
            };
            let found = self.found(&found, why, Some(RunsWhen::RunGit));
            push_reported(&mut self.walk.watched, found, &mut self.walk.truncated);
        }
        self.path.truncate(length);
        Ok(())
    }

    /// Git directories of submodules; their names may have slashes.
    fn modules(&mut self, directory: &OwnedFd) -> Result<(), WalkError> {
        self.inner_directories(directory, c"modules", &mut |walker, inner| {
            if rustix::fs::statat(inner, c"HEAD", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                walker
                    .git_directory(inner, RepositoryKind::Module)
                    .map(|()| false)
            } else {
                Ok(true)
            }
        })
    }

    /// Git directories of linked work trees.
    fn worktrees(&mut self, directory: &OwnedFd) -> Result<(), WalkError> {
        self.inner_directories(directory, c"worktrees", &mut |walker, inner| {
            walker.note_git_directory(inner);
            for name in WORKTREE_FILES {
                let Ok(status) = status(inner, name) else { continue };
                let kind = found_kind(&status);
                let target = if kind == FoundKind::Symlink {
                    walker.target(name.to_bytes())
                } else {
                    None
                };
                let found = Name {
                    parent: inner,
                    name,
                    status,
                    kind,
                    target,
                };
                walker.protect(
                    &found,
                    "it leads git to another directory",
                    Some(RunsWhen::RunGit),
                )?;
            }
            let here = walker.here();
            walker.add_repository(RepositoryKind::Worktree, here, Vec::new());
            Ok(false)
        })
    }

    /// Visits the directories in `name`, and those in them for as long as the visitor says so.
    fn inner_directories(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        visit: &mut dyn FnMut(&mut Self, &OwnedFd) -> Result<bool, WalkError>,
    ) -> Result<(), WalkError> {
        let Ok(directory) = open_directory(parent, name) else {
            return Ok(());
        };
        let length = self.path.len();
        self.push(name.to_bytes());
        self.note_git_directory(&directory);
        for (inner_name, kind) in self.names(&directory)? {
            if kind == FileType::RegularFile || self.path.len() > length + 4096 {
                continue;
            }
            let Ok(inner) = open_directory(&directory, inner_name.as_c_str()) else {
                continue;
            };
            let inner_length = self.path.len();
            self.push(inner_name.to_bytes());
            if visit(self, &inner)? {
                self.path.truncate(inner_length);
                self.inner_directories(&directory, &inner_name, visit)?;
            }
            self.path.truncate(inner_length);
        }
        self.path.truncate(length);
        Ok(())
    }

    fn names(&self, directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, WalkError> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(directory, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => names.push((entry.file_name().to_owned(), entry.file_type())),
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(call("getdents64", &self.here(), errno)),
            }
        }
        Ok(names)
    }

    /// What the configuration of a repository outside of the root names beneath the root.
    pub(super) fn configured(&mut self, config: &Path) -> Result<(), WalkError> {
        let Ok(text) = read_file(CWD, config, CONFIG_BYTES_MAX) else {
            return Ok(());
        };
        let directory = config.parent().unwrap_or(Path::new("/")).to_owned();
        self.named_paths(&settings(&text), &self.walk.root.clone(), &directory)
    }

    fn configured_in(&mut self, directory: &OwnedFd, here: &Path) -> Result<(), WalkError> {
        for name in [c"config", c"config.worktree"] {
            let Ok(text) = read_file(directory, name, CONFIG_BYTES_MAX) else {
                continue;
            };
            let own = self.walk.root.join(here);
            // Hooks are named relative to the work tree, for a bare repository to itself (core.hooksPath in git-config(1)).
            let is_dot_git = own.file_name() == Some(OsStr::new(".git"));
            let base = if is_dot_git {
                own.parent().unwrap_or(&own).to_owned()
            } else {
                own.clone()
            };
            self.named_paths(&settings(&text), &base, &own)?;
        }
        Ok(())
    }

    fn named_paths(
        &mut self,
        settings: &[Setting],
        hooks_base: &Path,
        include_base: &Path,
    ) -> Result<(), WalkError> {
        for setting in settings {
            let pair = (setting.section.as_slice(), setting.key.as_slice());
            if !PATHS.contains(&pair) || setting.value.is_empty() {
                continue;
            }
            let base = if pair.1 == b"hookspath" {
                hooks_base
            } else {
                include_base
            };
            // One that isn't there can't be protected, and one outside of the root isn't writable.
            let Ok(path) = real(&base.join(OsStr::from_bytes(&setting.value))) else {
                continue;
            };
            let Ok(relative) = path.strip_prefix(&self.walk.root) else {
                continue;
            };
            self.named_path(relative)?;
        }
        Ok(())
    }

    fn named_path(&mut self, relative: &Path) -> Result<(), WalkError> {
        let why = "git's configuration names it";
        let (Some(name), Some(parent)) = (relative.file_name(), relative.parent()) else {
            return Ok(());
        };
        let Ok(name) = CString::new(name.as_bytes()) else {
            return Ok(());
        };
        let Ok(parent_directory) = super::beneath::open_root(&self.walk.root.join(parent)) else {
            return Ok(());
        };
        let Ok(status) = status(&parent_directory, name.as_c_str()) else {
            return Ok(());
        };
        let here = std::mem::replace(&mut self.path, parent.as_os_str().as_bytes().to_vec());
        let kind = found_kind(&status);
        let found = Name {
            parent: &parent_directory,
            name: &name,
            status,
            kind,
            target: None,
        };
        let mut protected = self.protect(&found, why, Some(RunsWhen::RunGit));
        if protected.is_ok() && kind == FoundKind::Directory {
            protected = self.directory_files(&parent_directory, &name, why);
        }
        self.path = here;
        protected
    }
}
