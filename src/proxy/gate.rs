//! The judgement of a connection: first by where it goes, then by what its first bytes say.
//!
//! What is inside of TLS isn't seen. So the server name of the first ClientHello is held against the name that was
//! asked for; a server that, on a connection opened for one name, also serves another that is named within (an HTTP
//! host, a second ClientHello) is a way there that only an interception could close. On a port that a rule names, other
//! protocols than TLS and HTTP/1 pass, since they name no host.

use super::asks::{Outcome, Question};
use super::first_bytes::Spoken;
use super::http::Request;
use super::judge::Judge;
use super::record::Record;
use super::{Proxy, lease};
use crate::policy::{Action, Deny, Host, Name, Origin, Sni, Verdict};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// What a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A name, by its lease.
    Name(Name, u16),
    /// An address that a rule writes out.
    Address(SocketAddr),
}

impl Target {
    /// The dialled port.
    pub(super) const fn port(&self) -> u16 {
        match self {
            Self::Name(_, port) => *port,
            Self::Address(address) => address.port(),
        }
    }

    /// The name, where it is one.
    pub(super) const fn name(&self) -> Option<&Name> {
        match self {
            Self::Name(name, _) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// What the policy is asked.
    pub(super) fn action(&self) -> Action {
        match self {
            Self::Name(name, port) => Action::Connect {
                name: name.clone(),
                port: *port,
            },
            Self::Address(address) => Action::ConnectAddress {
                address: address.ip().to_canonical(),
                port: address.port(),
            },
        }
    }

    /// Whether a host that was sent means this target.
    pub(super) fn is(&self, host: &str) -> bool {
        match self {
            Self::Name(name, _) => host.parse::<Name>().is_ok_and(|host| host == *name),
            Self::Address(address) => host
                .parse::<IpAddr>()
                .is_ok_and(|host| host.to_canonical() == address.ip().to_canonical()),
        }
    }
}

/// A target that the policy allows, with what it says besides.
pub(super) struct Judged {
    /// Where to.
    pub(super) target: Target,
    /// What the server name in TLS must be.
    pub(super) sni: Sni,
    /// Who is asked about each request; `None` where all that is spoken may pass.
    pub(super) judge: Option<Judge>,
    /// The address that was dialled inside, where that is one that the name has outside.
    pub(super) at: Option<SocketAddr>,
}

/// What a connection may mean: one target, or several where names share a real address.
pub(super) struct Candidates {
    /// The first.
    pub(super) judged: Judged,
    /// The others that are allowed.
    others: Vec<Judged>,
    /// Whether every name of the address is allowed at the port, with all that may be spoken.
    whole: bool,
}

impl Candidates {
    /// Whether the client speaks first: where requests are judged it must.
    pub(super) fn is_web(&self) -> bool {
        is_web(self.judged.target.port())
            || self.judged.judge.is_some()
            || self.others.iter().any(|judged| judged.judge.is_some())
    }

    /// Whether what is spoken decides where it goes.
    pub(super) fn several(&self) -> bool {
        !self.others.is_empty()
    }

    /// The one that what is spoken fits. A name that is sent says which; what sends none may go on where every name of
    /// the address may be reached at the port.
    pub(super) fn settle(self, spoken: &Spoken, proxy: &Proxy, record: &mut Record) -> Result<Judged, Deny> {
        let first = fits(&self.judged, spoken);
        if self.others.is_empty() && self.whole {
            return first.map(|()| self.judged);
        }
        let names_one = match spoken {
            Spoken::Tls {
                server_name,
                encrypted,
            } => server_name.is_some() && !encrypted,
            Spoken::Http(_) | Spoken::Ended => true,
            Spoken::Http2 | Spoken::Ssh | Spoken::Other | Spoken::Undecided | Spoken::Wrong(..) => false,
        };
        if !names_one && !self.whole {
            first?;
            return Err(refusal(
                "another name of this address may not be reached here, and what is spoken names none",
            ));
        }
        let mut all: Vec<Judged> = self.others;
        all.insert(0, self.judged);
        all.retain(|judged| fits(judged, spoken).is_ok());
        // One that must be named before one for which any name will do.
        let Some(judged) = all.into_iter().min_by_key(|judged| judged.sni) else {
            first?;
            return Err(refusal("what is spoken fits no name of this address"));
        };
        let at = judged.at;
        record.name = judged.target.name().cloned();
        Ok(Judged {
            at,
            ..proxy.admit(judged.target, record)?
        })
    }
}

impl From<Judged> for Candidates {
    fn from(judged: Judged) -> Self {
        Self {
            judged,
            others: Vec::new(),
            whole: true,
        }
    }
}

impl Judged {
    /// As if a rule without options allowed it.
    pub(super) const fn strict(target: Target) -> Self {
        Self {
            target,
            sni: Sni::Required,
            judge: None,
            at: None,
        }
    }
}

/// Whether the client of this port speaks first, and in TLS or HTTP.
pub(super) const fn is_web(port: u16) -> bool {
    matches!(port, 80 | 443)
}

impl Proxy {
    /// What a connection to an address may mean. Enters it, as the first that is allowed.
    pub(super) fn candidates(&self, going: SocketAddr, record: &mut Record) -> Result<Candidates, Deny> {
        let names = self.real().names_of(going.ip()).to_vec();
        if names.is_empty() {
            let target = self.target(going)?;
            record.name = target.name().cloned();
            return self.admit(target, record).map(Candidates::from);
        }
        let going = SocketAddr::new(going.ip().to_canonical(), going.port());
        record.name = names.first().cloned();
        let policy = self.live.current();
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        let targets = names.into_iter().map(|name| Target::Name(name, going.port()));
        for target in targets.chain([Target::Address(going)]) {
            let action = target.action();
            let is_name = target.name().is_some();
            match policy.decide(&action) {
                Verdict::Allow(allow) => allowed.push(Judged {
                    sni: policy.options(&action).sni,
                    judge: allow.by_request.then(|| self.judge(&target)),
                    at: is_name.then_some(going),
                    target,
                }),
                Verdict::Deny(deny) if is_name => denied.push(deny),
                // Nobody wrote the address out.
                Verdict::Deny(_) => {}
            }
        }
        // What a rule writes out is meant with all that is there.
        let is_free = |judged: &Judged| judged.judge.is_none();
        let written_out = |judged: &Judged| judged.target.name().is_none() && is_free(judged);
        let whole = denied.is_empty() && allowed.iter().all(is_free) || allowed.iter().any(written_out);
        if allowed.is_empty() {
            let none = || refusal("no name of this address may be reached here");
            return Err(denied.into_iter().next().unwrap_or_else(none));
        }
        let judged = allowed.remove(0);
        record.name = judged.target.name().cloned();
        let at = judged.at;
        let judged = Judged {
            at,
            ..self.admit(judged.target, record)?
        };
        Ok(Candidates {
            judged,
            others: allowed,
            whole,
        })
    }

    /// What stands behind an address; an unleased one of the pool is nothing.
    fn target(&self, going: SocketAddr) -> Result<Target, Deny> {
        let address = going.ip().to_canonical();
        if let Some(name) = self.leases().connected(address, Instant::now()) {
            return Ok(Target::Name(name.clone(), going.port()));
        }
        if let Some(reason) = unreachable(address) {
            return Err(refusal(reason));
        }
        Ok(Target::Address((address, going.port()).into()))
    }

    /// What a host may mean that was asked of one of the proxies inside. Enters it, as the first that is allowed.
    pub(super) fn candidates_of(
        &self,
        host: &str,
        port: u16,
        record: &mut Record,
    ) -> Result<Candidates, Deny> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.candidates((address, port).into(), record);
        }
        match host.parse::<Name>() {
            Ok(name) => {
                record.name = Some(name.clone());
                self.admit(Target::Name(name, port), record).map(Candidates::from)
            }
            Err(why) => Err(refusal(&format!("what was asked for is no host name: {why}"))),
        }
    }

