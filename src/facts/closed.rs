//! What of the system's configuration is closed to all but root. An ordinary user can't read it anyway; where root runs
//! aca it has to be hidden, and no list knows every name of a key.

use super::{Kind, SystemClosed};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most names that are looked at, and deepest directory: `/etc` has a few thousand, a few levels deep.
const NAMES_MAX: usize = 200_000;
const DEPTH_MAX: usize = 32;

/// Finds the files and directories beneath `roots` that others may not read; what can't be looked into is among them.
pub(super) fn closed_to_others(roots: &[PathBuf]) -> Vec<SystemClosed> {
    let mut search = Search::default();
    for root in roots {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(CWD, root, flags, Mode::empty()) {
            Ok(directory) => search.directory(&directory, root, 0),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => search.hide(root, Kind::Directory),
        }
    }
    search.found
}

#[derive(Default)]
struct Search {
    found: Vec<SystemClosed>,
    names: usize,
}

impl Search {
    fn hide(&mut self, path: &Path, kind: Kind) {
        self.found.push(SystemClosed {
            path: path.to_owned(),
            kind,
        });
    }

    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) {
        let Ok(entries) = Dir::read_from(directory) else {
            return self.hide(path, Kind::Directory);
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.names += 1;
            if depth >= DEPTH_MAX || self.names > NAMES_MAX {
                // Not looked at is not shown.
                return self.hide(path, Kind::Directory);
            }
            let Ok(status) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            match FileType::from_raw_mode(status.st_mode) {
                // Others need the execute bit alone to reach what they know the name of.
                FileType::Directory if status.st_mode & 0o005 == 0 => self.hide(&path, Kind::Directory),
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    match openat(directory, name, flags, Mode::empty()) {
                        Ok(inner) => self.directory(&inner, &path, depth + 1),
                        Err(_) => self.hide(&path, Kind::Directory),
                    }
                }
                FileType::RegularFile if status.st_mode & 0o004 == 0 => self.hide(&path, Kind::File),
                FileType::RegularFile
                | FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn finds_what_others_may_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        make("open", 0o644);
        make("key", 0o600);
        make("group", 0o640);
        make("d/inner", 0o600);
        make("closed/open", 0o644);
        fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("key", folder.path().join("link")).unwrap();
        let mut found: Vec<(String, Kind)> = closed_to_others(&[folder.path().to_owned()])
            .into_iter()
            .map(|closed| {
                let path = closed
                    .path
                    .strip_prefix(folder.path())
                    .unwrap()
                    .display()
                    .to_string();
                (path, closed.kind)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            found,
            [
                ("closed".into(), Kind::Directory),
                ("d/inner".into(), Kind::File),
                ("group".into(), Kind::File),
                ("key".into(), Kind::File),
            ]
        );
    }
}
