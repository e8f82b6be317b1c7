//! Rules that come while a session runs: they are added to those that it began with, and take none of those away, but for
//! built-in denials of what was named now.

use super::{HostPattern, HostRule, Origin, Policy};

/// The rules that came so far, each pattern once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRules(Vec<HostRule>);

impl SessionRules {
    /// Most of them.
    pub const MOST: usize = 1000;

    /// Adds one. What was said of the same pattern before is taken back. `false` when there are too many.
    pub fn add(&mut self, pattern: HostPattern, allow: bool, origin: Origin) -> bool {
        self.0.retain(|known| known.pattern != pattern);
        let room = self.0.len() < Self::MOST;
        if room {
            self.0.push(HostRule {
                pattern,
                allow,
                quiet: false,
                options: Default::default(),
                origin,
            });
        }
        room
    }

    /// As they came.
    #[must_use]
    pub fn rules(&self) -> &[HostRule] {
        &self.0
    }
}

impl Policy {
    /// With the rules of a session besides. A deny wins over every allow, as always; what the agent's file denies without
    /// noise gives way to an allow that covers it, as it does to one of the configuration.
    #[must_use]
    pub fn with_session(&self, session: &SessionRules) -> Self {
        let mut policy = self.clone();
        let allowed = |pattern: &HostPattern| {
            let mut allows = session.0.iter().filter(|rule| rule.allow);
            allows.any(|rule| rule.pattern.covers_hosts(pattern))
        };
        let rules = &mut policy.network.rules;
        rules.retain(|rule| rule.allow || !rule.quiet || !allowed(&rule.pattern));
        rules.extend(session.0.iter().cloned());
        policy
    }

    /// The rules that deny all of what `pattern` means, whatever allows it.
    #[must_use]
    pub fn denying(&self, pattern: &HostPattern) -> Vec<&HostRule> {
        let of_its_port = |rule: &HostRule| {
            let port = rule.pattern.listed_port();
            port.is_none() || port == pattern.listed_port()
        };
        let rules = self.network.rules.iter();
        rules
            .filter(|rule| !rule.allow && of_its_port(rule) && rule.pattern.covers_hosts(pattern))
            .collect()
    }
}