    /// Enters the connection where the policy lets it go there.
    pub(super) fn admit(&self, target: Target, record: &mut Record) -> Result<Judged, Deny> {
        let action = target.action();
        let sni = self.live.current().options(&action).sni;
        let ticket = self.live.admit(action)?;
        let judge = ticket.is_by_request().then(|| self.judge(&target));
        record.ticket = Some(ticket);
        Ok(Judged {
            target,
            sni,
            judge,
            at: None,
        })
    }

    fn judge(&self, target: &Target) -> Judge {
        let host = match target {
            Target::Name(name, _) => Host::Name(name.clone()),
            Target::Address(address) => Host::Address(address.ip().to_canonical()),
        };
        Judge::new(self, host, target.port())
    }

    /// What a connection to an address could be held for, where it was denied for want of a rule.
    pub(super) fn holdable(&self, going: SocketAddr) -> Option<Target> {
        // A real address that was told is one of names that rules allow.
        if !self.real().names_of(going.ip()).is_empty() {
            return None;
        }
        self.target(going).ok().filter(|target| self.may_hold(target))
    }

    /// The same for a host that was asked of one of the proxies inside.
    pub(super) fn holdable_of(&self, host: &str, port: u16) -> Option<Target> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.holdable((address, port).into());
        }
        let target = Target::Name(host.parse().ok()?, port);
        self.may_hold(&target).then_some(target)
    }

    /// Whether somebody may be asked about it. What can't be reached by its number alone, as a cloud's metadata service,
    /// needs a rule; a name of one label is none that the internet has.
    fn may_hold(&self, target: &Target) -> bool {
        let is_fit = match target {
            Target::Name(name, port) => !name.is_single_label() && *port > 0,
            Target::Address(address) => address.port() > 0 && super::refused_address(address.ip()).is_none(),
        };
        is_fit && self.live.asks_about(&target.action())
    }

    /// Holds the connection until somebody says whether it may go there. `deny` is what holds without an answer.
    pub(super) async fn hold(&self, target: Target, deny: Deny, record: &mut Record) -> Result<Judged, Deny> {
        let question = match &target {
            Target::Name(name, port) => Question {
                host: name.to_string(),
                port: *port,
            },
            Target::Address(address) => Question {
                host: address.ip().to_canonical().to_string(),
                port: address.port(),
            },
        };
        let host = question.to_string().parse().ok();
        let because = |why: &str| {
            let reason = format!("{}, and {why}", deny.reason).into();
            Deny {
                reason,
                ..deny.clone()
            }
        };
        if self.live.asks().is_heard() {
            record.who.wait().await;
        }
        match self.live.hold(question, record.who.known()).await {
            Outcome::Once => match self.admit(target.clone(), record) {
                Ok(judged) => Ok(judged),
                Err(deny) => {
                    let ticket = host.and_then(|host| self.live.admit_once(&target.action(), host));
                    record.ticket = Some(ticket.ok_or(deny)?);
                    Ok(Judged::strict(target))
                }
            },
            Outcome::Rules => self.admit(target, record),
            Outcome::Late => Err(because("nobody answered in time")),
            Outcome::NotAsked(why) => Err(because(why)),
        }
    }
}

