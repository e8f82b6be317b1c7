//! The executor: one `match` over [`Step`], one kernel action each.

use super::mounts::{NewRoot, Owner, read_only, writable};
use super::{During, capabilities, device, landlock, network, nftables, proc, seccomp};
use crate::launch::protocol::{NetworkOutcome, Outcome, Role, StageError};
use crate::plan::linux::{BindAccess, Missing, Observation, Resource, Step};
use nix::sys::resource::{Resource as Kernel, setrlimit};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What the steps leave behind for the stage.
#[derive(Default)]
pub(super) struct Executor {
    root: Option<NewRoot>,
    /// To be passed to the supervisor: the network's sockets.
    pub(super) sockets: Vec<(Role, OwnedFd)>,
    /// To be passed to the supervisor: the private home.
    pub(super) home: Option<OwnedFd>,
    /// Kept open by the first process for as long as the run lasts.
    pub(super) kept: Vec<OwnedFd>,
    /// The seccomp listener.
    pub(super) listener: Option<OwnedFd>,
    /// Calls that make names are handed over.
    pub(super) holds_names: bool,
    /// What best-effort steps came to.
    pub(super) outcome: Outcome,
    /// What the network came to.
    pub(super) network: NetworkOutcome,
}

impl Executor {
    /// Executes one step; the error says which it was.
    pub(super) fn execute(&mut self, step: &Step) -> Result<(), StageError> {
        self.act(step).map_err(|error| StageError {
            action: describe(step),
            ..error
        })
    }

    fn act(&mut self, step: &Step) -> Result<(), StageError> {
        match step {
            Step::Hostname(name) => nix::unistd::sethostname(name).during("sethostname"),
            Step::Loopback => network::loopback(),
            Step::CatchAllRoutes => network::catch_all(),
            Step::Redirect { must } => match nftables::install() {
                Ok(()) => {
                    self.network.redirected = true;
                    Ok(())
                }
                Err(error) if *must => Err(error),
                Err(error) => {
                    self.network.lost.push(format!(
                        "redirect of all ports ({error}): one listener a port instead"
                    ));
                    Ok(())
                }
            },
            Step::Listen {
                ports, host_ports, ..
            } => {
                let left_out: Vec<String> = ports
                    .iter()
                    .filter(|port| !self.network.redirected && !network::listened(ports).contains(port))
                    .map(u16::to_string)
                    .collect();
                if !left_out.is_empty() {
                    self.network.lost.push(format!(
                        "connections to the ports {}: too many listeners",
                        left_out.join(", ")
                    ));
                }
                self.sockets
                    .extend(network::listeners(self.network.redirected, ports)?);
                self.sockets
                    .extend(network::host_ports(self.network.redirected, ports, host_ports)?);
                let diagnosis = network::diagnosis();
                if diagnosis.is_empty() {
                    let lost = "the list of what listens inside (no sock_diag here)";
                    self.network.lost.push(lost.into());
                }
                self.sockets.extend(diagnosis);
                Ok(())
            }
            Step::Setting { path, value } => network::setting(path, value),
            Step::ShareWatches => {
                network::share_watches();
                Ok(())
            }
            Step::NewRoot => {
                self.root = Some(NewRoot::new()?);
                Ok(())
            }
            Step::Directory { at, mode } => self.root()?.directory(at, *mode),
            Step::Link { at, target } => self.root()?.link(at, target),
            Step::File { at, content, mode } => self.root()?.file(at, content, *mode),
            Step::Scratch { at, size_bytes, mode } => self.root()?.scratch(at, *size_bytes, *mode),
            Step::Bind {
                source,
                at,
                access,
                kind,
                identity,
                missing,
            } => match self.root()?.bind(source, at, *kind, of_bind(*access), *identity) {
                Err(error) if *missing == Missing::Skip && error.errno == Errno::NOENT.raw_os_error() => {
                    Ok(())
                }
                other => other,
            },
            Step::Cover {
                at,
                content,
                writable,
            } => self
                .root
                .as_mut()
                .ok_or(Errno::INVAL)
                .during("no root yet")?
                .cover(at, content, *writable),
            Step::Mask { at, kind } => self.root()?.mask(at, *kind),
            Step::Seal { at } => self.root()?.seal(at),
            Step::Proc => self.proc(),
            Step::CloseProc(closed) => proc::close(self.root()?, *closed),
            Step::Sys => self.sys(),
            Step::Devices {
                granted,
                shared_memory_bytes,
            } => device::build(self.root()?, granted, *shared_memory_bytes),
            Step::Terminal { path, device } => {
                let kept = device::terminal(self.root()?, path, *device)?;
                self.kept.extend(kept);
                Ok(())
            }
            Step::HandOut { at } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let root = self.root()?.open(at)?;
                let directory =
                    rustix::fs::openat(root, ".", flags, rustix::fs::Mode::empty()).during("openat")?;
                self.home = Some(directory);
                Ok(())
            }
            Step::Enter => self
                .root
                .take()
                .ok_or(Errno::INVAL)
                .during("no root yet")?
                .enter(),
            Step::Keyring => match crate::sys::process::new_session_keyring() {
                Ok(()) | Err(Errno::NOSYS) => Ok(()),
                // The quota of keys is used up: the filter refuses every key call besides.
                Err(Errno::DQUOT) => {
                    self.outcome
                        .lost
                        .push("a keyring of its own (key quota used up)".into());
                    Ok(())
                }
                Err(errno) => Err(errno).during("keyctl"),
            },
            Step::DropCapabilities => capabilities::drop_all(),
            Step::NoNewPrivileges => {
                rustix::thread::set_no_new_privs(true).during("prctl PR_SET_NO_NEW_PRIVS")
            }
            Step::Landlock {
                writable,
                files,
                signals,
                held,
            } => {
                // Names are made by who reads the listener.
                let held = if self.holds_names { held.as_slice() } else { &[] };
                self.outcome.landlock = landlock::restrict(writable, *files, *signals, held)?;
                if self.holds_names {
                    // What is made on a program's behalf isn't bound by a domain that this program puts itself into, and
                    // nobody can tell that it has.
                    crate::sys::seccomp::install_without_landlock().during("seccomp")?;
                }
                Ok(())
            }
            Step::Limit { resource, value } => limit(*resource, *value),
            Step::Seccomp { choice } => {
                self.listener = seccomp::apply(choice)
                    .map_err(|error| error.source)
                    .during("seccomp")?;
                self.holds_names = choice.observe == Observation::Names && self.listener.is_some();
                Ok(())
            }
        }
    }

    fn root(&self) -> Result<&NewRoot, StageError> {
        self.root.as_ref().ok_or(Errno::INVAL).during("no root yet")
    }

    /// An own `/proc`; where the host's has covered parts (containers do that) the kernel refuses a fresh one, and the
    /// run fails rather than show the host's processes.
    fn proc(&self) -> Result<(), StageError> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        self.root()?
            .filesystem("proc", &[], attributes, Path::new("/proc"))
    }

    /// An own `/sys`, or the host's where the kernel refuses that; read-only both ways.
    fn sys(&self) -> Result<(), StageError> {
        let root = self.root()?;
        let attributes = read_only() | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        root.filesystem("sysfs", &[], attributes, Path::new("/sys"))
            .or_else(|_| {
                root.bind(
                    Path::new("/sys"),
                    Path::new("/sys"),
                    crate::plan::Kind::Directory,
                    (attributes, Owner::Host),
                    None,
                )
            })
    }
}

