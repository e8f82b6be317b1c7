//! What `aca selftest` attempts. Each one reaches only for bait that the self-test itself laid out, so that carrying it
//! out is harmless wherever it is done.

use crate::sys::attempt;
use rustix::fs::{CWD, renameat};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a listener that was reached may take to show that it is the bait.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const LONGEST_ANSWER: u64 = 4096;
/// No place to mount at.
const NOWHERE: &str = "/aca-selftest/nowhere";
/// What the bait holds.
pub(super) const TOKEN: &str = "aca-selftest-bait";
/// Variables of the one who starts a run: a login, and one that would load a library into every program.
pub(super) const VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "LD_PRELOAD"];
/// What the process that makes the attempts ends with.
pub(super) const EXIT_CODE: u8 = 42;

/// Where the bait lies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bait {
    /// The throw-away home.
    pub(super) home: PathBuf,
    /// The project in it.
    pub(super) project: PathBuf,
    /// A directory that no run is given.
    pub(super) outside: PathBuf,
    /// A process outside.
    pub(super) process: u32,
    /// When that one started, by which it is told from one of the same number.
    pub(super) started: String,
    /// A directory's descriptor that was left open.
    pub(super) descriptor: i32,
    /// A server on the machine's loopback.
    pub(super) loopback: SocketAddr,
    /// A server on the address by which the machine reaches others, where it has one.
    pub(super) address: Option<SocketAddr>,
    /// A listener without a path.
    pub(super) abstract_name: String,
}

impl Bait {
    pub(super) fn secret(&self) -> PathBuf {
        self.project.join(".env")
    }
    pub(super) fn login(&self) -> PathBuf {
        self.home.join(".ssh/id_ed25519")
    }
    pub(super) fn file(&self) -> PathBuf {
        self.outside.join("file")
    }
    pub(super) fn socket(&self) -> PathBuf {
        self.outside.join("socket")
    }
    /// What a run writes in the project.
    pub(super) fn written(&self) -> PathBuf {
        self.project.join("written")
    }
    pub(super) fn hook(&self) -> PathBuf {
        self.repository().join("hooks/pre-commit")
    }
    pub(super) fn settings(&self) -> PathBuf {
        self.repository().join("config")
    }
    pub(super) fn repository(&self) -> PathBuf {
        self.project.join(".git")
    }
}

/// One attempt.
pub(super) struct Attempt {
    /// Its name in the report.
    pub(super) name: &'static str,
    /// What is tried.
    pub(super) what: &'static str,
    carry_out: fn(&Bait) -> io::Result<()>,
}

/// What came of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) name: String,
    /// The error that stopped it; none where it succeeded.
    pub(super) refused: Option<String>,
}

/// All of them. The one that changes what its process is comes last.
pub(super) const ATTEMPTS: [Attempt; 22] = [
    Attempt {
        name: "secret-file",
        what: "read a secret of the project (.env)",
        carry_out: |bait| holds_token(&bait.secret()),
    },
    Attempt {
        name: "login",
        what: "read a key of the home (.ssh)",
        carry_out: |bait| holds_token(&bait.login()),
    },
    Attempt {
        name: "file-outside",
        what: "write to a file outside of the project",
        carry_out: |bait| append(&bait.file()),
    },
    Attempt {
        name: "hook",
        what: "change a hook of the repository",
        carry_out: |bait| append(&bait.hook()),
    },
    Attempt {
        name: "repository-settings",
        what: "write to the repository's settings (.git/config)",
        carry_out: |bait| append(&bait.settings()),
    },
    Attempt {
        name: "repository-moved",
        what: "move the repository away (.git)",
        carry_out: move_repository,
    },
    Attempt {
        name: "open-descriptor",
        what: "reach a directory through a descriptor that was left open",
        carry_out: |bait| holds_token(Path::new(&format!("/proc/self/fd/{}/file", bait.descriptor))),
    },
    Attempt {
        name: "environment",
        what: "find a login or LD_PRELOAD in the environment",
        carry_out: find_variable,
    },
    Attempt {
        name: "process-outside",
        what: "find and signal a process outside",
        carry_out: find_process,
    },
    Attempt {
        name: "process-memory",
        what: "open the memory of the process above",
        carry_out: open_memory,
    },
    Attempt {
        name: "loopback",
        what: "reach a server on the machine's loopback",
        carry_out: |bait| reach(bait.loopback),
    },
    Attempt {
        name: "address",
        what: "reach a server by an address that is not listed",
        carry_out: reach_address,
    },
    Attempt {
        name: "unix-socket",
        what: "connect to a socket outside by its path",
        carry_out: |bait| UnixStream::connect(bait.socket()).map(drop),
    },
    Attempt {
        name: "abstract-socket",
        what: "connect to a socket outside that has no path",
        carry_out: |bait| {
            let address = UnixAddress::from_abstract_name(&bait.abstract_name)?;
            UnixStream::connect_addr(&address).map(drop)
        },
    },
    Attempt {
        name: "terminal-input",
        what: "type into the terminal (TIOCSTI)",
        carry_out: |_| reaches_kernel(attempt::push_input(io::stdin().as_fd()), Errno::NOTTY),
    },
    Attempt {
        name: "mount",
        what: "mount a file system",
        carry_out: |_| {
            let mounted = rustix::mount::mount("none", NOWHERE, "tmpfs", MountFlags::empty(), None);
            reaches_kernel(mounted, Errno::NOENT)
        },
    },
    Attempt {
        name: "keyring",
        what: "find the user's session keyring",
        carry_out: |_| Ok(attempt::find_session_keyring()?),
    },
    Attempt {
        name: "io-uring",
        what: "make a ring for calls that no filter sees (io_uring)",
        carry_out: |_| Ok(attempt::make_ring()?),
    },
    Attempt {
        name: "userfaultfd",
        what: "stop the kernel within a copy (userfaultfd)",
        carry_out: |_| Ok(attempt::watch_faults()?),
    },
    Attempt {
        name: "privileges",
        what: "gain privileges by a set-user-id program",
        carry_out: |_| status_is("NoNewPrivs", "0"),
    },
    Attempt {
        name: "capabilities",
        what: "gain a capability that is not given up for good",
        carry_out: |_| status_is_not("CapBnd", "0000000000000000"),
    },
    Attempt {
        name: "user-namespace",
        what: "gain capabilities in a user namespace",
        carry_out: |_| Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?),
    },
];