/// Why nothing of the host's or of the network's is behind an address without a lease.
pub(super) fn unreachable(address: IpAddr) -> Option<&'static str> {
    if lease::is_synthetic(address) {
        Some("no name was asked for that has this address")
    } else if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        Some("it was not going anywhere: the sandbox's own address")
    } else {
        None
    }
}

/// Whether what is spoken fits the target: a name that was asked for must be the one that is meant, and there must be
/// requests where these are judged.
pub(super) fn fits(judged: &Judged, spoken: &Spoken) -> Result<(), Deny> {
    means(judged, spoken)?;
    match spoken {
        _ if judged.judge.is_none() => Ok(()),
        Spoken::Http(_) | Spoken::Tls { .. } | Spoken::Ended => Ok(()),
        Spoken::Http2 | Spoken::Ssh | Spoken::Other | Spoken::Undecided | Spoken::Wrong(..) => Err(refusal(
            "only some requests are allowed there, and this is neither HTTP/1 nor TLS",
        )),
    }
}

fn means(judged: &Judged, spoken: &Spoken) -> Result<(), Deny> {
    let target = &judged.target;
    match spoken {
        Spoken::Tls { .. } if judged.sni == Sni::Any && judged.judge.is_none() => Ok(()),
        Spoken::Tls { encrypted: true, .. } => Err(refusal(
            "the server name is encrypted (ECH), so it can't be checked",
        )),
        Spoken::Tls {
            server_name: Some(sent),
            ..
        } => {
            let meant = std::str::from_utf8(sent).is_ok_and(|sent| target.is(sent));
            if meant {
                Ok(())
            } else {
                Err(mismatch(
                    "TLS server name",
                    &String::from_utf8_lossy(sent),
                    target,
                ))
            }
        }
        // No name is sent for an address (RFC 6066 3).
        Spoken::Tls {
            server_name: None, ..
        } if matches!(target, Target::Address(_)) => Ok(()),
        Spoken::Tls {
            server_name: None, ..
        } if is_web(target.port()) && judged.sni == Sni::Required => {
            Err(refusal("TLS without a server name, so it can't be checked"))
        }
        Spoken::Tls {
            server_name: None, ..
        } => Ok(()),
        // Git hosts offer it for networks that let nothing else out.
        Spoken::Ssh if target.port() == 443 => Ok(()),
        Spoken::Http(_) | Spoken::Http2 | Spoken::Other | Spoken::Undecided if target.port() == 443 => {
            Err(refusal("no TLS on port 443"))
        }
        Spoken::Http(request) => request_fits(target, request),
        Spoken::Http2 | Spoken::Ssh | Spoken::Other | Spoken::Undecided if is_web(target.port()) => Err(
            refusal("neither HTTP/1 nor TLS on port 80, so the host can't be checked"),
        ),
        // A port that a rule names is trusted as a whole: mail, databases and the like name no host.
        Spoken::Http2 | Spoken::Ssh | Spoken::Other | Spoken::Undecided | Spoken::Ended => Ok(()),
        Spoken::Wrong(_, why) => Err(refusal(&format!("its first bytes can't be understood: {why}"))),
    }
}

