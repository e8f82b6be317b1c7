//! `/dev`: the harmless devices, terminals of its own, and the user's terminal under its own name.

use super::During;
use super::mounts::{NewRoot, attach_on, clone_tree};
use crate::launch::protocol::StageError;
use crate::plan::linux::{DEVICE_LINKS, DEVICES};
use crate::sys::mount::{Reach, set_attributes};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Bytes for the directory itself.
const SIZE_BYTES: u64 = 1 << 20;
/// A terminal number over this is left without its own name: each costs an open file while the run lasts.
const TERMINALS_MAX: u32 = 512;

/// Builds `/dev`.
pub(super) fn build(root: &NewRoot, granted: &[PathBuf], shared_memory_bytes: u64) -> Result<(), StageError> {
    root.scratch(Path::new("/dev"), SIZE_BYTES, 0o755)?;
    for name in DEVICES {
        node(root, &Path::new("/dev").join(name))?;
    }
    for path in granted {
        node(root, path)?;
    }
    for (name, target) in DEVICE_LINKS {
        root.link(&Path::new("/dev").join(name), Path::new(target))?;
    }
    root.scratch(Path::new("/dev/shm"), shared_memory_bytes, 0o1777)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    root.filesystem(
        "devpts",
        &[("ptmxmode", "0666"), ("mode", "620")],
        attributes,
        Path::new("/dev/pts"),
    )?;
    let queues = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    match root.filesystem("mqueue", &[], queues, Path::new("/dev/mqueue")) {
        // A kernel without POSIX queues has none to separate.
        Err(error) if error.errno == Errno::NODEV.raw_os_error() => Ok(()),
        other => other,
    }
}

/// Shows one device node of the host.
fn node(root: &NewRoot, path: &Path) -> Result<(), StageError> {
    let tree = clone_tree(root.open_host(path)?)?;
    set_attributes(
        &tree,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        Reach::One,
    )
    .during("mount_setattr")?;
    root.file(path, b"", 0o666)?;
    attach_on(&tree, &root.open(path)?)
}

/// Shows the user's terminal under the name that it has outside, so that ttyname(3) and what asks for it agree.
///
/// The own devpts has no node of that number yet: it gets one by taking terminals from it until the number comes up.
/// The one taken must stay open, since its node goes with it; the first process keeps the descriptor.
pub(super) fn terminal(root: &NewRoot, path: &Path, device: u64) -> Result<Option<OwnedFd>, StageError> {
    let origin = root.open_host(path)?;
    if rustix::fs::fstat(&origin).during("fstat")?.st_rdev != device {
        return Err(Errno::STALE).during("fstat (the terminal changed)");
    }
    let tree = clone_tree(&origin)?;
    set_attributes(
        &tree,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        Reach::One,
    )
    .during("mount_setattr")?;
    let number = path
        .strip_prefix("/dev/pts")
        .ok()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse::<u32>().ok());
    let Some(number) = number else {
        root.file(path, b"", 0o620)?;
        attach_on(&tree, &root.open(path)?)?;
        return Ok(None);
    };
    if number > TERMINALS_MAX {
        return Ok(None);
    }
    let terminals = root.open(Path::new("/dev/pts"))?;
    let mut taken = Vec::new();
    for _ in 0..=number {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::openat(&terminals, "ptmx", flags, Mode::empty()).during("open ptmx")?;
        taken.push(master);
        if root.open(path_of(number).as_path()).is_ok() {
            break;
        }
    }
    attach_on(&tree, &root.open(&path_of(number))?)?;
    Ok(taken.pop())
}

fn path_of(number: u32) -> PathBuf {
    Path::new("/dev/pts").join(number.to_string())
}
