//! The plan as kernel actions, in order: what the stage executes one by one.
//!
//! Pure data, compiled and tested on every system. One variant is one action, so that what will happen can be printed,
//! compared in a snapshot and reviewed; the executor is one `match` (`launch::linux::step`).

use super::{Closed, Entry, Identity, Kind, Plan, View};
use crate::policy::{Capture, Grant, NetworkPreset, NewNames};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Port inside to which all TCP is redirected.
pub const CAPTURE_PORT: u16 = 15001;
/// Port inside to which DNS questions are redirected.
pub const DNS_PORT: u16 = 15053;
/// The addresses of `lo` beside its own: those of the proxies inside.
pub const OWN_ADDRESSES: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(198, 18, 255, 254),
    Ipv6Addr::new(0xfd61, 0x6361, 0, 0, 0, 0, 0, 1),
);
/// Ports of the proxies inside: those that squid and most SOCKS servers have.
pub const PROXY_PORTS: [u16; 2] = [3128, 1080];

/// Port there at which git's ssh is taken, and the program inside that git starts for ssh.
pub const SSH_PORT: u16 = 22;
/// See [`SSH_PORT`]: a copy of aca, read-only.
pub const SSH_PROGRAM: &str = "/.aca/ssh";

/// Devices in `/dev` that hold no state and reach nothing.
pub const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev` that programs expect.
pub const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// All that the stage needs; it reads nothing else.
///
/// Two processes share the work, since both halves take about as long: the first one builds the view, the one that
/// becomes the program sets the network up and goes under its filter meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePlan {
    /// The network, with the capabilities of the new user namespace; done by the process that becomes the program.
    pub network: Vec<Step>,
    /// Names and mounts; done by the first process.
    pub view: Vec<Step>,
    /// What each of the two then gives up.
    pub lockdown: Vec<Step>,
    /// Limits and filters of the program.
    pub program_only: Vec<Step>,
    /// The program's Landlock domain, which names paths of the finished view.
    pub wall: Vec<Step>,
    /// The first process's: it has to signal the program, which is in a domain of its own.
    pub first_wall: Vec<Step>,
    /// What to execute.
    pub program: Program,
    /// Names that are not to be made; `None` where none is looked after.
    pub names: Option<NewNames>,
}

impl StagePlan {
    /// Whether sockets of the network are served.
    #[must_use]
    pub fn has_network(&self) -> bool {
        self.network
            .iter()
            .any(|step| matches!(step, Step::Listen { .. }))
    }
}

/// The program inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Arguments, the command first; looked up in the `PATH` of `environment` when it holds no slash.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=VALUE` each.
    pub environment: Vec<Vec<u8>>,
    /// Working directory inside.
    #[serde(with = "crate::policy::path_text")]
    pub directory: PathBuf,
}

