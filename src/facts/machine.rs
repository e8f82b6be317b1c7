//! What the kernel and the terminal are: cheap questions only; what costs something is tried when it is needed.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release, such as `6.18.44`.
    pub kernel: String,
    /// Newest Landlock interface; 0 without Landlock.
    pub landlock_abi: u32,
    /// Version 2 control group that may be divided, with the controllers that it hands on.
    pub cgroup: Option<Cgroup>,
}

/// A control group that is delegated to us (cgroups(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its directory.
    pub directory: PathBuf,
    /// Controllers that children get.
    pub controllers: Vec<String>,
}

/// The user's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its name, such as `/dev/pts/3`.
    pub path: PathBuf,
    /// Its device number.
    pub device: u64,
}

/// Asks the kernel; `limits` says whether control groups are of interest.
#[must_use]
pub fn machine(limits: bool) -> Machine {
    Machine {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        landlock_abi: crate::sys::landlock::interface_version(),
        cgroup: if limits { cgroup() } else { None },
    }
}

/// The terminal that standard input, output or error is on.
#[must_use]
pub fn terminal() -> Option<Terminal> {
    use std::os::fd::AsFd;
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for descriptor in [input.as_fd(), output.as_fd(), error.as_fd()] {
        if let Ok(name) = rustix::termios::ttyname(descriptor, Vec::new())
            && let Ok(status) = rustix::fs::fstat(descriptor)
        {
            use std::os::unix::ffi::OsStringExt;
            let path = PathBuf::from(std::ffi::OsString::from_vec(name.into_bytes()));
            // The name of whichever terminal a process has (tty(4)), which every `/dev` has already.
            if path == Path::new("/dev/tty") {
                continue;
            }
            return Some(Terminal {
                path,
                device: status.st_rdev,
            });
        }
    }
    None
}

/// The nearest group upwards from ours that we may make children in and that hands controllers on. A group with
/// processes of its own hands on none (the "no internal processes" rule), so that is seldom our own.
fn cgroup() -> Option<Cgroup> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|root| root.join("cgroup.controllers").try_exists().unwrap_or(false))?;
    let mut directory = root.join(own);
    loop {
        let controllers =
            std::fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        let writable = rustix::fs::access(directory.join("cgroup.procs"), rustix::fs::Access::WRITE_OK)
            .is_ok()
            && rustix::fs::access(&directory, rustix::fs::Access::WRITE_OK).is_ok();
        if writable && !controllers.trim().is_empty() {
            let controllers = controllers.split_whitespace().map(str::to_owned).collect();
            return Some(Cgroup {
                directory,
                controllers,
            });
        }
        if !directory.starts_with(&root) || directory == root || !directory.pop() {
            return None;
        }
    }
}
