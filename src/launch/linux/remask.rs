//! Puts a mask on a path of a sandbox that runs already.
//!
//! A mask is bound on an inode; when the host replaces the file by rename, or makes a new one, the new inode has none.
//! This short-lived process joins the sandbox's user and mount namespaces from outside (it is no process of the
//! sandbox's pid namespace, so nothing inside can name it), binds the mask's face over the paths, and ends.

use super::During;
use super::mounts::{attach_on, clone_tree, open_below, rooted};
use crate::launch::protocol::StageError;
use crate::sys::process::{spawn_self, take_control};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The word by which `main` knows that it shall put a mask.
pub(crate) const REMASK_WORD: &str = "aca-remask";

/// Faces of masks, as the new root holds them.
const FACE_FILE: &str = "/.aca/mask";
const FACE_DIRECTORY: &str = "/.aca/mask.d";
/// Most paths for one process.
pub(crate) const PATHS_MAX: usize = 64;

/// Masks `paths` in the sandbox whose first process is `pidfd`; waits until they are masked.
///
/// # Errors
/// When the process could not be started, or a path could not be masked though it is there.
pub fn mask(pidfd: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<(), StageError> {
    let failed = |call: &str, errno: Errno| StageError {
        action: "mask what appeared".into(),
        call: call.into(),
        errno: errno.raw_os_error(),
    };
    for some in paths.chunks(PATHS_MAX) {
        let words = std::iter::once(REMASK_WORD.as_bytes())
            .chain(some.iter().map(|path| path.as_os_str().as_bytes()));
        let arguments: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
        let spawned = spawn_self(pidfd, &arguments).map_err(|errno| failed("clone3", errno))?;
        loop {
            match waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) if status.exit_status() == Some(0) => break,
                Ok(_) => return Err(failed("the masking process", Errno::PERM)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("waitid", errno)),
            }
        }
    }
    Ok(())
}

/// The process that [`mask`] starts.
pub(crate) fn remask_main(arguments: &[OsString]) -> ExitCode {
    let sandbox = take_control();
    if crate::sys::process::join_user_and_mounts(sandbox.as_fd()).is_err() {
        return ExitCode::from(1);
    }
    let mut code = ExitCode::SUCCESS;
    for path in arguments.iter().skip(1) {
        match cover(Path::new(path)) {
            Ok(()) => {}
            // Gone again: nothing to mask.
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => {}
            Err(_) => code = ExitCode::from(1),
        }
    }
    code
}

fn cover(path: &Path) -> Result<(), StageError> {
    let target = open_below(rooted()?, path, OFlags::PATH)?;
    let status = rustix::fs::fstat(&target).during("fstat")?;
    let face = match rustix::fs::FileType::from_raw_mode(status.st_mode) {
        rustix::fs::FileType::Directory => FACE_DIRECTORY,
        _ => FACE_FILE,
    };
    let face = open_below(rooted()?, Path::new(face), OFlags::PATH)?;
    let wanted = rustix::fs::fstat(&face).during("fstat")?;
    if (wanted.st_dev, wanted.st_ino) == (status.st_dev, status.st_ino) {
        // Masked already.
        return Ok(());
    }
    attach_on(&clone_tree(&face)?, &target)
}
