//! Hosts: what the gate would say, without asking any name server.

use super::report::{Answer, Judged};
use super::target::{Host, Request, To};
use super::{Question, miss};
use crate::policy::{Action, Allow, Host as Whom, Name, NetworkPolicy, Verdict};
use crate::proxy::{refused_address, unreachable_address};
use std::net::IpAddr;

/// Explains a connection.
pub(super) fn answer(question: &Question, host: &Host) -> Answer {
    let mut note = None;
    if let Some(request) = &host.request {
        if request.typed || is_by_request(question, host) {
            return by_request(question, host, request);
        }
        if request.path.as_ref().map_or(true, |path| path.to_string() != "/") {
            note = Some(
                "no rule asks for more than the host: the path of the URL counts for nothing".to_owned(),
            );
        }
    } else if is_by_request(question, host) {
        note = Some(
            "some requests alone are allowed there: `aca why 'GET https://HOST/PATH'` judges one".to_owned(),
        );
    }
    let mut answer = connection(question, host);
    answer.notes.splice(0..0, note);
    answer
}

fn connect(host: &Host) -> Action {
    let port = host.port;
    match &host.to {
        To::Name(name) => Action::Connect {
            name: name.clone(),
            port,
        },
        To::Address(address) => Action::ConnectAddress {
            address: *address,
            port,
        },
    }
}

/// Whether requests to there are judged one by one.
fn is_by_request(question: &Question, host: &Host) -> bool {
    let verdict = question.policy.decide(&connect(host));
    matches!(verdict, Verdict::Allow(Allow { by_request: true, .. }))
}

fn by_request(question: &Question, host: &Host, request: &Request) -> Answer {
    let whom = match &host.to {
        To::Name(name) => Whom::Name(name.clone()),
        To::Address(address) => Whom::Address(*address),
    };
    let (scheme, method) = (request.scheme, &request.method);
    let place = match host.port {
        port if port == scheme.port() => whom.to_string(),
        port => format!("{whom}:{port}"),
    };
    let url = |path: &str| format!("{method} {}://{place}{path}", scheme.word());
    let path = match &request.path {
        Ok(path) => path.clone(),
        Err(why) => {
            let verdict = question.policy.decide(&connect(host));
            let judged = Judged::new("request", url(" …"), &verdict)
                .denied("network gate", format!("its path can't be judged: {why}"))
                .with(None);
            return Answer::new("a request", vec![judged]);
        }
    };
    let what = url(&path.to_string());
    let action = Action::Request {
        host: whom,
        port: host.port,
        scheme,
        method: method.clone(),
        path,
    };
    let mut judged = Judged::new("request", what, &question.policy.decide(&action));
    let mut notes = Vec::new();
    if judged.allowed {
        if is_by_request(question, host) && scheme == crate::policy::Scheme::Https {
            notes.push(
                "to see requests in TLS aca ends it, with a certificate of its own that programs inside trust".into(),
            );
        }
    } else {
        let change = question.that_works(question.policy.remedy(&action), |changed| changed.allows(&action));
        judged = judged.with(change.as_ref());
    }
    let mut answer = Answer::new("a request", vec![judged]);
    answer.notes = notes;
    answer
}

fn connection(question: &Question, host: &Host) -> Answer {
    match &host.to {
        To::Name(name) => by_name(question, name, host.port),
        To::Address(address) => by_address(question, *address, host.port),
    }
}

fn by_name(question: &Question, name: &Name, port: u16) -> Answer {
    let what = format!("{name}:{port}");
    let action = Action::Connect {
        name: name.clone(),
        port,
    };
    let network = &question.policy.network;
    let mut judged = Judged::new("connect", what, &question.policy.decide(&action));
    // RFC 6761 6.3.
    if name.labels().next_back() == Some("localhost") {
        let mut answer = Answer::new("a host", vec![own_loopback(question, judged, &action)]);
        answer
            .notes
            .extend(loopback(network, name.as_str() == "localhost", port));
        return answer;
    }
    let mut notes = Vec::new();
    if judged.allowed {
        notes.push(addresses(network, name, port));
        notes.extend(spoken(port));
    } else {
        judged.nearest = miss::of_name(&network.rules, name, port);
        let change = question.that_works(question.policy.remedy(&action), |changed| changed.allows(&action));
        judged = judged.with(change.as_ref());
    }
    let mut answer = Answer::new("a host", vec![judged]);
    answer.notes = notes;
    answer
}

