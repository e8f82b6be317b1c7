//! The mount view, by descriptor only: a path is resolved once, from a root that we hold, without following a symbolic
//! link, and what it led to is what gets mounted (mount_setattr(2), open_tree(2), move_mount(2), openat2(2)).

use super::During;
use crate::launch::protocol::StageError;
use crate::plan::{Identity, Kind};
use crate::sys::mount::{Reach, set_attributes};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fchmod, fstat, mkdirat, openat, openat2,
    statat, statx, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Where generated files and the faces of masks lie until the view stands.
const STORE: &str = ".aca";
/// Where the host's tree is while the view is built from it.
const HOST: &str = ".aca/host";
/// Bytes for the root itself: directories, links and generated files.
const ROOT_SIZE_BYTES: u64 = 16 << 20;
/// Places to attach the new root at; any directory does, since the whole tree is let go afterwards.
const STAGING: [&str; 5] = ["/tmp", "/run", "/mnt", "/var", "/usr"];

/// What its owner needs to pass through a directory.
const SEARCHABLE: u32 = 0o700;

/// Whose files a bind shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The user's: nothing is made in them.
    Host,
    /// aca's own, such as the store of a cache: places for other mounts may be made in them.
    Run,
}

/// The new root while it is built.
pub(super) struct NewRoot {
    root: OwnedFd,
    host: OwnedFd,
    generated: u32,
    /// Directories that are known to stand, relative to the root.
    made: RefCell<BTreeSet<PathBuf>>,
    /// The mounts of the run's own: nothing is ever made on another one, which would be the host's.
    own: RefCell<Vec<u64>>,
    /// Those of them that earlier runs wrote.
    stores: RefCell<Vec<u64>>,
    mask_file: OwnedFd,
    mask_directory: OwnedFd,
}

impl NewRoot {
    /// Cuts the own mount namespace off from the host's, and makes an empty root with the host's tree beneath it.
    ///
    /// The new root is pivoted to at once: wherever it was attached first, it would hide that part of the host.
    pub(super) fn new() -> Result<Self, StageError> {
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .during("mount MS_PRIVATE")?;
        let root = tmpfs(
            ROOT_SIZE_BYTES,
            0o755,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
        )?;
        let mut attached = Err(Errno::NOENT);
        for place in STAGING {
            attached = move_mount(&root, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
            if attached.is_ok() {
                break;
            }
        }
        attached.during("move_mount")?;
        mkdirat(&root, STORE, Mode::from_raw_mode(0o755)).during("mkdirat")?;
        mkdirat(&root, HOST, Mode::from_raw_mode(0o755)).during("mkdirat")?;
        rustix::process::fchdir(&root).during("fchdir")?;
        rustix::process::pivot_root(".", HOST).during("pivot_root")?;
        rustix::process::chdir("/").during("chdir")?;
        let host = open_below(&root, Path::new(HOST), OFlags::PATH | OFlags::DIRECTORY)?;
        let store = open_below(&root, Path::new(STORE), OFlags::PATH)?;
        // A regular file without any permission bit: /dev/null would read as empty, and a program would go on with
        // that. Nobody can change its mode, since the root ends up read-only.
        let face = create(&store, "mask", 0o000)?;
        drop(face);
        mkdirat(&store, "mask.d", Mode::from_raw_mode(0o555)).during("mkdirat")?;
        let own = mount_id(&root)?;
        Ok(Self {
            own: RefCell::new(vec![own]),
            stores: RefCell::default(),
            mask_file: open_below(&store, Path::new("mask"), OFlags::PATH)?,
            mask_directory: open_below(&store, Path::new("mask.d"), OFlags::PATH)?,
            root,
            host,
            generated: 0,
            made: RefCell::default(),
        })
    }

    /// Opens what stands at `path` on the host.
    pub(super) fn open_host(&self, path: &Path) -> Result<OwnedFd, StageError> {
        open_below(&self.host, path, OFlags::PATH)
    }

    /// Opens what stands at `at` in the new root.
    pub(super) fn open(&self, at: &Path) -> Result<OwnedFd, StageError> {
        open_below(&self.root, at, OFlags::PATH)
    }

    /// Makes a directory and its parents; one that stands there is fine.
    pub(super) fn directory(&self, at: &Path, mode: u32) -> Result<(), StageError> {
        let at: PathBuf = names(at).collect();
        let missing: Vec<&Path> = at
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !self.made.borrow().contains(*path))
            .collect();
        let Some(known) = missing.last().and_then(|path| path.parent()) else {
            return Ok(());
        };
        let mut parent = open_below(&self.root, known, OFlags::PATH)?;
        for path in missing.into_iter().rev() {
            let name = path.file_name().ok_or(Errno::INVAL).during("file name")?;
            let bits = if path == at { mode } else { 0o755 };
            // Elsewhere it is there, or the mount will tell that it isn't.
            if self.is_own(&parent)? {
                self.clear(&parent, name, Kind::Directory)?;
                match mkdirat(&parent, name, Mode::from_raw_mode(bits)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    // A scratch space that is closed already.
                    Err(Errno::ROFS | Errno::ACCESS) => {}
                    Err(errno) => return Err(errno).during("mkdirat"),
                }
            }
            if path != at {
                parent = open_below(&parent, Path::new(name), OFlags::PATH)?;
            }
            self.made.borrow_mut().insert(path.to_owned());
        }
        Ok(())
    }