/// One kernel action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// sethostname(2).
    Hostname(String),
    /// Loopback up, and addresses on it so that `getaddrinfo` with `AI_ADDRCONFIG` answers for both families.
    Loopback,
    /// `local 0.0.0.0/0` and `local ::/0` on loopback: every address is this machine.
    CatchAllRoutes,
    /// nf_tables `redirect` of all TCP and of DNS; with `must`, failing is an error, else the outcome says so.
    Redirect {
        /// Whether the policy insists.
        must: bool,
    },
    /// The listeners for the capture that came about; `ports` are the listeners of the fallback.
    Listen {
        /// Ports for the fallback without redirect.
        ports: Vec<u16>,
        /// Ports of the loopback inside that lead to services of the host's.
        host_ports: Vec<u16>,
        /// Whether a redirect was asked for.
        redirect: bool,
    },
    /// Writes a kernel setting of the own network namespace.
    Setting {
        /// Path below `/proc/sys`.
        path: String,
        /// What to write.
        value: String,
    },
    /// Leaves half of the user's inotify watches to programs outside, the watch of the project among them.
    ShareWatches,
    /// Makes all mounts private, and a small tmpfs that becomes the new root.
    NewRoot,
    /// A directory in the new root.
    Directory {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link in the new root.
    Link {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What it holds.
        #[serde(with = "crate::policy::path_text")]
        target: PathBuf,
    },
    /// A new file in the new root.
    File {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What it holds.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A tmpfs with a size.
    Scratch {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// Bytes that it may hold.
        size_bytes: u64,
        /// Permission bits of its root.
        mode: u32,
    },
    /// Part of the host's tree, by descriptor.
    Bind {
        /// On the host, without symbolic links.
        #[serde(with = "crate::policy::path_text")]
        source: PathBuf,
        /// Inside.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What may be done with it.
        access: BindAccess,
        /// File or directory.
        kind: Kind,
        /// What the source must still be.
        identity: Option<Identity>,
        /// What a source that is gone means.
        missing: Missing,
    },
    /// A generated file bound over one that exists in a read-only part; skipped where nothing is there to cover.
    Cover {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What is seen instead.
        content: Vec<u8>,
        /// Whether it may be written.
        writable: bool,
    },
    /// An unreadable file or directory bound over a secret.
    Mask {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// File or directory.
        kind: Kind,
    },
    /// A scratch space becomes read-only.
    Seal {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
    },
    /// `/proc` of the own pid namespace.
    Proc,
    /// What of `/proc` is the whole machine's becomes read-only.
    CloseProc(Closed),
    /// `/sys` of the own network namespace, read-only.
    Sys,
    /// `/dev` with the harmless devices, its own terminals and shared memory.
    Devices {
        /// Other device nodes that were granted.
        #[serde(with = "crate::policy::path_text::list")]
        granted: Vec<PathBuf>,
        /// Bytes that `/dev/shm` may hold.
        shared_memory_bytes: u64,
    },
    /// The user's own terminal under its own name.
    Terminal {
        /// Such as `/dev/pts/3`.
        #[serde(with = "crate::policy::path_text")]
        path: PathBuf,
        /// Its device number.
        device: u64,
    },
    /// Hands a directory of the new root to the supervisor.
    HandOut {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
    },
    /// The new root becomes read-only and the root; the old one is let go.
    Enter,
    /// A fresh session keyring.
    Keyring,
    /// Drops every capability from every set, and locks the secure bits.
    DropCapabilities,
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// A Landlock domain: writes only beneath these, no signals and no abstract sockets to the outside.
    Landlock {
        /// Where writing is allowed; empty leaves the file-system rules out.
        #[serde(with = "crate::policy::path_text::list")]
        writable: Vec<PathBuf>,
        /// Whether the file-system rules are there at all (a domain with them forbids mounts).
        files: bool,
        /// Which processes may be signalled.
        signals: Signals,
        /// Of those, where no name may be made: only where calls that make names are handed over.
        #[serde(with = "crate::policy::path_text::list")]
        held: Vec<PathBuf>,
    },
    /// setrlimit(2).
    Limit {
        /// Such as `NOFILE`.
        resource: Resource,
        /// Soft and hard limit.
        value: u64,
    },
    /// The filters, and the listener for what is reported.
    Seccomp {
        /// Which.
        choice: SeccompChoice,
    },
}

/// Whether a group of calls is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Refused: the default.
    Refused,
    /// Open by a grant.
    Granted,
}

impl Permission {
    fn from_grants(grants: &[Grant], grant: Grant) -> Self {
        if grants.contains(&grant) {
            Self::Granted
        } else {
            Self::Refused
        }
    }
}

/// What the supervisor sees, where the kernel gives a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// As `Starts`; and calls that make names are handed over to the sandbox's first process
    /// (`crate::launch::linux::names`).
    Names,
    /// Refused calls, and process starts: each `execve(2)` waits for the supervisor (`tests/bench/notify.rs` measures).
    Starts,
    /// Refused calls.
    Refusals,
    /// Nothing: the kernel answers everything.
    Nothing,
}

/// Whom a process in a Landlock domain may signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signals {
    /// Those in the same domain, and in domains beneath it.
    Domain,
    /// Whomever it can see and may.
    Any,
}

/// Which filter is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeccompChoice {
    /// New namespaces, and mounts in them.
    pub nested_userns: Permission,
    /// `io_uring`.
    pub io_uring: Permission,
    /// What the supervisor sees.
    pub observe: Observation,
}

impl SeccompChoice {
    /// The filter for a policy's grants.
    #[must_use]
    pub fn from_grants(grants: &[Grant], observe: Observation) -> Self {
        Self {
            nested_userns: Permission::from_grants(grants, Grant::NestedUserns),
            io_uring: Permission::from_grants(grants, Grant::IoUring),
            observe,
        }
    }
}

/// What may be done with what is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindAccess {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// It is written, and places for other mounts may be made in it: a store of aca's own.
    Own,
}

/// What a bind whose source is gone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// The run can't start.
    Error,
    /// Nothing to show or to protect.
    Skip,
}

/// A resource limit of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// Open descriptors.
    OpenFiles,
    /// Processes of the user in this user namespace.
    Processes,
    /// Bytes of one file.
    FileSize,
    /// Bytes of a core file.
    Core,
}

