//! Where the sockets are: a directory of aca's own state, the user's alone, a socket for each session by its id.
//!
//! They are reached by the directory's descriptor: a path in `sockaddr_un` has 108 bytes at most (unix(7)), and one that
//! was looked at once can't be another directory afterwards.

use crate::audit::SessionId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, test_kill_process};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the directory, or a socket in it, can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A call failed.
    #[error("{call} {}", path.display())]
    Call {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A session that is stopped, and that many have asked already.
    #[error("too many wait for an answer")]
    Full,
    /// Others have a hand in it.
    #[error("the directory of control sockets {} {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Entries of the directory that are looked at when a session ends.
const SWEPT_MAX: usize = 100;

/// The directory.
#[derive(Debug)]
pub struct Directory {
    opened: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens it, and makes it where it is missing.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn make(path: &Path) -> Result<Self, PlaceError> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("mkdir", path, errno)),
        }
        Self::open(path)?.ok_or_else(|| failed("open", path, Errno::NOENT))
    }

    /// Opens it; `None` where there is none.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn open(path: &Path) -> Result<Option<Self>, PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match openat(CWD, path, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", path, errno)),
        };
        let status = fstat(&opened).map_err(|errno| failed("fstat", path, errno))?;
        let wrong = |why| PlaceError::Unsafe {
            path: path.to_owned(),
            why,
        };
        if status.st_uid != rustix::process::geteuid().as_raw() {
            return Err(wrong(format!("belongs to uid {}, not to you", status.st_uid)));
        }
        if status.st_mode & 0o077 != 0 {
            let mode = status.st_mode & 0o777;
            return Err(wrong(format!("is open to others (mode {mode:03o})")));
        }
        Ok(Some(Self {
            opened,
            path: path.to_owned(),
        }))
    }

    /// Listens as that session. The socket has its name once it can be connected to.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn listen(self, session: &SessionId) -> Result<Listener, PlaceError> {
        let own = rustix::process::getpid().as_raw_nonzero();
        let (name, before) = (session.as_str().to_owned(), format!("{session}.{own}"));
        let path = self.path.join(&name);
        let io_failed = |call| {
            let path = path.clone();
            move |source| PlaceError::Call { call, path, source }
        };
        let socket = UnixListener::bind(self.reach(&before)).map_err(io_failed("bind"))?;
        let mut listener = Listener {
            directory: self,
            name: before.clone(),
            socket,
        };
        listener
            .socket
            .set_nonblocking(true)
            .map_err(io_failed("fcntl"))?;
        let directory = &listener.directory.opened;
        chmodat(directory, &before, Mode::RUSR | Mode::WUSR, AtFlags::empty())
            .map_err(|errno| failed("chmod", &path, errno))?;
        renameat(directory, &before, directory, &name).map_err(|errno| failed("rename", &path, errno))?;
        listener.name = name;
        Ok(listener)
    }

    /// The sessions that have a socket, oldest first. Some may be gone.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn sessions(&self) -> Result<Vec<SessionId>, PlaceError> {
        let read = rustix::fs::Dir::read_from(&self.opened);
        let mut sessions = Vec::new();
        for entry in read.map_err(|errno| failed("readdir", &self.path, errno))? {
            let entry = entry.map_err(|errno| failed("readdir", &self.path, errno))?;
            let id = entry.file_name().to_str().ok();
            sessions.extend(id.and_then(|id| id.parse::<SessionId>().ok()));
        }
        sessions.sort_unstable();
        Ok(sessions)
    }

    /// Connects to a session; `None` when it is gone. What a supervisor that was killed left behind is removed then.
    ///
    /// # Errors
    /// See [`PlaceError`]. [`PlaceError::Full`] for one that takes nobody: waiting for it, connect(2) knows no end.
    pub fn connect(&self, session: &SessionId) -> Result<Option<UnixStream>, PlaceError> {
        let path = self.path.join(session.as_str());
        let failed = |call| {
            let path = path.clone();
            move |errno| failed(call, &path, errno)
        };
        let address = SocketAddrUnix::new(self.reach(session.as_str())).map_err(failed("connect"))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let stream = UnixStream::from(socket.map_err(failed("socket"))?);
        match connect(&stream, &address) {
            Ok(()) => {
                rustix::io::ioctl_fionbio(&stream, false).map_err(failed("ioctl"))?;
                Ok(Some(stream))
            }
            // Nobody listens, and nobody will: a socket is bound once (connect(2), unix(7)).
            Err(Errno::CONNREFUSED) => {
                unlinkat(&self.opened, session.as_str(), AtFlags::empty()).ok();
                Ok(None)
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::AGAIN) => Err(PlaceError::Full),
            Err(errno) => Err(failed("connect")(errno)),
        }
    }

    /// Removes what killed supervisors left: sockets that nobody listens on, and those that never got their name.
    fn sweep(&self) {
        let Ok(read) = rustix::fs::Dir::read_from(&self.opened) else {
            return;
        };
        for entry in read.flatten().take(SWEPT_MAX) {
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let is_left = match name.split_once('.') {
                None => name.parse::<SessionId>().is_ok() && self.is_refused(name),
                Some((_, maker)) => is_gone(maker),
            };
            if is_left {
                unlinkat(&self.opened, name, AtFlags::empty()).ok();
            }
        }
    }

    /// Whether nobody listens on a socket. One that is busy isn't waited for.
    fn is_refused(&self, name: &str) -> bool {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
            return false;
        };
        SocketAddrUnix::new(self.reach(name).as_bytes())
            .is_ok_and(|address| connect(&socket, &address) == Err(Errno::CONNREFUSED))
    }

    fn reach(&self, name: &str) -> OsString {
        format!("/proc/self/fd/{}/{name}", self.opened.as_raw_fd()).into()
    }
}

