//! Which repositories git may reach, through the user's own ssh(1) or with the user's credentials over https.

mod credential;
mod push;
mod ref_pattern;
mod repository;

pub use credential::{
    CredentialHost, CredentialHostError, CredentialRule, CredentialSource, CredentialSourceError, Unlisted,
};
pub use push::{
    AlsoPushed, Beyond, ProtectedPath, PushBounds, PushGrant, PushRule, PushTarget, PushTargetError,
    RefChange, WrittenGrant,
};
pub(super) use push::{Standing, reason};
pub use ref_pattern::{RefPattern, RefPatternError};
pub use repository::{Repository, RepositoryError, Transport};

use super::{Host, Origin};
use serde::{Deserialize, Serialize};

/// What git wants of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitOperation {
    /// Clone, fetch, pull, ls-remote: git-upload-pack(1).
    Fetch,
    /// git-receive-pack(1).
    Push,
}

impl GitOperation {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Push => "push",
        }
    }
}

/// A rule on a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRule {
    /// Which.
    pub repository: Repository,
    /// Whether it may be fetched; a no wins over every yes.
    pub fetch: bool,
    /// Where it was written.
    pub origin: Origin,
}

/// What git may do through the user's ssh, or over https with the user's credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitPolicy {
    /// The rules on fetching, in any order.
    pub rules: Vec<GitRule>,
    /// Those on pushing.
    #[serde(default)]
    pub pushes: Vec<PushRule>,
    /// Branches that others build on, as the configuration of before the run names them; besides those whose name says so.
    #[serde(default)]
    pub default_branches: Vec<String>,
    /// What becomes of other repositories over https, where hosts are reached anyway.
    #[serde(default)]
    pub unlisted: Unlisted,
    /// Where credentials are, from trusted layers only; the last word on a host counts.
    #[serde(default)]
    pub credentials: Vec<CredentialRule>,
}

impl GitPolicy {
    /// Whether anything is allowed at all: else programs inside aren't told of the way.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rules.iter().any(|rule| rule.fetch) || self.pushes.iter().any(|rule| rule.grant.is_some())
    }

    /// Where repositories are reached over https: what is said there is looked into.
    pub fn https_places(&self) -> impl Iterator<Item = (Host, u16)> {
        self.named()
            .filter_map(|(repository, _)| repository.https_place())
    }

    /// Repositories that rules name so that they are reached, each with where that is written.
    pub fn named(&self) -> impl Iterator<Item = (&Repository, &Origin)> {
        let fetched = self.rules.iter().filter(|rule| rule.fetch);
        let pushed = self.pushes.iter().filter(|rule| rule.grant.is_some());
        let fetched = fetched.map(|rule| (&rule.repository, &rule.origin));
        fetched.chain(pushed.map(|rule| (&rule.repository, &rule.origin)))
    }

    /// Whether a host is such a place.
    #[must_use]
    pub fn is_at(&self, host: &Host, port: u16) -> bool {
        self.https_places()
            .any(|place| (&place.0, place.1) == (host, port))
    }

    /// What may be fetched, for a refusal that says what would work.
    pub fn allowed(&self) -> impl Iterator<Item = &Repository> {
        let denied = |one: &GitRule| {
            self.rules
                .iter()
                .any(|rule| !rule.fetch && rule.repository.may_mean(&one.repository))
        };
        self.rules
            .iter()
            .filter(move |rule| rule.fetch && !denied(rule))
            .map(|rule| &rule.repository)
    }
}
