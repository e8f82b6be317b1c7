//! What an administrator fixes for everybody on the machine: floors, which are the widest that anyone may choose, and
//! locks, which keep a key from being loosened. Both stand in `/etc/aca/config.toml` alone.
//!
//! ```toml
//! lock = ["network.allow", "environment"]   # later layers may make these narrower, and not wider
//!
//! [floor]
//! network = "dev"                           # the widest preset
//! home = "private"                          # the widest home
//! open_names = false                        # names that the host would run or trust are held in every run
//! grants = []                               # the grants that may be given; left out: any
//! limits = { memory = "16G" }               # the most; what nobody limits has this limit
//! require = ["writes_confined"]             # guarantees that must be whole, else nothing starts
//! contact = "it@example.org"                # whom messages name
//! ```
//!
//! A lock on `network.allow` holds for `network.resolve` and `network.host_ports` too, since what they name is reached
//! whatever the hosts say. One on `files.read` leaves what makes a part of the project read-only. One on `files.hide` keeps what the administrator
//! hides hidden: nobody names it, nor a part of it. Denied hosts need no lock, since a deny wins over every allow.

use super::{
    error::Problem,
    layer::{Located, Settings, WrittenLimits},
};
use crate::policy::{Grant, Guarantee, Home, Limits, NetworkPreset, Origin};

/// The widest that anyone may choose; what is left out has no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floor {
    /// The widest preset.
    pub network: Option<Located<NetworkPreset>>,
    /// The widest home.
    pub home: Option<Located<Home>>,
    /// Whether names may be made that the host would run or trust.
    pub open_names: Option<Located<bool>>,
    /// The grants that may be given, and where the list is.
    pub grants: Option<Located<Vec<Grant>>>,
    /// The most of each.
    pub limits: WrittenLimits,
    /// Guarantees that must be whole.
    pub require: Vec<Located<Guarantee>>,
    /// Whom to ask.
    pub contact: Option<String>,
}

/// A key that later layers may make narrower, and not wider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// `network.allow`, `network.resolve` and `network.host_ports`.
    Allow,
    /// `network.publish`.
    Publish,
    /// All of `[environment]`.
    Environment,
    /// `files.read`.
    Read,
    /// `files.write`.
    Write,
    /// `files.hide`: what is hidden stays so.
    Hide,
}

impl Lock {
    /// Every lock, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::Allow,
        Self::Publish,
        Self::Environment,
        Self::Read,
        Self::Write,
        Self::Hide,
    ];

    /// The key.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "network.allow",
            Self::Publish => "network.publish",
            Self::Environment => "environment",
            Self::Read => "files.read",
            Self::Write => "files.write",
            Self::Hide => "files.hide",
        }
    }
}

/// Who forbids something: shown with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// Where the administrator's file says so.
    pub origin: Origin,
    /// Whom to ask, where the file names somebody.
    pub contact: Option<String>,
}

impl Forbidden {
    /// Whom to ask.
    #[must_use]
    pub fn hint(&self) -> String {
        match (&self.contact, &self.origin) {
            (Some(contact), _) => format!("ask {contact}, who keeps this machine's policy"),
            (None, Origin::File { path, .. }) => {
                format!(
                    "ask whoever administers this machine: `{}` is theirs",
                    path.display()
                )
            }
            (None, Origin::BuiltIn(_) | Origin::Flag(_) | Origin::Session(_)) => {
                "ask whoever administers this machine".to_owned()
            }
        }
    }
}

