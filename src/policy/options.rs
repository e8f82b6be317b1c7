//! What a rule that allows a host says besides. Several rules may allow the same: then the widest of each counts, as the
//! rules themselves add up.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Options of one rule. The default is the narrowest of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostOptions {
    /// Which addresses names have inside.
    pub dns: Dns,
    /// What is held against the name that was asked for.
    pub sni: Sni,
}

/// Which addresses a name has inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dns {
    /// Ones of its own, out of 198.18.0.0/15.
    #[default]
    Leased,
    /// Those that it has outside, for programs that refuse the others.
    Real,
}

/// What the server name in a TLS ClientHello must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sni {
    /// There, in the clear, and the name that was asked for.
    #[default]
    Required,
    /// It may be missing; one that is sent must be the name that was asked for.
    Optional,
    /// Anything, also encrypted (ECH): whatever the far end serves can be reached.
    Any,
}

impl Dns {
    /// Its word in configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::Real => "real",
        }
    }
}

impl Sni {
    /// Its word in configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Any => "any",
        }
    }
}

impl HostOptions {
    /// The wider of each.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            dns: self.dns.max(other.dns),
            sni: self.sni.max(other.sni),
        }
    }

    /// Those that aren't the default, as key and word.
    pub fn chosen(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let default = Self::default();
        [
            (self.dns != default.dns).then(|| ("dns", self.dns.word())),
            (self.sni != default.sni).then(|| ("sni", self.sni.word())),
        ]
        .into_iter()
        .flatten()
    }
}

/// For people: nothing, or ` dns=real sni=any`.
impl fmt::Display for HostOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, word) in self.chosen() {
            write!(formatter, " {key}={word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_of_each_counts() {
        let real = HostOptions {
            dns: Dns::Real,
            ..HostOptions::default()
        };
        let any = HostOptions {
            sni: Sni::Any,
            ..HostOptions::default()
        };
        assert_eq!(real.or(any), any.or(real));
        assert_eq!(real.or(any).to_string(), " dns=real sni=any");
        assert_eq!(HostOptions::default().to_string(), "");
        assert!(Sni::Required < Sni::Optional && Sni::Optional < Sni::Any);
    }
}
