//! The native backend: namespaces, mounts, Landlock and seccomp by direct calls, no other program.

mod capabilities;
pub mod cgroup;
mod device;
mod init;
mod job;
mod landlock;
mod mounts;
mod names;
mod netlink;
mod network;
mod nftables;
pub mod parent;
pub mod probe;
mod proc;
mod program;
pub mod remask;
pub mod seccomp;
mod stage;
mod step;

use super::protocol::StageError;
use rustix::io::Errno;

/// Names the call in an error; the step adds what was to be done.
pub(crate) trait During<T> {
    /// Turns an errno into a [`StageError`] that names `call`.
    fn during(self, call: &str) -> Result<T, StageError>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, call: &str) -> Result<T, StageError> {
        self.map_err(|errno| StageError {
            action: String::new(),
            call: call.to_owned(),
            errno: errno.raw_os_error(),
        })
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, call: &str) -> Result<T, StageError> {
        self.map_err(|error| StageError {
            action: String::new(),
            call: call.to_owned(),
            errno: error.raw_os_error().unwrap_or(libc_einval()),
        })
    }
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, call: &str) -> Result<T, StageError> {
        self.map_err(|errno| StageError {
            action: String::new(),
            call: call.to_owned(),
            errno: errno as i32,
        })
    }
}

const fn libc_einval() -> i32 {
    nix::errno::Errno::EINVAL as i32
}