/// Carries all of them out where this process stands.
pub(super) fn carry_out(bait: &Bait) -> Vec<Outcome> {
    // Whoever laid the bait out looks for it, and misses it where this fails.
    fs::write(bait.written(), TOKEN).ok();
    ATTEMPTS
        .iter()
        .map(|attempt| Outcome {
            name: attempt.name.to_owned(),
            refused: (attempt.carry_out)(bait).err().map(|error| error.to_string()),
        })
        .collect()
}

fn holds_token(path: &Path) -> io::Result<()> {
    if fs::read_to_string(path)?.contains(TOKEN) {
        Ok(())
    } else {
        Err(io::Error::other("another file stands there"))
    }
}

/// Writing that is seen by the one who laid the bait out, which [`super::selftest`] looks at besides.
fn append(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(b"# written\n")
}

fn move_repository(bait: &Bait) -> io::Result<()> {
    let (from, to) = (bait.repository(), bait.project.join("moved"));
    renameat(CWD, &from, CWD, &to)?;
    renameat(CWD, &to, CWD, &from)?;
    Ok(())
}

fn find_process(bait: &Bait) -> io::Result<()> {
    let gone = || io::Error::other("no such process is there");
    if started(bait.process).ok_or_else(gone)? != bait.started {
        return Err(gone());
    }
    let pid = i32::try_from(bait.process)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(gone)?;
    Ok(rustix::process::test_kill_process(pid)?)
}

/// When a process started, in ticks since the boot (proc_pid_stat(5), field 22).
pub(super) fn started(process: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit(')').next()?.split(' ').nth(20).map(str::to_owned)
}

fn open_memory(_: &Bait) -> io::Result<()> {
    let above = std::os::unix::process::parent_id();
    fs::File::open(format!("/proc/{above}/mem")).map(drop)
}

fn find_variable(_: &Bait) -> io::Result<()> {
    if VARIABLES.iter().any(|name| std::env::var_os(name).is_some()) {
        Ok(())
    } else {
        Err(io::Error::other("none of them came in"))
    }
}

fn reach_address(bait: &Bait) -> io::Result<()> {
    let none = || io::Error::other("this machine has no address but its loopback's");
    reach(bait.address.ok_or_else(none)?)
}

/// Asks a server for the token. A connection alone shows nothing: inside, all of them are accepted by the gate.
fn reach(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut said = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut said)?;
    if said.ends_with(TOKEN.as_bytes()) {
        Ok(())
    } else {
        Err(io::Error::other("the gate answers in its place"))
    }
}

/// Whether a call came past every filter: then the kernel's own check of its arguments, which are wrong on purpose,
/// gives `own`.
fn reaches_kernel(result: Result<(), Errno>, own: Errno) -> io::Result<()> {
    match result {
        Err(errno) if errno != own => Err(errno.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn status_is(field: &str, value: &str) -> io::Result<()> {
    let found = status(field)?;
    if found == value {
        Ok(())
    } else {
        Err(io::Error::other(format!("{field} is {found}")))
    }
}

fn status_is_not(field: &str, value: &str) -> io::Result<()> {
    let found = status(field)?;
    if found == value {
        Err(io::Error::other(format!("{field} is {found}")))
    } else {
        Ok(())
    }
}

/// A field of this process in proc_pid_status(5).
fn status(field: &str) -> io::Result<String> {
    let text = fs::read_to_string("/proc/self/status")?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
        .ok_or_else(|| io::Error::other(format!("no {field} is told")))
}
