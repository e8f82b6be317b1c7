//! Where the objects of the project's repositories are, by descriptors of before the run: what is put there later leads
//! nowhere else.

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Most directories of one push.
const STORES_MAX: usize = 24;
/// How deep submodules lie in each other's directories, and how many are looked at.
const DEPTH_MAX: usize = 8;
const MODULES_MAX: usize = 200;

/// Directories of repositories that a push may come from. A new one is a clone of the same descriptors.
#[derive(Debug, Clone, Default)]
pub struct ObjectStores {
    /// Git directories: the project's, with its submodules' in it.
    repositories: Vec<Arc<OwnedFd>>,
    /// Directories of objects that they borrowed from before the run.
    borrowed: Vec<Arc<OwnedFd>>,
}

impl ObjectStores {
    /// Opens git directories and directories of objects; what isn't there is left out.
    #[must_use]
    pub fn open<'a>(
        repositories: impl IntoIterator<Item = &'a Path>,
        borrowed: impl IntoIterator<Item = &'a Path>,
    ) -> Self {
        let open = |path: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).ok().map(Arc::new)
        };
        Self {
            repositories: repositories.into_iter().filter_map(open).collect(),
            borrowed: borrowed.into_iter().filter_map(open).collect(),
        }
    }

    /// The directories of objects as they are now, for reading alone.
    pub(super) fn objects(&self) -> Vec<OwnedFd> {
        let mut all = Vec::new();
        for repository in &self.repositories {
            all.extend(beneath(repository, "objects"));
        }
        all.extend(self.borrowed.iter().filter_map(|store| store.try_clone().ok()));
        for repository in &self.repositories {
            if let Ok(modules) = beneath(repository, "modules") {
                let mut looked = 0;
                submodules(&modules, DEPTH_MAX, &mut looked, &mut all);
            }
        }
        all.truncate(STORES_MAX);
        all
    }
}

/// A directory that lies there itself: no link leads to it.
fn beneath(directory: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(directory, name, flags, Mode::empty(), resolve)?)
}

/// Git directories of submodules: their names have slashes as paths have.
fn submodules(within: &OwnedFd, depth: usize, looked: &mut usize, all: &mut Vec<OwnedFd>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(listed) = rustix::fs::openat(within, ".", flags, Mode::empty()).and_then(Dir::new) else {
        return;
    };
    for entry in listed.flatten() {
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        let may_be = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if name == "." || name == ".." || !may_be {
            continue;
        }
        *looked += 1;
        if *looked > MODULES_MAX || all.len() >= STORES_MAX {
            return;
        }
        let Ok(inner) = beneath(within, name) else {
            continue;
        };
        match beneath(&inner, "objects") {
            Ok(objects) => {
                all.push(objects);
                if let Ok(modules) = beneath(&inner, "modules") {
                    submodules(&modules, depth, looked, all);
                }
            }
            Err(_) => submodules(&inner, depth, looked, all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_the_place_of_objects_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in [
            "p/.git/objects",
            "p/.git/modules/a/b/objects",
            "secret/objects",
            "lent",
        ] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        let (git, lent) = (at("p/.git"), at("lent"));
        let stores = ObjectStores::open([git.as_path(), &at("none")], [lent.as_path()]);
        assert_eq!(stores.objects().len(), 3);
        std::fs::rename(at("p/.git/objects"), at("p/.git/other")).unwrap();
        std::os::unix::fs::symlink(at("secret/objects"), at("p/.git/objects")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("p/.git/modules/c")).unwrap();
        assert_eq!(stores.objects().len(), 2);
    }
}
