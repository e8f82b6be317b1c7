//! What a gate asks about.

use super::{GitOperation, Host, Method, Name, RefChange, Repository, RequestPath, Scheme, path_text};
use crate::git::ref_name::RefName;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

/// One thing that a program inside tries.
///
/// Paths are those inside, absolute, and without symbolic links: whoever asks resolves them first, by what is seen
/// inside, since a rule is about what a link leads to and the host's links are not all there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Ask for the address of a name.
    Resolve {
        /// The name.
        name: Name,
    },
    /// Connect to a name (by its lease).
    Connect {
        /// The name that the lease stands for.
        name: Name,
        /// The port.
        port: u16,
    },
    /// Connect to an address that no name stands behind.
    ConnectAddress {
        /// The address, canonical.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// Send a request, over a connection that may be made.
    Request {
        /// Whom to.
        host: Host,
        /// The port.
        port: u16,
        /// In TLS or not.
        scheme: Scheme,
        /// The method.
        method: Method,
        /// The path.
        path: RequestPath,
    },
    /// Use a repository through the user's ssh.
    Git {
        /// What for.
        operation: GitOperation,
        /// Which.
        repository: Repository,
    },
    /// Change a ref of a repository.
    Push {
        /// Which repository.
        repository: Repository,
        /// Which ref.
        name: RefName,
        /// How.
        change: RefChange,
    },
    /// Read a file, or list a directory.
    Read {
        /// Which.
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    /// Create, change or remove a file or a directory.
    Write {
        /// Which.
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    /// Start a command.
    Execute {
        /// The program and its arguments.
        argv: Vec<OsString>,
    },
}

/// What the first bytes of a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A TLS ClientHello.
    Tls,
    /// HTTP/1.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// An SSH banner.
    Ssh,
    /// The client waits for the server, or speaks something else.
    Opaque,
}
