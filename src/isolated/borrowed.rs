//! Which directories of objects a repository borrowed from before a run could write its git directory.
//!
//! What a private git directory borrows is shown inside. With `git.mode = "direct"` whoever is inside can name any directory
//! of the user's in the list of those (`objects/info/alternates`), and the next private one would show that. So what the list
//! had at the first such run is kept, and one that came later is shown only where a rule of the user's shows it anyway.

use super::layout::{Layout, borrowed_by};
use crate::facts::Project;
use crate::policy::path_text;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Borrowed {
    /// The git directory, by its inode: another one at its place is another repository.
    device: u64,
    inode: u64,
    /// All that it leads to.
    #[serde(with = "path_text::list")]
    directories: Vec<PathBuf>,
}

/// Keeps what a project's repository borrows from, before the first run that writes its git directory.
///
/// # Errors
/// Of the file system.
pub fn remember(places: &Path, project: &Project) -> io::Result<()> {
    let Some(git) = &project.git else {
        return Ok(());
    };
    let (file, metadata) = (file(places, &git.common_dir), fs::metadata(&git.common_dir)?);
    if read(&file).is_some_and(|known| known.is_of(&metadata)) {
        return Ok(());
    }
    let borrowed = Borrowed {
        device: metadata.dev(),
        inode: metadata.ino(),
        directories: borrowed_by(&git.common_dir),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(places)?;
    let beside = file.with_extension(format!("new-{}", std::process::id()));
    fs::write(&beside, serde_json::to_vec(&borrowed)?)?;
    // Of two that begin at once the first counts; that of another repository, which is gone, doesn't.
    let done = match renameat_with(CWD, &beside, CWD, &file, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) if read(&file).is_some_and(|known| known.is_of(&metadata)) => {
            return fs::remove_file(&beside);
        }
        Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => fs::rename(&beside, &file),
        other => other.map_err(io::Error::from),
    };
    if done.is_err() {
        fs::remove_file(&beside).ok();
    }
    done
}

/// A directory that a private git directory would show and that is not known to be the user's wish; `shown` tells what is
/// seen inside anyway.
#[must_use]
pub fn unknown(places: &Path, layout: &Layout, shown: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let metadata = fs::metadata(layout.at()).ok()?;
    // Nothing ran yet that could have named one.
    let known = read(&file(places, layout.at())).filter(|known| known.is_of(&metadata))?;
    let stores = layout.stores().into_iter().map(|(host, _)| host);
    stores
        .filter(|store| !store.starts_with(layout.at()) && !shown(store))
        .find(|store| !known.directories.contains(store))
}

impl Borrowed {
    fn is_of(&self, metadata: &fs::Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }
}

fn read(file: &Path) -> Option<Borrowed> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// One for each git directory, named by the first 16 digits of its path's SHA-256.
fn file(places: &Path, git: &Path) -> PathBuf {
    let digest = Sha256::digest(git.as_os_str().as_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    places.join(format!("{name}.json"))
}