    /// Whether a directory lies on a file system of the run's own, not on the host's.
    fn is_own(&self, directory: &OwnedFd) -> Result<bool, StageError> {
        Ok(self.own.borrow().contains(&mount_id(directory)?))
    }

    /// Removes what stands in the way of a mount in a store, where an earlier run could leave anything under that name.
    fn clear(&self, parent: &OwnedFd, name: &OsStr, kind: Kind) -> Result<(), StageError> {
        if !self.stores.borrow().contains(&mount_id(parent)?) {
            return Ok(());
        }
        let Ok(status) = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(());
        };
        let found = FileType::from_raw_mode(status.st_mode);
        let how = match (kind, found == FileType::Directory) {
            (Kind::Directory, true) if status.st_mode & SEARCHABLE == SEARCHABLE => return Ok(()),
            (Kind::Directory, true) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = openat(parent, name, flags, Mode::empty()).during("openat")?;
                let mode = Mode::from_raw_mode(status.st_mode | SEARCHABLE);
                return fchmod(directory, mode).during("fchmod");
            }
            (Kind::File, false) if found == FileType::RegularFile => return Ok(()),
            // One that isn't empty stays, and then the mount tells.
            (Kind::File, true) => AtFlags::REMOVEDIR,
            (Kind::Directory | Kind::File, false) => AtFlags::empty(),
        };
        match unlinkat(parent, name, how) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            Err(errno) => Err(errno).during("unlinkat"),
        }
    }

    /// Makes a symbolic link; on the host's file systems one is there, or none is made.
    pub(super) fn link(&self, at: &Path, target: &Path) -> Result<(), StageError> {
        let (parent, name) = match self.parent(at) {
            // A link on the way, which leads there already.
            Err(error) if error.errno == Errno::LOOP.raw_os_error() => return Ok(()),
            other => other?,
        };
        if !self.is_own(&parent)? {
            return Ok(());
        }
        match symlinkat(target, parent, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno).during("symlinkat"),
        }
    }

    /// Makes a file with content.
    pub(super) fn file(&self, at: &Path, content: &[u8], mode: u32) -> Result<(), StageError> {
        let (parent, name) = self.parent(at)?;
        if !self.is_own(&parent)? {
            return Err(Errno::ROFS).during("openat (it lies on the host)");
        }
        let file = create(&parent, name, mode)?;
        write_all(&file, content)
    }

    /// Attaches a tmpfs.
    pub(super) fn scratch(&self, at: &Path, size_bytes: u64, mode: u32) -> Result<(), StageError> {
        self.directory(at, 0o755)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = tmpfs(size_bytes, mode, attributes)?;
        self.own.borrow_mut().push(mount_id(&mount)?);
        self.attach(&mount, at)
    }

    /// Attaches a file system that takes no options, such as `proc`.
    pub(super) fn filesystem(
        &self,
        name: &str,
        options: &[(&str, &str)],
        attributes: MountAttrFlags,
        at: &Path,
    ) -> Result<(), StageError> {
        self.directory(at, 0o755)?;
        let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen")?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value).during("fsconfig")?;
        }
        fsconfig_create(&context).during("fsconfig")?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).during("fsmount")?;
        self.attach(&mount, at)
    }

    /// Binds a part of the host's tree, with all that is mounted below it.
    pub(super) fn bind(
        &self,
        source: &Path,
        at: &Path,
        kind: Kind,
        (attributes, owner): (MountAttrFlags, Owner),
        identity: Option<Identity>,
    ) -> Result<(), StageError> {
        let origin = self.open_host(source)?;
        let status = fstat(&origin).during("fstat")?;
        let found = FileType::from_raw_mode(status.st_mode);
        let is_directory = found == FileType::Directory;
        if is_directory != (kind == Kind::Directory) || found == FileType::Symlink {
            return Err(Errno::STALE).during("fstat (the kind changed since the plan was made)");
        }
        if let Some(identity) = identity
            && (identity.device != status.st_dev || identity.inode != status.st_ino)
        {
            return Err(Errno::STALE).during("fstat (replaced since the plan was made)");
        }
        let tree = clone_tree(&origin)?;
        set_attributes(&tree, attributes, Reach::Tree).during("mount_setattr")?;
        if owner == Owner::Run {
            let mount = mount_id(&tree)?;
            self.own.borrow_mut().push(mount);
            self.stores.borrow_mut().push(mount);
        }
        self.place(at, kind)?;
        self.attach(&tree, at)
    }

    /// Makes what a bind is put on, where the new root doesn't have it yet.
    fn place(&self, at: &Path, kind: Kind) -> Result<(), StageError> {
        match kind {
            Kind::Directory => self.directory(at, 0o755),
            Kind::File => {
                let (parent, name) = self.parent(at)?;
                if !self.is_own(&parent)? {
                    return Ok(());
                }
                self.clear(&parent, name, Kind::File)?;
                let made = openat(
                    &parent,
                    name,
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW,
                    Mode::from_raw_mode(0o644),
                );
                match made {
                    Ok(_) | Err(Errno::EXIST | Errno::ROFS | Errno::ACCESS) => Ok(()),
                    Err(errno) => Err(errno).during("openat"),
                }
            }
        }
    }

    /// Puts a generated file over an existing one of a read-only part.
    ///
    /// A writable one lies on the root's file system, whose other mounts are read-only by then.
    pub(super) fn cover(&mut self, at: &Path, content: &[u8], is_writable: bool) -> Result<(), StageError> {
        let Ok(target) = self.open(at) else { return Ok(()) };
        self.generated += 1;
        let name = format!("cover{}", self.generated);
        let store = open_below(&self.root, Path::new(STORE), OFlags::PATH)?;
        let file = create(&store, &name, if is_writable { 0o600 } else { 0o644 })?;
        write_all(&file, content)?;
        let tree = clone_tree(&open_below(&store, Path::new(&name), OFlags::PATH)?)?;
        let attributes = if is_writable { writable() } else { read_only() };
        set_attributes(&tree, attributes, Reach::One).during("mount_setattr")?;
        attach_on(&tree, &target)
    }

    /// Puts an unreadable face over a secret. One that is gone meanwhile needs none.
    pub(super) fn mask(&self, at: &Path, kind: Kind) -> Result<(), StageError> {
        let target = match open_below(&self.root, at, OFlags::PATH) {
            Ok(target) => target,
            Err(error) if error.errno == Errno::NOENT.raw_os_error() => return Ok(()),
            Err(error) => return Err(error),
        };
        let face = match kind {
            Kind::File => &self.mask_file,
            Kind::Directory => &self.mask_directory,
        };
        let tree = clone_tree(face)?;
        set_attributes(&tree, read_only(), Reach::One).during("mount_setattr")?;
        attach_on(&tree, &target)
    }

    /// Closes a scratch space against writing.
    pub(super) fn seal(&self, at: &Path) -> Result<(), StageError> {
        set_attributes(self.open(at)?, read_only(), Reach::One).during("mount_setattr")
    }

    /// Lets the host's tree go and closes the root against writing.
    pub(super) fn enter(self) -> Result<(), StageError> {
        let store = open_below(&self.root, Path::new(STORE), OFlags::PATH)?;
        // Generated files keep their names: the kernel mounts nothing over a file without one, and a sandbox inside this
        // one covers the same files again.
        drop(self.host);
        unmount(format!("/{HOST}"), UnmountFlags::DETACH).during("umount2")?;
        unlinkat(&store, "host", rustix::fs::AtFlags::REMOVEDIR).during("unlinkat")?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        set_attributes(&self.root, attributes, Reach::One).during("mount_setattr")?;
        rustix::process::chdir("/").during("chdir")
    }

    fn attach(&self, mount: &OwnedFd, at: &Path) -> Result<(), StageError> {
        attach_on(mount, &self.open(at)?)?;
        // What was made beneath is hidden now.
        let at: PathBuf = names(at).collect();
        self.made
            .borrow_mut()
            .retain(|path| path == &at || !path.starts_with(&at));
        Ok(())
    }

    fn parent<'a>(&self, at: &'a Path) -> Result<(OwnedFd, &'a OsStr), StageError> {
        let name = at.file_name().ok_or(Errno::INVAL).during("file name")?;
        let parent = at.parent().unwrap_or(Path::new("/"));
        self.directory(parent, 0o755)?;
        Ok((self.open(parent)?, name))
    }
}