/// Whether a request is for the target.
pub(super) fn request_fits(target: &Target, request: &Request) -> Result<(), Deny> {
    if request.connect.is_some() {
        return Err(refusal("CONNECT asks for a tunnel to another host"));
    }
    let absolute = request.absolute.as_ref().map(|absolute| &absolute.authority.host);
    match [Some(&request.host), absolute]
        .into_iter()
        .flatten()
        .find(|host| !target.is(host))
    {
        None => Ok(()),
        Some(host) => Err(mismatch("HTTP host", host, target)),
    }
}

fn mismatch(what: &str, sent: &str, target: &Target) -> Deny {
    let target = match target {
        Target::Name(name, _) => name.to_string(),
        Target::Address(address) => address.ip().to_string(),
    };
    // What was sent is the sandbox's text: bounded, and printable only.
    let sent: String = sent
        .chars()
        .take(255)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect();
    refusal(&format!(
        "the {what} `{sent}` is not the host that was connected to, `{target}`"
    ))
}

/// A refusal that no rule decides.
pub(super) fn refusal(reason: &str) -> Deny {
    Deny {
        rule: None,
        origin: Origin::BuiltIn("network gate".into()),
        reason: reason.into(),
        allow_with: None,
        allow_line: None,
        quiet: false,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