/// A socket that is listened on; its name goes with the value.
#[derive(Debug)]
pub struct Listener {
    directory: Directory,
    name: String,
    /// The socket, which doesn't block.
    pub socket: UnixListener,
}

impl Drop for Listener {
    fn drop(&mut self) {
        unlinkat(&self.directory.opened, &self.name, AtFlags::empty()).ok();
        self.directory.sweep();
    }
}

/// Whether there is no process of that number; `false` for what is none.
fn is_gone(number: &str) -> bool {
    let pid = number.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

fn failed(call: &'static str, path: &Path, errno: Errno) -> PlaceError {
    PlaceError::Call {
        call,
        path: path.to_owned(),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn id(chance: u8) -> SessionId {
        SessionId::new("2026-11-23T09:08:07Z".parse().unwrap(), [chance; 6])
    }

    #[test]
    fn the_users_alone_however_long_the_path_is() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let at = deep.join("control");
        let listener = Directory::make(&at).unwrap().listen(&id(1)).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&at), 0o700);
        assert_eq!(mode(&at.join(id(1).as_str())), 0o600);
        let directory = Directory::open(&at).unwrap().unwrap();
        assert_eq!(directory.sessions().unwrap(), [id(1)]);
        assert!(directory.connect(&id(1)).unwrap().is_some());
        drop(listener);
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
        assert!(directory.connect(&id(1)).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_one_left_neither_blocks_nor_misleads() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("control");
        let listener = Directory::make(&at).unwrap().listen(&id(1)).unwrap();
        let living = Directory::make(&at).unwrap().listen(&id(2)).unwrap();
        // As a kill does it: closed, and its name stays.
        let Listener { socket, .. } = &listener;
        rustix::net::shutdown(socket, rustix::net::Shutdown::Both).unwrap();
        let directory = Directory::open(&at).unwrap().unwrap();
        assert_eq!(directory.sessions().unwrap().len(), 2);
        assert!(directory.connect(&id(1)).unwrap().is_none());
        assert!(directory.connect(&id(2)).unwrap().is_some());
        assert_eq!(directory.sessions().unwrap(), [id(2)]);
        drop(living);
    }

    /// One that is stopped takes nobody, and what asked it in vain stays in the queue.
    #[test]
    fn a_session_with_a_full_queue_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("control");
        let listener = Directory::make(&at).unwrap().listen(&id(1)).unwrap();
        let directory = Directory::open(&at).unwrap().unwrap();
        let full = (0..100_000).find_map(|_| directory.connect(&id(1)).err());
        assert!(matches!(full, Some(PlaceError::Full)), "{full:?}");
        while listener.socket.accept().is_ok() {}
        assert!(directory.connect(&id(1)).unwrap().is_some());
    }

    #[test]
    fn what_killed_ones_left_goes_with_the_next_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("control");
        let listen = |chance| Directory::make(&at).unwrap().listen(&id(chance)).unwrap();
        let (killed, living, ending) = (listen(1), listen(2), listen(3));
        rustix::net::shutdown(&killed.socket, rustix::net::Shutdown::Both).unwrap();
        let own = std::process::id();
        // No process has the first number (proc_sys_kernel(5), pid_max).
        for (number, stays) in [("99999999", false), (&own.to_string(), true), ("x", true)] {
            fs::write(at.join(format!("{}.{number}", id(4))), "").unwrap();
            drop(listen(5));
            let there = fs::symlink_metadata(at.join(format!("{}.{number}", id(4))));
            assert_eq!(there.is_ok(), stays, "{number}");
        }
        drop(ending);
        let directory = Directory::open(&at).unwrap().unwrap();
        assert_eq!(directory.sessions().unwrap(), [id(2)]);
        drop((living, killed));
    }

    #[test]
    fn a_directory_that_others_can_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("control");
        drop(Directory::make(&at).unwrap());
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Directory::make(&at), Err(PlaceError::Unsafe { .. })));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(Directory::make(&link).is_err());
        assert!(Directory::open(&folder.path().join("none")).unwrap().is_none());
    }
}