/// Read-only, no set-uid, no devices.
pub(super) fn read_only() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV
}

/// No set-uid, no devices.
pub(super) fn writable() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV
}

/// Which mount a descriptor is on (statx(2), Linux 5.8).
fn mount_id(descriptor: impl AsFd) -> Result<u64, StageError> {
    statx(descriptor, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .during("statx")
        .map(|status| status.stx_mnt_id)
}

/// A detached copy of the mount tree at `origin`.
pub(super) fn clone_tree(origin: impl AsFd) -> Result<OwnedFd, StageError> {
    open_tree(
        origin,
        "",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE,
    )
    .during("open_tree")
}

/// Attaches a detached mount onto what `target` refers to.
pub(super) fn attach_on(mount: impl AsFd, target: impl AsFd) -> Result<(), StageError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).during("move_mount")
}

/// The directory `/` of this process, for openat2 with RESOLVE_IN_ROOT.
pub(super) fn rooted() -> Result<OwnedFd, StageError> {
    rustix::fs::open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .during("open /")
}

/// Opens `path` below `root`, refusing every symbolic link on the way.
pub(super) fn open_below(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, StageError> {
    let relative: PathBuf = names(path).collect();
    let relative = if relative.as_os_str().is_empty() {
        Path::new(".")
    } else {
        relative.as_path()
    };
    openat2(
        root,
        relative,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .during("openat2")
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}

fn tmpfs(size_bytes: u64, mode: u32, attributes: MountAttrFlags) -> Result<OwnedFd, StageError> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen")?;
    fsconfig_set_string(&context, "size", size_bytes.to_string()).during("fsconfig")?;
    fsconfig_set_string(&context, "mode", format!("{mode:o}")).during("fsconfig")?;
    fsconfig_create(&context).during("fsconfig")?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).during("fsmount")
}

fn create(parent: impl AsFd, name: impl rustix::path::Arg, mode: u32) -> Result<OwnedFd, StageError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(parent, name, flags, Mode::from_raw_mode(mode)).during("openat")
}

fn write_all(file: impl AsFd, mut content: &[u8]) -> Result<(), StageError> {
    while !content.is_empty() {
        let count = rustix::io::write(&file, content).during("write")?;
        content = content.get(count..).unwrap_or_default();
    }
    Ok(())
}