fn of_bind(access: BindAccess) -> (MountAttrFlags, Owner) {
    match access {
        BindAccess::Read => (read_only(), Owner::Host),
        BindAccess::Write => (writable(), Owner::Host),
        BindAccess::Own => (writable(), Owner::Run),
    }
}

fn limit(resource: Resource, value: u64) -> Result<(), StageError> {
    let kernel = match resource {
        Resource::OpenFiles => Kernel::RLIMIT_NOFILE,
        Resource::Processes => Kernel::RLIMIT_NPROC,
        Resource::FileSize => Kernel::RLIMIT_FSIZE,
        Resource::Core => Kernel::RLIMIT_CORE,
    };
    let (_, hard) = nix::sys::resource::getrlimit(kernel).during("getrlimit")?;
    // A limit can only be lowered.
    let value = value.min(hard);
    setrlimit(kernel, value, value).during("setrlimit")
}

/// The step in words, for an error.
fn describe(step: &Step) -> String {
    match step {
        Step::Hostname(_) => "set the host name".into(),
        Step::Loopback => "bring loopback up".into(),
        Step::CatchAllRoutes => "route every address to loopback".into(),
        Step::Redirect { .. } => "redirect connections".into(),
        Step::Listen { .. } => "listen for connections".into(),
        Step::Setting { path, .. } => format!("set {path}"),
        Step::ShareWatches => "share the inotify watches".into(),
        Step::NewRoot => "make a root".into(),
        Step::Directory { at, .. } => format!("make the directory {}", at.display()),
        Step::Link { at, .. } => format!("make the link {}", at.display()),
        Step::File { at, .. } => format!("make the file {}", at.display()),
        Step::Scratch { at, .. } => format!("mount a scratch space at {}", at.display()),
        Step::Bind {
            source, at, access, ..
        } => {
            format!(
                "show {} at {}, {}",
                source.display(),
                at.display(),
                if *access == BindAccess::Read {
                    "read-only"
                } else {
                    "writable"
                }
            )
        }
        Step::Cover { at, .. } => format!("cover {}", at.display()),
        Step::Mask { at, .. } => format!("mask {}", at.display()),
        Step::Seal { at } => format!("close {} against writing", at.display()),
        Step::Proc => "mount /proc".into(),
        Step::CloseProc(_) => "close /proc against writing".into(),
        Step::Sys => "mount /sys".into(),
        Step::Devices { .. } => "build /dev".into(),
        Step::Terminal { path, .. } => format!("show the terminal {}", path.display()),
        Step::HandOut { at } => format!("hand out {}", at.display()),
        Step::Enter => "enter the new root".into(),
        Step::Keyring => "make a keyring".into(),
        Step::DropCapabilities => "drop capabilities".into(),
        Step::NoNewPrivileges => "set no_new_privs".into(),
        Step::Landlock { .. } => "enter a Landlock domain".into(),
        Step::Limit { resource, .. } => format!("set the limit {resource:?}"),
        Step::Seccomp { .. } => "install the system call filter".into(),
    }
}
