//! The one decision.

mod git;
mod network;
mod path;

use super::{Access, Action, Change, Host, HostOptions, NetworkPreset, Origin, Policy, Repository};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;

/// What the policy says of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Verdict {
    /// Allowed.
    Allow(Allow),
    /// Denied.
    Deny(Deny),
}

/// A permission, with what gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// The rule that allows; `None` where nothing stands in the way.
    pub rule: Option<String>,
    /// Where that is written.
    pub origin: Origin,
    /// The reason in a few words.
    pub reason: String,
    /// For a connection: it is open for some requests alone, and each has to be asked about ([`Action::Request`]). Where
    /// that can't be done, nothing is allowed.
    #[serde(default)]
    pub by_request: bool,
}

/// A denial that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deny {
    /// The rule that denies; `None` when no rule allows.
    pub rule: Option<String>,
    /// Where that rule, or the preset, is written.
    pub origin: Origin,
    /// The reason in a few words.
    pub reason: Box<str>,
    /// The narrowest flag that allows it; `None` when a rule must go instead, or nothing can.
    pub allow_with: Option<String>,
    /// The same as lines of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_line: Option<Box<str>>,
    /// Expected (telemetry): logged, but not news for the user.
    pub quiet: bool,
}

/// A denial, and what would allow it as data.
struct Denied {
    deny: Deny,
    /// No rule says anything of it, neither yes nor no.
    unlisted: bool,
    change: Option<Change>,
}

impl Denied {
    /// By a rule, or for want of one.
    fn new(
        rule: Option<String>,
        origin: Origin,
        reason: impl Into<Box<str>>,
        change: Option<Change>,
    ) -> Box<Self> {
        let deny = Deny {
            rule,
            origin,
            reason: reason.into(),
            allow_with: change.as_ref().map(Change::flag),
            allow_line: change.as_ref().and_then(Change::line).map(Into::into),
            quiet: false,
        };
        Box::new(Self {
            deny,
            unlisted: false,
            change,
        })
    }

    /// For want of a rule.
    fn unlisted(mut self: Box<Self>) -> Box<Self> {
        self.unlisted = true;
        self
    }

    /// Whether it is expected.
    fn quiet(mut self: Box<Self>, quiet: bool) -> Box<Self> {
        self.deny.quiet = quiet;
        self
    }
}

impl Policy {
    /// Says whether `action` may happen. Total: every action has an answer, and no answer depends on the order of
    /// rules.
    pub fn decide(&self, action: &Action) -> Verdict {
        match self.judge(action) {
            Ok(allow) => Verdict::Allow(allow),
            Err(denied) => Verdict::Deny(denied.deny),
        }
    }

    /// The narrowest change that allows a denied action: what [`Deny::allow_with`] says, as data.
    #[must_use]
    pub fn remedy(&self, action: &Action) -> Option<Change> {
        self.judge(action).err()?.change
    }

    /// Whether an action of the network is denied only since no rule says anything of it.
    #[must_use]
    pub fn is_unlisted(&self, action: &Action) -> bool {
        self.judge(action).err().is_some_and(|denied| denied.unlisted)
    }

    /// What the rules that allow an action say besides; the default where there is none, and for what isn't the network's.
    /// It says nothing of whether the action is allowed.
    #[must_use]
    pub fn options(&self, action: &Action) -> HostOptions {
        let asked = match action {
            Action::Resolve { name } => network::Asked::Name(name),
            Action::Connect { name, port } => network::Asked::Connection(name, *port),
            Action::ConnectAddress { address, port } => network::Asked::Address(*address, *port),
            Action::Request { .. }
            | Action::Git { .. }
            | Action::Push { .. }
            | Action::Read { .. }
            | Action::Write { .. }
            | Action::Execute { .. } => {
                return HostOptions::default();
            }
        };
        network::options(&self.network, &asked)
    }

    fn judge(&self, action: &Action) -> Result<Allow, Box<Denied>> {
        match action {
            Action::Resolve { name } => {
                let decided = network::decide(&self.network, &network::Asked::Name(name));
                self.with_git(decided, |host, _| matches!(host, Host::Name(own) if own == name))
            }
            Action::Connect { name, port } => {
                let decided = network::decide(&self.network, &network::Asked::Connection(name, *port));
                self.with_git(decided, |host, at| {
                    matches!(host, Host::Name(own) if own == name) && at == *port
                })
                .map(|allow| self.asked_about(allow, &Host::Name(name.clone()), *port))
            }
            Action::ConnectAddress { address, port } => {
                let decided = network::decide(&self.network, &network::Asked::Address(*address, *port));
                let here = Host::Address(address.to_canonical());
                self.with_git(decided, |host, at| *host == here && at == *port)
                    .map(|allow| self.asked_about(allow, &here, *port))
            }
            Action::Request {
                host,
                port,
                scheme,
                method,
                path,
            } => network::decide(
                &self.network,
                &network::Asked::Request(host, *port, *scheme, method, path),
            ),
            Action::Git {
                operation,
                repository,
            } => git::decide(self, *operation, repository),
            Action::Push {
                repository,
                name,
                change,
            } => git::push(self, repository, name, *change),
            Action::Read { path } => path::decide(&self.paths, path, Access::Read),
            Action::Write { path } => path::decide(&self.paths, path, Access::Write),
            Action::Execute { argv } => self.execute(argv),
        }
    }

    /// What no rule on hosts names is reached all the same where git finds a repository that a rule names.
    fn with_git(
        &self,
        decided: Result<Allow, Box<Denied>>,
        is_there: impl Fn(&Host, u16) -> bool,
    ) -> Result<Allow, Box<Denied>> {
        let denied = match decided {
            Err(denied) if denied.deny.rule.is_none() && self.network.preset != NetworkPreset::None => denied,
            decided => return decided,
        };
        let is_at = |(repository, _): &(&Repository, &Origin)| {
            let place = repository.https_place();
            place.is_some_and(|(host, port)| is_there(&host, port))
        };
        let named = self.git.named().filter(is_at);
        match named.min_by_key(|(repository, origin)| (*origin, *repository)) {
            Some((repository, origin)) => Ok(Allow {
                rule: Some(repository.to_string()),
                origin: origin.clone(),
                reason: "git finds a repository there that a rule names".into(),
                by_request: false,
            }),
            None => Err(denied),
        }
    }

    /// Each request is asked about where git finds a repository that a rule names.
    fn asked_about(&self, allow: Allow, host: &Host, port: u16) -> Allow {
        Allow {
            by_request: allow.by_request || self.git.is_at(host, port),
            ..allow
        }
    }

    /// Rules on commands only deny: what no rule names is started.
    fn execute(&self, argv: &[OsString]) -> Result<Allow, Box<Denied>> {
        let denying = self.commands.iter().filter(|rule| rule.pattern.matches(argv));
        match denying.min_by_key(|rule| (&rule.origin, &rule.pattern)) {
            Some(rule) => Err(Denied::new(
                Some(rule.pattern.to_string()),
                rule.origin.clone(),
                "a rule denies the command",
                None,
            )),
            None => Ok(Allow {
                rule: None,
                origin: Origin::BuiltIn("default".into()),
                reason: "no rule denies the command".into(),
                by_request: false,
            }),
        }
    }
}

impl NetworkPreset {
    /// Its word in configuration and flags.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Listed => "listed",
            Self::Agent => "agent",
            Self::Dev => "dev",
            Self::Open => "open",
        }
    }
}
