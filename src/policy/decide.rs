//! The one decision.

use super::{Action, HostRule, NetworkPreset, Origin, Policy};
use serde::{Deserialize, Serialize};

/// What the policy says of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Verdict {
    /// Allowed, by the rule written there.
    Allow(Origin),
    /// Denied.
    Deny(Deny),
}

/// A denial that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deny {
    /// The rule that denies; `None` when no rule allows.
    pub rule: Option<String>,
    /// Where that rule, or the preset, is written.
    pub origin: Origin,
    /// The reason in a few words.
    pub reason: String,
    /// The narrowest flag that allows it; `None` when a deny rule must go instead.
    pub allow_with: Option<String>,
    /// Expected (telemetry): logged, but not news for the user.
    pub quiet: bool,
}

impl Policy {
    /// Says whether `action` may happen. Total: every action has an answer, and no answer depends on the order of
    /// rules.
    pub fn decide(&self, action: &Action) -> Verdict {
        let network = &self.network;
        let narrowest = match action {
            Action::Resolve { name } => name.to_string(),
            Action::Connect { name, port } if is_web(*port) => name.to_string(),
            Action::Connect { name, port } => format!("{name}:{port}"),
            Action::ConnectAddress { address, port } if address.is_ipv6() => format!("[{address}]:{port}"),
            Action::ConnectAddress { address, port } => format!("{address}:{port}"),
        };
        if network.preset == NetworkPreset::None {
            return Verdict::Deny(Deny {
                rule: None,
                origin: Origin::BuiltIn("network preset none".into()),
                reason: "the network is off".into(),
                allow_with: Some(format!("--net agent --allow {narrowest}")),
                quiet: false,
            });
        }
        if let Some(rule) = network
            .rules
            .iter()
            .filter(|rule| !rule.allow && hits(rule, action))
            .min_by_key(|r| (r.quiet, &r.origin))
        {
            return Verdict::Deny(Deny {
                rule: Some(rule.pattern.to_string()),
                origin: rule.origin.clone(),
                reason: "denied by a rule".into(),
                allow_with: None,
                quiet: rule.quiet,
            });
        }
        if let Some(rule) = network
            .rules
            .iter()
            .filter(|rule| rule.allow && hits(rule, action))
            .min_by_key(|r| &r.origin)
        {
            return Verdict::Allow(rule.origin.clone());
        }
        if let Some(fixed) = network.resolve.iter().find(|fixed| fixes(fixed, action)) {
            return Verdict::Allow(fixed.origin.clone());
        }
        Verdict::Deny(Deny {
            rule: None,
            origin: Origin::BuiltIn(format!("network preset {}", network.preset.word())),
            reason: "no rule allows it".into(),
            allow_with: Some(format!("--allow {narrowest}")),
            quiet: false,
        })
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

fn hits(rule: &HostRule, action: &Action) -> bool {
    let any_port = !rule.allow;
    match action {
        Action::Resolve { name } => {
            // A deny of one port must not take the name away for the others.
            rule.pattern.has_name(name) && (rule.allow || rule.pattern.listed_port().is_none())
        }
        Action::Connect { name, port } => rule.pattern.matches_name(name, *port, any_port),
        Action::ConnectAddress { address, port } => rule.pattern.matches_address(*address, *port, any_port),
    }
}

/// A fixed answer is a grant by itself: for its own name, on the web ports, or on the port that it maps to.
fn fixes(fixed: &super::ResolveOverride, action: &Action) -> bool {
    match action {
        Action::Resolve { name } => *name == fixed.name,
        Action::Connect { name, port } => *name == fixed.name && (is_web(*port) || fixed.port == Some(*port)),
        Action::ConnectAddress { .. } => false,
    }
}

const fn is_web(port: u16) -> bool {
    matches!(port, 80 | 443)
}