fn by_address(question: &Question, address: IpAddr, port: u16) -> Answer {
    let what = match address {
        IpAddr::V6(address) => format!("[{address}]:{port}"),
        IpAddr::V4(address) => format!("{address}:{port}"),
    };
    let action = Action::ConnectAddress { address, port };
    let mut judged = Judged::new("connect", what, &question.policy.decide(&action));
    let mut notes = Vec::new();
    if let Some(reason) = unreachable_address(address) {
        if address.is_loopback() {
            let network = &question.policy.network;
            notes.extend(loopback(network, is_localhost(address), port));
            judged = own_loopback(question, judged, &action);
        } else {
            judged = judged.denied("network gate", reason).with(None);
        }
    } else if judged.allowed {
        if let Some(word) = refused_address(address) {
            notes.push(format!(
                "it is {word}; a rule that writes the address out grants that one"
            ));
        }
        notes.extend(spoken(port));
    } else {
        judged.nearest = miss::of_address(&question.policy.network.rules, address, port);
        let change = question.that_works(question.policy.remedy(&action), |changed| changed.allows(&action));
        judged = judged.with(change.as_ref());
        if let Some(word) = refused_address(address) {
            notes.push(format!(
                "it is {word}: no name may lead there, whatever rules say of the name"
            ));
        } else {
            notes.push("an address needs a rule that writes it out; patterns of names don't mean it".into());
        }
    }
    let mut answer = Answer::new("an address", vec![judged]);
    answer.notes = notes;
    answer
}

/// The loopback inside, where only what was granted leads on.
fn own_loopback(question: &Question, judged: Judged, action: &Action) -> Judged {
    let granted = match &action {
        Action::Connect { name, port } => (name.as_str() == "localhost").then_some(*port),
        Action::ConnectAddress { address, port } => is_localhost(*address).then_some(*port),
        Action::Request { .. }
        | Action::Git { .. }
        | Action::Push { .. }
        | Action::Resolve { .. }
        | Action::Read { .. }
        | Action::Write { .. }
        | Action::Execute { .. } => None,
    };
    let granted = granted.and_then(|port| question.policy.network.host_port(port));
    if judged.allowed && granted.is_some() {
        return judged;
    }
    if !judged.allowed && granted.is_some() {
        // A deny, or a network that is off: it says why.
        return judged.with(None);
    }
    let reason = "inside, it is the sandbox's own loopback: a server of the host is not behind it";
    let change = question.that_works(question.policy.remedy(action), |changed| changed.allows(action));
    judged.denied("network gate", reason).with(change.as_ref())
}

fn is_localhost(address: IpAddr) -> bool {
    [
        IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
    ]
    .contains(&address)
}

fn loopback(network: &NetworkPolicy, localhost: bool, port: u16) -> Vec<String> {
    match network.host_port(port).filter(|_| localhost) {
        Some(rule) => vec![format!(
            "it leads to localhost:{} of the host; a server inside can't have port {port} of the loopback then",
            rule.port.host
        )],
        None => vec![
            "a server inside is reached there, and no rule is asked".into(),
            format!("a server of the host may be given a name as well: `--resolve NAME=127.0.0.1:{port}`"),
        ],
    }
}

/// Where a name that is allowed leads.
fn addresses(network: &NetworkPolicy, name: &Name, port: u16) -> String {
    match network.resolve.iter().find(|fixed| fixed.name == *name) {
        Some(fixed) => {
            let to = std::net::SocketAddr::new(fixed.address, fixed.port.unwrap_or(port));
            format!("it is dialled at {to} ({})", fixed.origin)
        }
        None => format!(
            "what it leads to is looked at when it is dialled: an address that isn't public (private, link-local, loopback, a metadata service, this machine's own) is refused; `--resolve {name}=ADDR` grants one"
        ),
    }
}

/// What has to be spoken there.
fn spoken(port: u16) -> Option<String> {
    match port {
        443 => Some("TLS for that name, or SSH, must be spoken there".into()),
        80 => Some("HTTP/1 or TLS for that name must be spoken there".into()),
        _ => None,
    }
}
