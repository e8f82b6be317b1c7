//! Ports that lead over the wall: a service of the host's that is reached from inside, and a server inside that is reached
//! from the host.

use super::Origin;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// TCP ports inside that lead to aca itself wherever a program sends to: nothing else is reached at them.
pub const OWN_PORTS: [u16; 2] = [53, 15001];

/// A service on the host's loopback, and the port that it has on the loopback inside: `P`, or `P:Q` with Q on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// The port on `127.0.0.1` and `::1` inside.
    pub inside: u16,
    /// The port on `127.0.0.1`, or else `::1`, of the host.
    pub host: u16,
}

/// A server inside, and where the host reaches it: `P`, `P:Q` with Q inside, `:Q` for any free port of the host, each
/// with an address of the host before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The address of the host that is listened on; `None` is its loopback, of both families.
    pub address: Option<IpAddr>,
    /// The port of the host; `None` is any free one.
    pub host: Option<u16>,
    /// The port on `127.0.0.1`, or else `::1`, inside.
    pub inside: u16,
}

/// Which way a port leads over the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortKind {
    /// From inside to a service of the host's.
    HostPort,
    /// From the host to a server inside.
    Published,
}

/// A service of the host's that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPortRule {
    /// Which.
    pub port: HostPort,
    /// Where it was written.
    pub origin: Origin,
}

/// A server inside that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRule {
    /// Which, and where.
    pub port: Published,
    /// Where it was written.
    pub origin: Origin,
}

/// Why a text is no such port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not the form.
    #[error("`{text}` is not {form}")]
    Form {
        /// As written.
        text: String,
        /// What would be.
        form: &'static str,
    },
    /// A port that aca has inside.
    #[error("port {0} inside is aca's own: connections to it never reach anything else")]
    Own(u16),
}

const HOST_FORM: &str = "a port from 1 to 65535, or `INSIDE:HOST`, such as `5433:5432`";
const PUBLISH_FORM: &str = "a port from 1 to 65535, `HOST:INSIDE` such as `8080:80`, or `:INSIDE` for any free port of the host; an address of the host may stand before `HOST:`";

impl HostPort {
    /// Whether the two are in each other's way.
    #[must_use]
    pub const fn clashes(self, other: Self) -> bool {
        self.inside == other.inside
    }
}

impl Published {
    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self.address {
            Some(address) => vec![address],
            None => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }

    /// Whether the later of the two stands for both: they would listen at the same place, or are the same.
    #[must_use]
    pub fn clashes(self, other: Self) -> bool {
        self == other || self.address == other.address && self.host.is_some() && self.host == other.host
    }

    /// Whether others than the host's own programs may get at it.
    #[must_use]
    pub fn leaves_the_host(&self) -> bool {
        self.address.is_some_and(|address| !address.is_loopback())
    }
}

impl FromStr for HostPort {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (inside, host) = text.split_once(':').unwrap_or((text, text));
        match (number(inside), number(host)) {
            (Some(inside), Some(host)) => Ok(Self {
                inside: not_own(inside)?,
                host,
            }),
            _ => Err(PortError::Form {
                text: text.to_owned(),
                form: HOST_FORM,
            }),
        }
    }
}

impl FromStr for Published {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let wrong = || PortError::Form {
            text: text.to_owned(),
            form: PUBLISH_FORM,
        };
        let Some((before, inside)) = text.rsplit_once(':') else {
            let port = number(text).ok_or_else(wrong)?;
            return Ok(Self {
                address: None,
                host: Some(port),
                inside: not_own(port)?,
            });
        };
        let inside = number(inside).ok_or_else(wrong)?;
        let (address, host) = match before.rsplit_once(':') {
            Some((address, host)) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .filter(|bare| bare.contains(':'));
                let address: IpAddr = match bare {
                    Some(bare) => bare.parse::<Ipv6Addr>().map_err(|_| wrong())?.into(),
                    None => address.parse::<Ipv4Addr>().map_err(|_| wrong())?.into(),
                };
                (Some(address), host)
            }
            None => (None, before),
        };
        let host = match host {
            "" | "0" => None,
            digits => Some(number(digits).ok_or_else(wrong)?),
        };
        Ok(Self {
            address,
            host,
            inside: not_own(inside)?,
        })
    }
}

fn number(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|port| *port > 0)
}

fn not_own(port: u16) -> Result<u16, PortError> {
    if OWN_PORTS.contains(&port) {
        return Err(PortError::Own(port));
    }
    Ok(port)
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside == self.host {
            write!(formatter, "{}", self.host)
        } else {
            write!(formatter, "{}:{}", self.inside, self.host)
        }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            None if self.host == Some(self.inside) => return write!(formatter, "{}", self.inside),
            None => {}
        }
        if let Some(host) = self.host {
            write!(formatter, "{host}")?;
        }
        write!(formatter, ":{}", self.inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_of_host_ports() {
        for (text, inside, host) in [("5432", 5432, 5432), ("5433:5432", 5433, 5432), ("80:53", 80, 53)] {
            let port: HostPort = text.parse().unwrap();
            assert_eq!((port.inside, port.host), (inside, host));
            assert_eq!(port.to_string(), text);
        }
        for text in [
            "",
            "0",
            "65536",
            "+1",
            " 1",
            "1:",
            ":1",
            "1:0",
            "1:2:3",
            "localhost:1",
            "53",
            "15001:80",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn forms_of_published_ports() {
        for (text, address, host, inside) in [
            ("3000", None, Some(3000), 3000),
            ("8080:80", None, Some(8080), 80),
            (":80", None, None, 80),
            ("0.0.0.0:8080:80", Some("0.0.0.0"), Some(8080), 80),
            ("192.0.2.7::80", Some("192.0.2.7"), None, 80),
            ("[::1]:53:80", Some("::1"), Some(53), 80),
        ] {
            let port: Published = text.parse().unwrap();
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!((port.address, port.host, port.inside), (address, host, inside));
            assert_eq!(port.to_string(), text);
        }
        assert_eq!("0:80".parse::<Published>().unwrap().to_string(), ":80");
        for text in [
            "",
            "0",
            ":",
            "1:",
            ":0",
            "+1",
            "a:1:2",
            "::1:1:2",
            "[1.2.3.4]:1:2",
            "1.2.3.4",
            "1.2.3.4:1",
            "53",
            "80:15001",
        ] {
            assert!(text.parse::<Published>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9:.\\[\\]a-f+]{0,20}") {
            let _host = text.parse::<HostPort>();
            if let Ok(port) = text.parse::<Published>() {
                prop_assert_eq!(port.to_string().parse::<Published>(), Ok(port));
            }
        }
    }
}
