//! What a gate asks about.

use super::Name;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One thing that a program inside tries.
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
