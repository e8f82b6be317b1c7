//! Whether a log is still being written: its writer holds a lock on it for its life.
//!
//! An open file description lock (`F_OFD_SETLK`, fcntl(2)): it belongs to the supervisor's descriptor, ends with it
//! however the supervisor ends, and can be asked after without being taken. A process id says nothing of the kind: it may
//! be someone else's by now.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::AsFd;

/// Takes the writer's lock.
pub(super) fn hold(log: impl AsFd) -> Result<(), Errno> {
    fcntl(log, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))).map(drop)
}

/// Whether a writer holds its lock. Nothing is taken, so that a look never is in a writer's way.
pub(super) fn is_held(log: impl AsFd) -> Result<bool, Errno> {
    let mut lock = whole(libc::F_RDLCK);
    fcntl(log, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Waits until no writer holds it.
pub(super) fn wait(log: impl AsFd) -> Result<(), Errno> {
    loop {
        match fcntl(&log, FcntlArg::F_OFD_SETLKW(&whole(libc::F_RDLCK))) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// A lock on all of a file, whatever its length comes to be.
fn whole(kind: i32) -> libc::flock {
    libc::flock {
        // Small constants.
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn seen_while_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(is_held(&reader), Ok(false));
        hold(&writer).unwrap();
        assert_eq!(is_held(&reader), Ok(true));
        assert_eq!(
            is_held(File::open(&path).unwrap()),
            Ok(true),
            "asking takes nothing"
        );
        let waiting = std::thread::spawn(move || wait(&reader));
        drop(writer);
        assert_eq!(waiting.join().unwrap(), Ok(()));
        assert_eq!(is_held(File::open(&path).unwrap()), Ok(false));
    }
}