impl Floor {
    /// The first thing in a layer that goes beyond, and where that was written.
    pub(super) fn beyond(&self, settings: &Settings) -> Option<(Origin, Problem)> {
        let beyond = |key: &str, asked: String, most: String, at: &Origin, forbidden: &Origin| {
            let problem = Problem::BeyondFloor {
                key: key.to_owned(),
                asked,
                most,
                forbidden: Box::new(self.forbidden(forbidden)),
            };
            Some((at.clone(), problem))
        };
        if let (Some(asked), Some(most)) = (&settings.preset, &self.network)
            && asked.value > most.value
        {
            let (word, most_word) = (asked.value.word().to_owned(), most.value.word().to_owned());
            return beyond("network.preset", word, most_word, &asked.origin, &most.origin);
        }
        if let (Some(asked), Some(most)) = (&settings.home, &self.home)
            && asked.value > most.value
        {
            let word = |home| super::value::home_word(home).to_owned();
            return beyond(
                "files.home",
                word(asked.value),
                word(most.value),
                &asked.origin,
                &most.origin,
            );
        }
        if let (Some(asked), Some(most)) = (&settings.open_names, &self.open_names)
            && asked.value
            && !most.value
        {
            let (word, most_word) = (asked.value.to_string(), most.value.to_string());
            return beyond("files.open_names", word, most_word, &asked.origin, &most.origin);
        }
        if let (Some(asked), Some(most)) = (settings.open_names_in.first(), &self.open_names)
            && !most.value
        {
            let word = asked.value.to_string();
            return beyond(
                "files.open_names_in",
                word,
                "none".into(),
                &asked.origin,
                &most.origin,
            );
        }
        for grant in &settings.grants {
            if let Some(problem) = self.forbids(grant.value) {
                return Some((grant.origin.clone(), problem));
            }
        }
        let (asked, most) = (&settings.limits, &self.limits);
        let cpu = |limit: &Option<Located<u32>>| {
            limit.as_ref().map(|limit| Located {
                value: u64::from(limit.value),
                origin: limit.origin.clone(),
            })
        };
        let limits = [
            ("memory", asked.memory_bytes.clone(), most.memory_bytes.clone()),
            ("processes", asked.processes.clone(), most.processes.clone()),
            ("file_size", asked.file_bytes.clone(), most.file_bytes.clone()),
            ("open_files", asked.open_files.clone(), most.open_files.clone()),
            ("cpu", cpu(&asked.cpu_percent), cpu(&most.cpu_percent)),
            ("egress", asked.egress_bytes.clone(), most.egress_bytes.clone()),
            (
                "egress_per_host",
                asked.egress_per_host_bytes.clone(),
                most.egress_per_host_bytes.clone(),
            ),
        ];
        for (key, asked, most) in limits {
            if let (Some(asked), Some(most)) = (asked, most)
                && asked.value > most.value
            {
                let (key, number, bound) = (
                    format!("limits.{key}"),
                    asked.value.to_string(),
                    most.value.to_string(),
                );
                return beyond(&key, number, bound, &asked.origin, &most.origin);
            }
        }
        None
    }

    /// Why a grant may not be given, if so.
    pub(super) fn forbids(&self, grant: Grant) -> Option<Problem> {
        let list = self.grants.as_ref().filter(|list| !list.value.contains(&grant))?;
        let words: Vec<&str> = list.value.iter().map(|grant| grant.word()).collect();
        Some(Problem::BeyondFloor {
            key: "grants".into(),
            asked: grant.word().to_owned(),
            most: if words.is_empty() {
                "none".into()
            } else {
                words.join(", ")
            },
            forbidden: Box::new(self.forbidden(&list.origin)),
        })
    }

    /// The limits of a run for which nobody chose less.
    pub(super) fn bound(&self, limits: &mut WrittenLimits) {
        fn fill<T: Clone>(limit: &mut Option<Located<T>>, most: &Option<Located<T>>) {
            if limit.is_none() {
                limit.clone_from(most);
            }
        }
        fill(&mut limits.memory_bytes, &self.limits.memory_bytes);
        fill(&mut limits.file_bytes, &self.limits.file_bytes);
        fill(&mut limits.open_files, &self.limits.open_files);
        fill(&mut limits.cpu_percent, &self.limits.cpu_percent);
        fill(&mut limits.egress_bytes, &self.limits.egress_bytes);
        fill(
            &mut limits.egress_per_host_bytes,
            &self.limits.egress_per_host_bytes,
        );
        let most = self.limits.processes.clone();
        // There is a number when nobody names one.
        fill(
            &mut limits.processes,
            &most.filter(|most| most.value < Limits::PROCESSES),
        );
    }

    pub(super) fn forbidden(&self, origin: &Origin) -> Forbidden {
        Forbidden {
            origin: origin.clone(),
            contact: self.contact.clone(),
        }
    }
}
