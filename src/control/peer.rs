//! Who is at the other end of the socket: the user outside, or root; never a program inside.
//!
//! The uid doesn't tell, since programs inside have the user's. Their user namespace does: they are in one of their own,
//! and no process leaves its user namespace for the one above (user_namespaces(7)). That holds for a process that made its
//! way to the socket by whatever hole, and for a descriptor that it inherited: what counts is who called connect(2).

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};

/// Why a peer isn't served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It is another user's.
    #[error("a process of uid {0}")]
    Uid(u32),
    /// It is in another user namespace.
    #[error("process {0} is in another user namespace")]
    Namespace(i32),
    /// It is gone, or its namespace can't be seen.
    #[error("which process it is can't be told ({call}: {source})")]
    Unknown {
        /// The call.
        call: &'static str,
        /// Its error.
        source: Errno,
    },
}

/// Looks at whoever connected.
///
/// # Errors
/// Everybody but the user outside, and root. What can't be told is refused.
pub fn check(stream: impl AsFd) -> Result<(), PeerError> {
    let unknown = |call| move |source| PeerError::Unknown { call, source };
    let peer = socket_peercred(&stream).map_err(unknown("SO_PEERCRED"))?;
    let own = geteuid();
    if peer.uid != own && !peer.uid.is_root() {
        return Err(PeerError::Uid(peer.uid.as_raw()));
    }
    // In this process' user namespace only root is that, and it may look into this process anyway. An ordinary user
    // can't tell in which namespace a process of root's is.
    if peer.uid.is_root() && !own.is_root() {
        return Ok(());
    }
    // A number may be another process' by now; this is the one that connected, where the kernel tells (Linux 6.5).
    let held = match getsockopt(&stream, sockopt::PeerPidfd) {
        Ok(held) => held,
        Err(nix::errno::Errno::ENOPROTOOPT) => {
            pidfd_open(peer.pid, PidfdFlags::empty()).map_err(unknown("pidfd_open"))?
        }
        Err(errno) => {
            let source = Errno::from_raw_os_error(errno as i32);
            return Err(unknown("SO_PEERPIDFD")(source));
        }
    };
    let theirs = user_namespace(&peer.pid.as_raw_nonzero().to_string())?;
    // It was there all the time, so the number was its.
    if has_ended(&held).map_err(unknown("poll"))? {
        return Err(unknown("poll")(Errno::SRCH));
    }
    if theirs == user_namespace("self")? {
        Ok(())
    } else {
        Err(PeerError::Namespace(number(peer.pid)))
    }
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// Device and inode of the namespace (namespaces(7)).
fn user_namespace(process: &str) -> Result<(u64, u64), PeerError> {
    let status = rustix::fs::stat(format!("/proc/{process}/ns/user"))
        .map_err(|source| PeerError::Unknown { call: "stat", source })?;
    Ok((status.st_dev, status.st_ino))
}

/// A process' descriptor is readable from its end on (pidfd_open(2)).
fn has_ended(process: &OwnedFd) -> Result<bool, Errno> {
    let mut waiting = [PollFd::new(process, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&now))).map(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    #[test]
    fn oneself_is_served() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(check(&one), Ok(()));
    }

    const CONNECT: &str = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n\
                           s.connect(sys.argv[1])\nsys.stdin.read()";

    /// What a process that was started like that is told.
    fn connecting(before: &[&str]) -> Option<Result<(), PeerError>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let mut words = before.to_vec();
        let path = path.to_str().unwrap();
        words.extend(["python3", "-c", CONNECT, path]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        let most = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let came = poll(&mut waiting, Some(&most)).unwrap() > 0;
        let checked = came.then(|| check(listener.accept().unwrap().0));
        drop(child.stdin.take());
        child.wait().unwrap();
        checked
    }

    #[test]
    fn a_process_in_a_namespace_of_its_own_is_not_served_and_one_outside_is() {
        // Neither python nor unshare need be installed.
        if let Some(checked) = connecting(&["env"]) {
            assert_eq!(checked, Ok(()));
        }
        for inside in [&["unshare", "-U"][..], &["unshare", "-Ur"]] {
            if let Some(checked) = connecting(inside) {
                assert!(matches!(checked, Err(PeerError::Namespace(_))), "{checked:?}");
            }
        }
    }

    #[test]
    fn one_that_is_gone_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let script = CONNECT.replace("sys.stdin.read()", "");
        let ended = Command::new("python3")
            .args(["-c", &script, path.to_str().unwrap()])
            .stdin(Stdio::null())
            .status();
        if ended.is_ok_and(|status| status.success()) {
            let checked = check(listener.accept().unwrap().0);
            assert!(matches!(checked, Err(PeerError::Unknown { .. })), "{checked:?}");
        }
    }
}
