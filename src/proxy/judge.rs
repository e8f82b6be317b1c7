//! Judges requests one by one, where rules ask for more than their host, and tells each.

use super::gate::refusal;
use super::http::Request;
use super::intercept::{Front, Interceptor};
use super::live::Live;
use super::told::Told;
use super::{Proxy, denial, http, intercept};
use crate::policy::{Action, Deny, Host, Name, RequestPath, Scheme, Unlisted, Verdict};
use crate::supervise::Event;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

/// Longest text of a request that is told, in characters.
const TEXT_MAX: usize = 512;

/// Asks the policy about the requests to one host at one port.
#[derive(Clone)]
pub(super) struct Judge {
    live: Arc<Live>,
    told: Arc<Told>,
    interceptor: Option<Arc<Interceptor>>,
    front: Arc<Front>,
    proxy: Weak<Proxy>,
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
            interceptor: proxy.interceptor.clone(),
            front: Arc::clone(&proxy.front),
            proxy: proxy.own.get().cloned().unwrap_or_default(),
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

    /// What looks into TLS; `None` where the session began without.
    pub(super) fn interceptor(&self) -> Option<&Interceptor> {
        self.interceptor.as_deref()
    }

    /// Whom they are sent to.
    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    /// At which port.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The gate, as long as it serves.
    pub(super) fn proxy(&self) -> Option<Arc<Proxy>> {
        self.proxy.upgrade()
    }

    /// What is known of git's repositories.
    pub(super) fn front(&self) -> &Front {
        &self.front
    }

    /// Whether rules name repositories there.
    pub(super) fn has_repositories(&self) -> bool {
        self.live.current().git.is_at(&self.host, self.port)
    }

    /// What becomes of a repository that no rule names.
    pub(super) fn unlisted(&self) -> Unlisted {
        self.live.current().git.unlisted
    }

    /// Repositories that may be fetched, so many at most.
    pub(super) fn allowed(&self, most: usize) -> Vec<String> {
        let policy = self.live.current();
        policy.git.allowed().take(most).map(ToString::to_string).collect()
    }

    /// What the policy says of an action.
    pub(super) fn decide(&self, action: &Action) -> Result<(), Deny> {
        match self.live.current().decide(action) {
            Verdict::Allow(_) => Ok(()),
            Verdict::Deny(deny) => Err(deny),
        }
    }

    /// Tells an event.
    pub(super) fn emit(&self, event: Event) {
        self.told.emit(event);
    }

    /// The same with the port, where that isn't the one of HTTPS, as a request names it.
    pub(super) fn authority(&self) -> String {
        match self.port {
            443 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// Whether a host that was sent in TLS, with its port, means this one.
    pub(super) fn is(&self, sent: &str) -> bool {
        let Some((host, port)) = intercept::split(sent) else {
            return false;
        };
        let here = match &self.host {
            Host::Name(name) => host.parse::<Name>().is_ok_and(|host| host == *name),
            Host::Address(address) => host
                .parse::<IpAddr>()
                .is_ok_and(|host| host.to_canonical() == *address),
        };
        here && port.unwrap_or(443) == self.port
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
        self.decide(&action)
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

/// Whether a field names another method or path.
pub(super) fn is_override(name: &str) -> bool {
    http::is_override(name.as_bytes())
}

/// Whether some servers take a field for another, as `Transfer_Encoding` for the real one.
pub(super) fn is_almost(name: &str) -> bool {
    http::is_almost(name.as_bytes())
}

fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(TEXT_MAX).map(shown).collect()
}
