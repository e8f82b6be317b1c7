//! Judges requests one by one, where rules ask for more than their host, and tells each.

use super::gate::refusal;
use super::http::Request;
use super::live::Live;
use super::told::Told;
use super::{Proxy, denial};
use crate::policy::{Action, Deny, Host, RequestPath, Scheme, Verdict};
use crate::supervise::Event;
use std::sync::Arc;

/// Longest text of a request that is told, in characters.
const TEXT_MAX: usize = 512;

/// Asks the policy about the requests to one host at one port.
#[derive(Clone)]
pub(super) struct Judge {
    live: Arc<Live>,
    told: Arc<Told>,
    host: Host,
    port: u16,
}

/// A request as it is told: nothing in it but printable characters, and no query, which can hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    scheme: Scheme,
    method: String,
    path: String,
}

/// A request that is denied, and was told.
pub(super) struct Refused {
    /// The text for its client.
    pub(super) text: String,
}

impl Judge {
    /// For what goes there.
    pub(super) fn new(proxy: &Proxy, host: Host, port: u16) -> Self {
        Self {
            live: Arc::clone(&proxy.live),
            told: Arc::clone(&proxy.told),
            host,
            port,
        }
    }

    /// Judges a request that came without TLS, and tells of it.
    pub(super) fn plain(&self, request: &Request) -> Result<(), Refused> {
        let line = Line::new(Scheme::Http, &request.line.method, &request.line.path);
        let judged = match request.overrides {
            true => Err(overridden()),
            false => self.ask(Scheme::Http, &request.line.method, request.line.path.as_bytes()),
        };
        match judged {
            Ok(()) => {
                self.tell(line, None, None);
                Ok(())
            }
            Err(deny) => Err(self.refuse(line, deny)),
        }
    }

    /// What the policy says of a method and a target in origin form.
    pub(super) fn ask(&self, scheme: Scheme, method: &str, target: &[u8]) -> Result<(), Deny> {
        let method = method
            .parse()
            .map_err(|why| refusal(&format!("the request can't be judged: {why}")))?;
        let path = RequestPath::parse(target)
            .map_err(|why| refusal(&format!("the request's path can't be judged: {why}")))?;
        let action = Action::Request {
            host: self.host.clone(),
            port: self.port,
            scheme,
            method,
            path,
        };
        match self.live.current().decide(&action) {
            Verdict::Allow(_) => Ok(()),
            Verdict::Deny(deny) => Err(deny),
        }
    }

    /// Tells of a denial, and gives the text for the client.
    pub(super) fn refuse(&self, line: Line, deny: Deny) -> Refused {
        let what = format!("{} {}", line.method, self.url(&line));
        let text = denial::text(&what, &deny);
        self.tell(line, Some(deny), None);
        Refused { text }
    }

    /// Tells of a request: denied, or passed on with the status of its answer, where one came.
    pub(super) fn tell(&self, line: Line, denied: Option<Deny>, status: Option<u16>) {
        self.told.emit(Event::Request {
            url: self.url(&line),
            method: line.method,
            denied,
            status,
        });
    }

    fn url(&self, line: &Line) -> String {
        let (scheme, host) = (line.scheme, &self.host);
        let port = match self.port {
            port if port == scheme.port() => String::new(),
            port => format!(":{port}"),
        };
        format!("{}://{host}{port}{}", scheme.word(), line.path)
    }
}

impl Line {
    /// From a request as it came.
    pub(super) fn new(scheme: Scheme, method: &str, target: &str) -> Self {
        Self {
            scheme,
            method: printable(method),
            path: printable(target.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}

/// For a request that names another method or path in a field.
pub(super) fn overridden() -> Deny {
    refusal(
        "the request can't be judged: a field of it names another method or path, which some servers take",
    )
}

fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(TEXT_MAX).map(shown).collect()
}
