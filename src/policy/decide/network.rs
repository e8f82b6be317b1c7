//! Names, connections, addresses, requests.
//!
//! A rule that names requests lets a connection be made, on which each request is asked about. Among rules that somebody
//! wrote, allows add up. What is built in for a host (its preset, its agent, a fixed address) gives way to an allow of
//! requests to it, else that would say nothing.

use super::{Allow, Denied};
use crate::policy::{
    Change, Host, HostOptions, HostPattern, HostPort, HostPortRule, HostRule, Method, Name, NetworkPolicy,
    NetworkPreset, OWN_PORTS, Origin, RequestPath, ResolveOverride, Scheme,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
pub(super) enum Asked<'a> {
    /// The address of a name.
    Name(&'a Name),
    /// A connection to a name.
    Connection(&'a Name, u16),
    /// A connection to an address.
    Address(IpAddr, u16),
    /// A request.
    Request(&'a Host, u16, Scheme, &'a Method, &'a RequestPath),
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
            Self::Request(host, port, scheme, method, path) => {
                return HostPattern::of_request(host, *port, *scheme, method, path);
            }
        };
        text.parse().ok()
    }

    /// Where it goes; `None` for a name alone.
    fn place(&self) -> Option<(Host, u16)> {
        Some(match self {
            Self::Name(_) => return None,
            Self::Connection(name, port) => (Host::Name((*name).clone()), *port),
            Self::Address(address, port) => (Host::Address(*address), *port),
            Self::Request(host, port, ..) => ((*host).clone(), *port),
        })
    }
}

/// The rule that denies every connection to a host, by its name or its address; of a name that is an alias of the user's
/// none may be known.
pub(super) fn denying<'a>(network: &'a NetworkPolicy, host: &str, port: u16) -> Option<&'a HostRule> {
    let name = host.parse::<Name>().ok();
    let asked = match (host.parse::<IpAddr>(), &name) {
        (Ok(address), _) => Asked::Address(address.to_canonical(), port),
        (Err(_), Some(name)) => Asked::Connection(name, port),
        (Err(_), None) => return None,
    };
    let rules = network
        .rules
        .iter()
        .filter(|rule| !rule.allow && denies(rule, &asked));
    rules.min_by_key(|rule| (&rule.origin, &rule.pattern))
}

