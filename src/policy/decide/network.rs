//! Names, connections, addresses.

use super::{Allow, Denied};
use crate::policy::{
    Change, HostOptions, HostPattern, HostRule, Name, NetworkPolicy, NetworkPreset, Origin, ResolveOverride,
};
use std::net::IpAddr;

/// What is asked for.
pub(super) enum Asked<'a> {
    /// The address of a name.
    Name(&'a Name),
    /// A connection to a name.
    Connection(&'a Name, u16),
    /// A connection to an address.
    Address(IpAddr, u16),
}

impl Asked<'_> {
    /// The pattern that means this and nothing else; `None` for port 0, which nobody can mean.
    fn pattern(&self) -> Option<HostPattern> {
        let text = match self {
            Self::Name(name) => name.to_string(),
            Self::Connection(name, port) if is_web(*port) => name.to_string(),
            Self::Connection(name, port) => format!("{name}:{port}"),
            Self::Address(address, port) if address.is_ipv6() => format!("[{address}]:{port}"),
            Self::Address(address, port) => format!("{address}:{port}"),
        };
        text.parse().ok()
    }
}

pub(super) fn decide(network: &NetworkPolicy, asked: &Asked<'_>) -> Result<Allow, Box<Denied>> {
    let denying: Vec<&HostRule> = network
        .rules
        .iter()
        .filter(|rule| !rule.allow && hits(rule, asked))
        .collect();
    let opened = opening(&denying, asked);
    if network.preset == NetworkPreset::None {
        return Err(Denied::new(
            None,
            preset(network),
            "the network is off",
            opened.map(|pattern| Change::SwitchOn(NetworkPreset::Agent, pattern)),
        ));
    }
    if let Some(rule) = denying
        .iter()
        .min_by_key(|rule| (rule.quiet, &rule.origin, &rule.pattern))
    {
        let denied = Denied::new(
            Some(rule.pattern.to_string()),
            rule.origin.clone(),
            "denied by a rule",
            opened.map(Change::Allow),
        );
        return Err(denied.quiet(rule.quiet));
    }
    if let Some(rule) = network
        .rules
        .iter()
        .filter(|rule| rule.allow && hits(rule, asked))
        .min_by_key(|rule| (&rule.origin, &rule.pattern))
    {
        return Ok(Allow {
            rule: Some(rule.pattern.to_string()),
            origin: rule.origin.clone(),
            reason: "a rule allows it".into(),
        });
    }
    let fixed = network.resolve.iter().filter(|fixed| fixes(fixed, asked));
    if let Some(fixed) = fixed.min_by_key(|fixed| &fixed.origin) {
        return Ok(Allow {
            rule: Some(format!("{} has a fixed address", fixed.name)),
            origin: fixed.origin.clone(),
            reason: "a fixed address is a grant by itself".into(),
        });
    }
    Err(Denied::new(
        None,
        preset(network),
        "no rule allows it",
        opened.map(Change::Allow),
    ))
}

/// What the rules that allow it say besides.
pub(super) fn options(network: &NetworkPolicy, asked: &Asked<'_>) -> HostOptions {
    let allowing = network
        .rules
        .iter()
        .filter(|rule| rule.allow && hits(rule, asked));
    allowing.fold(HostOptions::default(), |options, rule| options.or(rule.options))
}

fn preset(network: &NetworkPolicy) -> Origin {
    Origin::BuiltIn(format!("network preset {}", network.preset.word()))
}

/// What allows it. A deny of the user's must go instead; one that is built in gives way to an allow that covers it.
fn opening(denying: &[&HostRule], asked: &Asked<'_>) -> Option<HostPattern> {
    let own = asked.pattern()?;
    if denying.iter().any(|rule| !rule.quiet) {
        return None;
    }
    let port = match asked {
        Asked::Name(_) => None,
        Asked::Connection(_, port) | Asked::Address(_, port) => Some(*port).filter(|port| !is_web(*port)),
    };
    let covers = |wide: &HostPattern| denying.iter().all(|rule| wide.covers_hosts(&rule.pattern));
    let wider = denying.iter().map(|rule| rule.pattern.for_port(port));
    std::iter::once(own).chain(wider).find(covers)
}

fn hits(rule: &HostRule, asked: &Asked<'_>) -> bool {
    let any_port = !rule.allow;
    match asked {
        // To allow everything is to allow what is public: a name of one network must be written out.
        Asked::Name(name) | Asked::Connection(name, _)
            if rule.allow && rule.pattern.is_any() && name.is_of_one_network() =>
        {
            false
        }
        // A deny of one port must not take the name away for the others.
        Asked::Name(name) => {
            rule.pattern.has_name(name) && (rule.allow || rule.pattern.listed_port().is_none())
        }
        Asked::Connection(name, port) => rule.pattern.matches_name(name, *port, any_port),
        Asked::Address(address, port) => rule.pattern.matches_address(*address, *port, any_port),
    }
}

/// A fixed answer is a grant by itself: for its own name, on the web ports, or on the port that it maps to.
fn fixes(fixed: &ResolveOverride, asked: &Asked<'_>) -> bool {
    match asked {
        Asked::Name(name) => **name == fixed.name,
        Asked::Connection(name, port) => **name == fixed.name && (is_web(*port) || fixed.port == Some(*port)),
        Asked::Address(..) => false,
    }
}

const fn is_web(port: u16) -> bool {
    matches!(port, 80 | 443)
}
