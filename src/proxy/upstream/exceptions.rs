//! `NO_PROXY`: what goes directly. Names with what lies beneath them, addresses, networks, `*`; each with an optional
//! port. As curl and Go read it, which agree but for a dot at the beginning: here, as in curl, it makes no difference.

use crate::policy::Name;
use crate::proxy::gate::Target;
use ipnet::IpNet;
use std::net::IpAddr;

/// The list.
#[derive(Debug, Clone, Default)]
pub(super) struct Exceptions(Vec<(Hosts, Option<u16>)>);

#[derive(Debug, Clone)]
enum Hosts {
    Any,
    Beneath(Name),
    Network(IpNet),
}

impl Exceptions {
    /// Reads the list. What can't be read means nothing.
    pub(super) fn parse(text: &str) -> Self {
        let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        Self(words.filter_map(entry).collect())
    }

    /// Whether a connection goes directly.
    pub(super) fn hold(&self, target: &Target) -> bool {
        self.0.iter().any(|(hosts, port)| {
            port.is_none_or(|port| port == target.port())
                && match (hosts, target) {
                    (Hosts::Any, _) => true,
                    (Hosts::Beneath(apex), Target::Name(name, _)) => name == apex || name.is_below(apex),
                    (Hosts::Network(network), Target::Address(address)) => {
                        network.contains(&address.ip().to_canonical())
                    }
                    (Hosts::Beneath(_), Target::Address(_)) | (Hosts::Network(_), Target::Name(..)) => false,
                }
        })
    }
}

fn entry(word: &str) -> Option<(Hosts, Option<u16>)> {
    if word == "*" {
        return Some((Hosts::Any, None));
    }
    if let Ok(network) = word.parse::<IpNet>() {
        return Some((Hosts::Network(network), None));
    }
    let (host, port) = match (word.parse::<IpAddr>(), word.rsplit_once(':')) {
        (Ok(_), _) | (_, None) => (word, None),
        (Err(_), Some((_, "]"))) => (word, None),
        (Err(_), Some((host, digits))) if !digits.ends_with(']') => (host, Some(digits.parse().ok()?)),
        (Err(_), Some(_)) => (word, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some((Hosts::Network(IpNet::from(address.to_canonical())), port));
    }
    let name = host
        .strip_prefix("*.")
        .or_else(|| host.strip_prefix('.'))
        .unwrap_or(host);
    Some((Hosts::Beneath(name.parse().ok()?), port))
}