impl Plan {
    /// The plan as the stage executes it.
    #[must_use]
    pub fn stage(&self) -> StagePlan {
        let mut network = Vec::new();
        network_steps(self, &mut network);
        let mut view = vec![Step::Hostname("aca".into()), Step::NewRoot];
        view_steps(&self.view, self.network.preset != NetworkPreset::None, &mut view);
        view.push(Step::HandOut {
            at: self.home.clone(),
        });
        view.push(Step::Enter);
        let nested = self.grants.contains(&Grant::NestedUserns);
        let lockdown = vec![Step::Keyring, Step::DropCapabilities, Step::NoNewPrivileges];
        let mut program_only: Vec<Step> = self
            .limits
            .iter()
            .map(|(resource, value)| Step::Limit {
                resource: *resource,
                value: *value,
            })
            .collect();
        program_only.push(Step::Seccomp {
            choice: SeccompChoice::from_grants(&self.grants, self.observe),
        });
        let held = self.names.as_ref().map(|names| names.held.clone());
        let landlock = |signals, held| Step::Landlock {
            writable: self.view.writable(),
            files: !nested,
            signals,
            held,
        };
        StagePlan {
            network,
            view,
            lockdown,
            program_only,
            wall: vec![landlock(Signals::Domain, held.unwrap_or_default())],
            first_wall: vec![landlock(Signals::Any, Vec::new())],
            program: self.program.clone(),
            names: self.names.clone(),
        }
    }
}

fn network_steps(plan: &Plan, steps: &mut Vec<Step>) {
    if plan.network.preset == NetworkPreset::None {
        steps.push(Step::Loopback);
        return;
    }
    let redirect = plan.network.capture != Capture::Ports;
    steps.push(Step::Loopback);
    steps.push(Step::CatchAllRoutes);
    if redirect {
        steps.push(Step::Redirect {
            must: plan.network.capture == Capture::Redirect,
        });
    }
    steps.push(Step::Listen {
        ports: plan.network.ports.clone(),
        host_ports: plan
            .network
            .host_ports
            .iter()
            .map(|rule| rule.port.inside)
            .collect(),
        redirect,
    });
}

/// Settings of the own network namespace. Any port may be listened on in there, and `ping` of what is captured gets no
/// answer from loopback.
const SETTINGS: [(&str, &str); 2] = [
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/icmp_echo_ignore_all", "1"),
];

fn view_steps(view: &View, network: bool, steps: &mut Vec<Step>) {
    for entry in &view.entries {
        let step = match entry.clone() {
            Entry::Proc { closed } => {
                steps.push(Step::Proc);
                // Through the own `/proc`, which is there for certain, and before it is closed.
                let count = if network { SETTINGS.len() } else { 1 };
                steps.extend(SETTINGS.iter().take(count).map(|(path, value)| Step::Setting {
                    path: (*path).into(),
                    value: (*value).into(),
                }));
                steps.push(Step::ShareWatches);
                Step::CloseProc(closed)
            }
            Entry::Directory { at, mode } => Step::Directory { at, mode },
            Entry::Link { at, target } => Step::Link { at, target },
            Entry::File { at, content, mode } => Step::File { at, content, mode },
            Entry::Scratch {
                at, size_bytes, mode, ..
            } => Step::Scratch { at, size_bytes, mode },
            Entry::Show { source, at, kind, .. } => Step::Bind {
                source,
                at,
                access: BindAccess::Read,
                kind,
                identity: None,
                missing: Missing::Skip,
            },
            Entry::Grant {
                source,
                at,
                kind,
                identity,
                own,
                ..
            } => Step::Bind {
                source,
                at,
                access: if own { BindAccess::Own } else { BindAccess::Write },
                kind,
                identity,
                missing: Missing::Error,
            },
            Entry::Protect { at, kind, .. } => Step::Bind {
                source: at.clone(),
                at,
                access: BindAccess::Read,
                kind,
                identity: None,
                missing: Missing::Skip,
            },
            Entry::Pin { at } => Step::Bind {
                source: at.clone(),
                at,
                access: BindAccess::Write,
                kind: Kind::Directory,
                identity: None,
                missing: Missing::Skip,
            },
            Entry::Cover {
                at,
                content,
                writable,
                ..
            } => Step::Cover {
                at,
                content,
                writable,
            },
            Entry::Mask { at, kind, .. } => Step::Mask { at, kind },
            Entry::Seal { at } => Step::Seal { at },
            Entry::Sys => Step::Sys,
            Entry::Devices {
                granted,
                shared_memory_bytes,
            } => Step::Devices {
                granted,
                shared_memory_bytes,
            },
            Entry::Terminal { path, device } => Step::Terminal { path, device },
        };
        steps.push(step);
    }
}
