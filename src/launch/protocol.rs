//! What the supervisor and the stage tell each other. Version-less: both ends are the same file on disk.

use crate::presets::RunsWhen;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// To the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToStage {
    /// What to do; the bytes of a [`crate::plan::linux::StagePlan`] lie in the memory file that comes along, and behind it,
    /// where there is a network, the socket for [`SocketsWanted`], and where new names are looked after that for
    /// [`FromNames`] and the file by which runs take turns.
    Plan,
    /// The answer to [`FromStage::Stopped`], and what SIGCONT turns into: continue the program if it is stopped.
    Continue(Place),
    /// Send this signal to the program.
    Signal(i32, Reach),
}

/// Where the job is, as only the supervisor can tell: inside, process groups of the outside have no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// It has the terminal.
    Foreground,
    /// It doesn't.
    Background,
}

/// Which programs a signal is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Any.
    Always,
    /// One that has not been stopped yet: else it has had this stop signal itself.
    Unstopped,
    /// One that has left the supervisor's process group: the others had it from where it came from.
    OtherGroup,
}

/// From the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStage {
    /// Some of the network's sockets; the descriptors that come along have these roles, in order.
    Sockets(Vec<Role>),
    /// The network stands; with the last of its sockets.
    Network(Vec<Role>, NetworkOutcome),
    /// The view stands, and the first process is locked down; its mount namespace and the private home come along.
    Ready(Outcome),
    /// A step failed; nothing of the program ran.
    Failed(StageError),
    /// The program's process is under its filter; the seccomp listener comes along, where there is one.
    Filtered,
    /// The program could not be executed.
    NotExecuted(i32),
    /// The program is stopped by this signal. No other is sent until it is answered.
    Stopped(i32),
    /// The program that [`FromStage::Stopped`] told of runs again, whoever did it.
    Continued,
    /// The program ended.
    Ended(Ending),
}

/// From the program's process to the thread that makes names, and from that to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNames {
    /// The seccomp listener, which comes along; none where the kernel gave none.
    Listener,
    /// A call that the supervisor answers, by its own descriptor of the listener. A descriptor of the caller (pidfd_open(2))
    /// comes along where there is one.
    Call {
        /// Names the call to the kernel.
        id: u64,
        /// The number of the call.
        number: i32,
        /// Its arguments.
        args: [u64; 6],
    },
    /// A name was not made. A descriptor of the caller comes along where there is one.
    Refused {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        path: PathBuf,
        /// Why.
        why: String,
        /// When the host would run it.
        runs_when: Option<RunsWhen>,
        /// How many before this one were not told of.
        untold: u64,
    },
}

/// What a passed descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A listening TCP socket of the sandbox's network.
    Tcp,
    /// A UDP socket that gets DNS questions.
    Dns,
    /// A listening TCP socket on the loopback inside, at the port of a service of the host's.
    HostPort(u16),
    /// A netlink socket that tells of the sockets inside (sock_diag(7)); one for each who asks.
    Diagnosis,
}

/// To the first process, on a socket of its own: sockets of the sandbox's network are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsWanted {
    /// Given back with the answer.
    pub id: u64,
    /// Which.
    pub kind: SocketKind,
}

/// Which sockets of the sandbox's network are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketKind {
    /// TCP sockets that aren't connected yet: one for IPv4, and one for IPv6 where the kernel has it.
    Connecting,
    /// TCP sockets that listen at this port of the loopback: one for each family that there is.
    Listening(u16),
}

/// The first process's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsMade {
    /// Of what was wanted.
    pub id: u64,
    /// `None` when they come along, else the errno.
    pub errno: Option<i32>,
}

/// What the network came to on this kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkOutcome {
    /// Whether connections are redirected (else one listener a port).
    pub redirected: bool,
    /// What was lost, in words.
    pub lost: Vec<String>,
}

/// What the other best-effort protections came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Landlock's answer: `full`, `partial` or `none`.
    pub landlock: String,
    /// What was lost, in words.
    pub lost: Vec<String>,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By `exit(2)`.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
}

/// A kernel action that failed, told so that the supervisor can say it in the plan's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{action}: {call}: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct StageError {
    /// What was to be done, such as `bind /usr`.
    pub action: String,
    /// The call, such as `open_tree`.
    pub call: String,
    /// Its errno.
    pub errno: i32,
}