pub(super) fn decide(network: &NetworkPolicy, asked: &Asked<'_>) -> Result<Allow, Box<Denied>> {
    let denying: Vec<&HostRule> = network
        .rules
        .iter()
        .filter(|rule| !rule.allow && denies(rule, asked))
        .collect();
    let opened = opening(&denying, asked);
    let own = own_loopback(asked).filter(|_| denying.is_empty());
    if network.preset == NetworkPreset::None {
        return Err(Denied::new(
            None,
            preset(network),
            "the network is off",
            match own {
                Some(own) => own
                    .grantable()
                    .map(|port| Change::SwitchOnHostPort(NetworkPreset::Listed, port)),
                None => opened.map(|pattern| Change::SwitchOn(NetworkPreset::Agent, pattern)),
            },
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
    let concerning = concerning(network, asked);
    let place = asked.place();
    let gives_way = |rule: &HostRule| {
        matches!(rule.origin, Origin::BuiltIn(_))
            && place.as_ref().is_some_and(|(host, _)| {
                network
                    .rules
                    .iter()
                    .any(|other| takes_the_place(other, rule, host))
            })
    };
    if let Some(HostPortRule { port, origin }) = own.and_then(|own| network.host_port(own.0)) {
        return Ok(Allow {
            rule: Some(format!("host port {port}")),
            origin: origin.clone(),
            reason: "it leads to the service of the host's that was granted".into(),
            by_request: !concerning.is_empty() && matches!(asked, Asked::Connection(..) | Asked::Address(..)),
        });
    }
    if let Some(rule) = network
        .rules
        .iter()
        .filter(|rule| rule.allow && allows(rule, asked) && !gives_way(rule))
        .min_by_key(|rule| (rule.pattern.requests().is_some(), &rule.origin, &rule.pattern))
    {
        let for_some = rule.pattern.requests().is_some() || concerning.iter().any(|rule| !rule.allow);
        return Ok(Allow {
            rule: Some(rule.pattern.to_string()),
            origin: rule.origin.clone(),
            reason: "a rule allows it".into(),
            by_request: for_some && matches!(asked, Asked::Connection(..) | Asked::Address(..)),
        });
    }
    let fixed = network.resolve.iter().filter(|fixed| fixes(fixed, asked));
    if let Some(fixed) = fixed.min_by_key(|fixed| &fixed.origin)
        && !concerning.iter().any(|rule| rule.allow)
    {
        return Ok(Allow {
            rule: Some(format!("{} has a fixed address", fixed.name)),
            origin: fixed.origin.clone(),
            reason: "a fixed address is a grant by itself".into(),
            by_request: !concerning.is_empty() && matches!(asked, Asked::Connection(..)),
        });
    }
    let denied = Denied::new(
        None,
        preset(network),
        "no rule allows it",
        match own {
            Some(own) => own.grantable().map(Change::HostPort),
            None => opened.map(Change::Allow),
        },
    );
    // A yes to the host as a whole would pass over what rules say of its requests.
    let gave_way = |rule: &HostRule| rule.allow && allows(rule, asked) && gives_way(rule);
    Err(if concerning.is_empty() && !network.rules.iter().any(gave_way) {
        denied.unlisted()
    } else {
        denied
    })
}

/// What the rules that allow it say besides.
pub(super) fn options(network: &NetworkPolicy, asked: &Asked<'_>) -> HostOptions {
    let allowing = network
        .rules
        .iter()
        .filter(|rule| rule.allow && allows(rule, asked));
    allowing.fold(HostOptions::default(), |options, rule| options.or(rule.options))
}

/// A port of the loopback inside.
#[derive(Clone, Copy)]
struct OwnLoopback(u16);

impl OwnLoopback {
    /// The service of the host's with the same number.
    fn grantable(self) -> Option<HostPort> {
        let Self(port) = self;
        (!OWN_PORTS.contains(&port) && port != 0).then_some(HostPort {
            inside: port,
            host: port,
        })
    }
}

/// Whether a connection goes to the loopback inside, where only a grant leads on (RFC 6761 6.3).
fn own_loopback(asked: &Asked<'_>) -> Option<OwnLoopback> {
    match asked {
        Asked::Connection(name, port) if name.as_str() == "localhost" => Some(OwnLoopback(*port)),
        Asked::Address(IpAddr::V4(address), port) if *address == Ipv4Addr::LOCALHOST => {
            Some(OwnLoopback(*port))
        }
        Asked::Address(IpAddr::V6(address), port) if *address == Ipv6Addr::LOCALHOST => {
            Some(OwnLoopback(*port))
        }
        Asked::Name(_) | Asked::Connection(..) | Asked::Address(..) | Asked::Request(..) => None,
    }
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
        Asked::Connection(_, port) | Asked::Address(_, port) | Asked::Request(_, port, ..) => {
            Some(*port).filter(|port| !is_web(*port))
        }
    };
    let covers = |wide: &HostPattern| denying.iter().all(|rule| wide.covers_hosts(&rule.pattern));
    let wider = denying.iter().map(|rule| rule.pattern.for_port(port));
    std::iter::once(own).chain(wider).find(covers)
}

/// Whether an allow of requests says what is allowed of a host instead of what is built in: on every port, else there
/// would be another way in. `*` names no host: the agent's own stay as they are.
fn takes_the_place(rule: &HostRule, built_in: &HostRule, host: &Host) -> bool {
    let pattern = &rule.pattern;
    rule.allow
        && pattern.requests().is_some()
        && pattern.has_host(host)
        && (!pattern.is_any() || built_in.pattern.is_any())
}

/// The rules on requests that have a say about where it goes.
fn concerning<'a>(network: &'a NetworkPolicy, asked: &Asked<'_>) -> Vec<&'a HostRule> {
    let Some((host, port)) = asked.place() else {
        return Vec::new();
    };
    let rules = network.rules.iter();
    rules.filter(|rule| rule.pattern.concerns(&host, port)).collect()
}

fn allows(rule: &HostRule, asked: &Asked<'_>) -> bool {
    match asked {
        // To allow everything is to allow what is public: a name of one network must be written out.
        Asked::Name(name) | Asked::Connection(name, _)
            if rule.pattern.is_any() && name.is_of_one_network() =>
        {
            false
        }
        Asked::Request(Host::Name(name), ..) if rule.pattern.is_any() && name.is_of_one_network() => false,
        Asked::Name(name) => rule.pattern.has_name(name),
        Asked::Connection(name, port) => rule.pattern.matches_name(name, *port, false),
        Asked::Address(address, port) => rule.pattern.matches_address(*address, *port, false),
        Asked::Request(host, port, scheme, method, path) => {
            let requests = rule.pattern.requests();
            is_at(rule, host, *port, false) && requests.is_none_or(|own| own.allow(*scheme, method, path))
        }
    }
}

fn denies(rule: &HostRule, asked: &Asked<'_>) -> bool {
    // Some requests of a host are denied: the others must get there.
    match (asked, rule.pattern.requests()) {
        // A deny of one port must not take the name away for the others.
        (Asked::Name(name), None) => rule.pattern.has_name(name) && rule.pattern.listed_port().is_none(),
        (Asked::Connection(name, port), None) => rule.pattern.matches_name(name, *port, true),
        (Asked::Address(address, port), None) => rule.pattern.matches_address(*address, *port, true),
        (Asked::Request(host, port, ..), None) => is_at(rule, host, *port, true),
        (Asked::Request(host, port, _, method, path), Some(own)) => {
            rule.pattern.concerns(host, *port) && own.deny(method, path)
        }
        (Asked::Name(_) | Asked::Connection(..) | Asked::Address(..), Some(_)) => false,
    }
}

fn is_at(rule: &HostRule, host: &Host, port: u16, any_port: bool) -> bool {
    match host {
        Host::Name(name) => rule.pattern.matches_name(name, port, any_port),
        Host::Address(address) => rule.pattern.matches_address(*address, port, any_port),
    }
}

/// A fixed answer is a grant by itself: for its own name, on the web ports, or on the port that it maps to.
fn fixes(fixed: &ResolveOverride, asked: &Asked<'_>) -> bool {
    let is = |name: &Name, port| *name == fixed.name && (is_web(port) || fixed.port == Some(port));
    match asked {
        Asked::Name(name) => **name == fixed.name,
        Asked::Connection(name, port) => is(name, *port),
        Asked::Request(Host::Name(name), port, ..) => is(name, *port),
        Asked::Address(..) | Asked::Request(Host::Address(_), ..) => false,
    }
}

const fn is_web(port: u16) -> bool {
    matches!(port, 80 | 443)
}
