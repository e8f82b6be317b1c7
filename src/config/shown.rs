//! The merged policy, one value at a time with its source.

use super::{Merged, Said, layer::Located, said};
use crate::policy::{Access, GitMode, Origin};

impl Merged {
    /// All that holds, in the order of the tables, those of the built-in data too.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        let (policy, chosen) = (&self.policy, &self.chosen);
        let mut all = Vec::new();
        let mut push = |key: &str, value: String, source: &Origin| {
            all.push(Said {
                key: key.to_owned(),
                value,
                source: source.clone(),
            });
        };
        let text = |value: &dyn std::fmt::Display| said::text(value);
        let Located { value, origin } = &chosen.preset;
        push("network.preset", text(&value.word()), origin);
        for rule in &policy.network.rules {
            let key = if rule.allow {
                "network.allow"
            } else {
                "network.deny"
            };
            let host = super::value::AllowedHost {
                pattern: rule.pattern.clone(),
                options: rule.options,
            };
            push(key, host.shown(), &rule.origin);
        }
        for fixed in &policy.network.resolve {
            let address = super::FixedAddress {
                name: fixed.name.clone(),
                address: fixed.address,
                port: fixed.port,
            };
            push("network.resolve", text(&address), &fixed.origin);
        }
        let Located { value, origin } = &chosen.capture;
        push(
            "network.capture",
            text(&super::value::capture_word(*value)),
            origin,
        );
        if chosen.ask.value {
            push("network.ask", "true".into(), &chosen.ask.origin);
        }
        if chosen.proxy_env.value {
            push("network.proxy_env", "true".into(), &chosen.proxy_env.origin);
        }
        let Located { value, origin } = &chosen.upstream_proxy;
        push("network.upstream_proxy", text(value), origin);
        for rule in &policy.network.host_ports {
            push("network.host_ports", text(&rule.port), &rule.origin);
        }
        for rule in &policy.network.publish {
            push("network.publish", text(&rule.port), &rule.origin);
        }
        for rule in &policy.git.rules {
            push(
                said::repository_key(rule.fetch),
                text(&rule.repository),
                &rule.origin,
            );
        }
        for rule in &policy.git.pushes {
            let value = match &rule.grant {
                Some(grant) => format!("{} {grant}", text(&rule.repository)),
                None => format!("{} false", text(&rule.repository)),
            };
            push("git.repository.push", value, &rule.origin);
        }
        for rule in &policy.git.credentials {
            let shown = said::shown_credential(&rule.host, &rule.from, rule.user.as_deref());
            push("git.credential", shown, &rule.origin);
        }
        for entry in &chosen.environment {
            let (key, value) = said::variable(&entry.value);
            push(&key, value, &entry.origin);
        }
        for rule in &policy.paths {
            let key = match rule.access {
                Access::Read => "files.read",
                Access::Write => "files.write",
                Access::Hide => "files.hide",
            };
            push(key, text(&rule.path.display()), &rule.origin);
        }
        for rule in policy.kept.iter().filter(|rule| rule.access == Access::Read) {
            push("files.read", text(&rule.path.display()), &rule.origin);
        }
        let Located { value, origin } = &chosen.home;
        push("files.home", text(&super::value::home_word(*value)), origin);
        if chosen.git_mode.value != GitMode::default() {
            let Located { value, origin } = &chosen.git_mode;
            push("git.mode", text(&value.word()), origin);
        }
        if chosen.open_names.value {
            push("files.open_names", "true".into(), &chosen.open_names.origin);
        }
        for opened in &policy.open_names_in {
            push(
                "files.open_names_in",
                text(&opened.path.display()),
                &opened.origin,
            );
        }
        for rule in &policy.commands {
            push("commands.deny", text(&rule.pattern), &rule.origin);
        }
        for grant in &chosen.grants {
            push("grants", text(&grant.value.word()), &grant.origin);
        }
        for required in &policy.required {
            push(
                "floor.require",
                text(&required.guarantee.word()),
                &required.origin,
            );
        }
        let limits = super::Settings {
            limits: chosen.limits.clone(),
            ..super::Settings::default()
        };
        all.extend(limits.said(""));
        if let Some(Located { value, origin }) = &chosen.own_sandbox {
            all.push(Said {
                key: "own_sandbox".into(),
                value: said::text(value.word()),
                source: origin.clone(),
            });
        }
        all
    }
}
