//! Puts masks and protections on paths of a sandbox that runs already.
//!
//! Both are bound on an inode; when the host replaces the file by rename, or makes a new one, the new inode has none.
//! This short-lived process joins the sandbox's user and mount namespaces from outside (it is no process of the
//! sandbox's pid namespace, so nothing inside can name it), binds what belongs there over the paths, and ends.

use super::During;
use super::mounts::{attach_on, clone_tree, open_below, read_only, rooted, writable};
use crate::launch::protocol::StageError;
use crate::sys::mount::{Reach, set_attributes};
use crate::sys::process::{spawn_self, take_control};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The word by which `main` knows that it shall put a mask.
pub(crate) const REMASK_WORD: &str = "aca-remask";

/// Faces of masks, as the new root holds them.
const FACE_FILE: &str = "/.aca/mask";
const FACE_DIRECTORY: &str = "/.aca/mask.d";
/// Most paths for one process: all of them, each as long as a path can be, are half of what execve(2) takes.
const PATHS_MAX: usize = 256;
/// How long the process has; a file system that doesn't answer must not keep the run from ending.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// What a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// It can't be renamed away.
    Pin,
    /// Neither written nor replaced.
    ReadOnly,
    /// An empty place with parts of the host's directory in it stands there; can't be read once that is gone.
    Hollow,
    /// Can't be read.
    Mask,
}

impl Guard {
    const fn letter(self) -> u8 {
        match self {
            Self::Pin => b'p',
            Self::ReadOnly => b'r',
            Self::Hollow => b'h',
            Self::Mask => b'm',
        }
    }

    const fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'p' => Some(Self::Pin),
            b'r' => Some(Self::ReadOnly),
            b'h' => Some(Self::Hollow),
            b'm' => Some(Self::Mask),
            _ => None,
        }
    }
}

/// Guards `paths`, absolute ones, in the sandbox whose mount namespace is `mounts`; waits until that is done. A path that
/// is guarded already stays as it is, and one that is gone, or a symbolic link, needs nothing. Any thread may call it.
///
/// # Errors
/// When the process could not be started, or a path could not be guarded though it is there.
pub fn guard(mounts: BorrowedFd<'_>, paths: &[(Guard, PathBuf)]) -> Result<(), StageError> {
    for some in paths.chunks(PATHS_MAX) {
        let words = std::iter::once(REMASK_WORD.as_bytes().to_vec()).chain(
            some.iter()
                .map(|(guard, path)| [&[guard.letter()], path.as_os_str().as_bytes()].concat()),
        );
        let arguments: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
        let spawned = spawn_self(mounts, &arguments).map_err(|errno| failed("clone3", errno))?;
        finish(&spawned.pidfd)?;
    }
    Ok(())
}

fn failed(call: &str, errno: Errno) -> StageError {
    StageError {
        action: "guard what appeared".into(),
        call: call.into(),
        errno: errno.raw_os_error(),
    }
}

fn finish(process: &OwnedFd) -> Result<(), StageError> {
    loop {
        let mut waiting = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut waiting, Some(&PATIENCE)) {
            Ok(0) => {
                // It may hang in the kernel for good: then it is left to the reaper of orphans.
                pidfd_send_signal(process, Signal::KILL).ok();
                waitid(
                    WaitId::PidFd(process.as_fd()),
                    WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
                )
                .ok();
                return Err(failed("poll", Errno::TIMEDOUT));
            }
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("poll", errno)),
        }
    }
    loop {
        match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) if status.exit_status() == Some(0) => return Ok(()),
            Ok(_) => return Err(failed("the guarding process", Errno::PERM)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("waitid", errno)),
        }
    }
}

/// The process that [`guard`] starts.
pub(crate) fn remask_main(arguments: &[OsString]) -> ExitCode {
    let mounts = take_control();
    if crate::sys::process::join_mounts(mounts.as_fd()).is_err() {
        return ExitCode::from(1);
    }
    let mut code = ExitCode::SUCCESS;
    for word in arguments.iter().skip(1) {
        let Some((letter, path)) = word.as_bytes().split_first() else {
            continue;
        };
        let path = Path::new(OsStr::from_bytes(path));
        match Guard::from_letter(*letter).map(|guard| put(guard, path)) {
            Some(Ok(())) => {}
            // Gone again, or a link now: nothing is there to be mounted on.
            Some(Err(error))
                if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
                    .iter()
                    .any(|errno| error.errno == errno.raw_os_error()) => {}
            Some(Err(_)) | None => code = ExitCode::from(1),
        }
    }
    code
}

fn put(guard: Guard, path: &Path) -> Result<(), StageError> {
    let target = open_below(rooted()?, path, OFlags::PATH)?;
    match guard {
        Guard::Hollow if is_hollow(&target)? => Ok(()),
        Guard::Hollow | Guard::Mask => mask(&target),
        Guard::ReadOnly => {
            let flags = rustix::fs::fstatvfs(&target).during("fstatvfs")?.f_flag;
            if flags.contains(StatVfsMountFlags::RDONLY) {
                return Ok(());
            }
            let tree = clone_tree(&target)?;
            set_attributes(&tree, read_only(), Reach::Tree).during("mount_setattr")?;
            attach_on(&tree, &target)
        }
        Guard::Pin => {
            let status =
                rustix::fs::statx(&target, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE).during("statx")?;
            if status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                return Ok(());
            }
            let tree = clone_tree(&target)?;
            set_attributes(&tree, writable(), Reach::One).during("mount_setattr")?;
            attach_on(&tree, &target)
        }
    }
}

/// Whether a closed place of the run's own is mounted there: a tmpfs that is read-only.
fn is_hollow(target: &OwnedFd) -> Result<bool, StageError> {
    let status = rustix::fs::statx(target, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE).during("statx")?;
    let system = rustix::fs::fstatfs(target).during("fstatfs")?.f_type;
    let flags = rustix::fs::fstatvfs(target).during("fstatvfs")?.f_flag;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        && system == libc::TMPFS_MAGIC
        && flags.contains(StatVfsMountFlags::RDONLY))
}

fn mask(target: &OwnedFd) -> Result<(), StageError> {
    let status = rustix::fs::fstat(target).during("fstat")?;
    let directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    let face = if directory { FACE_DIRECTORY } else { FACE_FILE };
    let face = open_below(rooted()?, Path::new(face), OFlags::PATH)?;
    let wanted = rustix::fs::fstat(&face).during("fstat")?;
    if (wanted.st_dev, wanted.st_ino) == (status.st_dev, status.st_ino) {
        // Masked already.
        return Ok(());
    }
    let tree = clone_tree(&face)?;
    set_attributes(&tree, read_only(), Reach::One).during("mount_setattr")?;
    attach_on(&tree, target)
}
