//! Puts a mask on a path of a sandbox that runs already.
//!
//! A mask is bound on an inode; when the host replaces the file by rename, or makes a new one, the new inode has none.
//! This short-lived process joins the sandbox's user and mount namespaces from outside (it is no process of the
//! sandbox's pid namespace, so nothing inside can name it), binds the mask's face over the path, and ends.

use super::mounts::{attach_on, clone_tree, open_below, rooted};
use crate::launch::protocol::StageError;
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Faces of masks, as the new root holds them.
const FACE_FILE: &str = "/.aca/mask";
const FACE_DIRECTORY: &str = "/.aca/mask.d";

/// Joins the sandbox of `pidfd` and masks `path`, if it still is what a mask goes on.
pub(crate) fn mask(pidfd: &OwnedFd, path: &Path) -> Result<(), StageError> {
    use super::During;
    use std::os::fd::AsFd;
    crate::sys::process::join_user_and_mounts(pidfd.as_fd()).during("setns")?;
    let target = open_below(rooted()?, path, OFlags::PATH)?;
    let status = rustix::fs::fstat(&target).during("fstat")?;
    let face = match rustix::fs::FileType::from_raw_mode(status.st_mode) {
        rustix::fs::FileType::Directory => FACE_DIRECTORY,
        _ => FACE_FILE,
    };
    let tree = clone_tree(open_below(rooted()?, Path::new(face), OFlags::PATH)?)?;
    attach_on(&tree, &target)
}
