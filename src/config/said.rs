//! What a layer says, one thing at a time, for people.

use super::{
    layer::{Located, Settings, WrittenLimits, WrittenPush, WrittenRepository},
    value::{self, EnvironmentEntry},
};
use crate::policy::{CredentialHost, CredentialSource, Origin};
use serde::Serialize;
use std::fmt;

/// One setting, as it could be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The key with its table, such as `network.allow`.
    pub key: String,
    /// One value of it.
    pub value: String,
    /// Where it was written.
    pub source: Origin,
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} = {}", self.key, self.value)
    }
}

impl Settings {
    /// All that is set, in the order of the tables; `table` is an agent's section, or empty.
    #[must_use]
    pub fn said(&self, table: &str) -> Vec<Said> {
        let Self {
            preset,
            allow,
            deny,
            resolve,
            capture,
            ask,
            proxy_env,
            upstream_proxy,
            host_ports,
            publish,
            repositories,
            pushes,
            unlisted,
            credentials,
            git_mode,
            environment,
            read,
            write,
            hide,
            home,
            open_names,
            open_names_in,
            deny_commands,
            grants,
            limits,
            own_sandbox,
        } = self;
        let mut all = List {
            table,
            said: Vec::new(),
        };
        all.each("network.preset", preset, |preset| text(preset.word()));
        all.each("network.allow", allow, value::AllowedHost::shown);
        all.each("network.deny", deny, |host| text(host));
        all.each("network.resolve", resolve, |fixed| text(fixed));
        all.each("network.capture", capture, |capture| {
            text(value::capture_word(*capture))
        });
        all.each("network.ask", ask, bool::to_string);
        all.each("network.proxy_env", proxy_env, bool::to_string);
        all.each("network.upstream_proxy", upstream_proxy, |proxy| text(proxy));
        all.each("network.host_ports", host_ports, |port| text(port));
        all.each("network.publish", publish, |port| text(port));
        all.repositories(repositories);
        all.each("git.repository.push", pushes, shown_push);
        all.each("git.unlisted", unlisted, |unlisted| text(unlisted.word()));
        all.each("git.credential", credentials, |credential| {
            shown_credential(&credential.host, &credential.from, credential.user.as_deref())
        });
        all.each("git.mode", git_mode, |mode| text(mode.word()));
        for entry in environment {
            let (key, value) = variable(&entry.value);
            all.push(&key, value, &entry.origin);
        }
        all.each("files.read", read, |path| text(path));
        all.each("files.write", write, |path| text(path));
        all.each("files.hide", hide, |path| text(path));
        all.each("files.home", home, |home| text(value::home_word(*home)));
        all.each("files.open_names", open_names, bool::to_string);
        all.each("files.open_names_in", open_names_in, |path| text(path));
        all.each("commands.deny", deny_commands, |command| text(command));
        all.each("grants", grants, |grant| text(grant.word()));
        all.limits(limits);
        all.each("own_sandbox", own_sandbox, |choice| text(choice.word()));
        all.said
    }
}

/// The key and the value of a variable.
pub(super) fn variable(entry: &EnvironmentEntry) -> (String, String) {
    match entry {
        EnvironmentEntry::Keep(name) => ("environment.keep".into(), text(name)),
        EnvironmentEntry::Set { name, value } => (format!("environment.set.{name}"), text(value)),
    }
}

/// The key that a rule on a repository is shown with.
pub(super) const fn repository_key(fetch: bool) -> &'static str {
    if fetch {
        "git.repository.fetch"
    } else {
        "git.repository.deny"
    }
}

/// A repository, and what may be pushed to it.
fn shown_push(written: &WrittenPush) -> String {
    let name = text(&written.repository);
    match &written.grant {
        Some(grant) => format!("{name} {grant}"),
        None => format!("{name} false"),
    }
}

/// Where a credential is: nothing of it stands in a configuration.
pub(super) fn shown_credential(host: &CredentialHost, from: &CredentialSource, user: Option<&str>) -> String {
    let user = user
        .map(|user| format!(", user = {}", text(user)))
        .unwrap_or_default();
    format!("{{ host = {}, from = {}{user} }}", text(host), text(from))
}

/// A value in the quotes of TOML.
pub(super) fn text(value: impl fmt::Display) -> String {
    format!("{:?}", value.to_string())
}

pub(super) struct List<'a> {
    table: &'a str,
    said: Vec<Said>,
}

impl List<'_> {
    fn push(&mut self, key: &str, value: String, origin: &Origin) {
        let key = if self.table.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.table)
        };
        self.said.push(Said {
            key,
            value,
            source: origin.clone(),
        });
    }

    fn each<'a, T: 'a>(
        &mut self,
        key: &str,
        settings: impl IntoIterator<Item = &'a Located<T>>,
        shown: impl Fn(&T) -> String,
    ) {
        for setting in settings {
            self.push(key, shown(&setting.value), &setting.origin);
        }
    }

    fn repositories(&mut self, repositories: &[Located<WrittenRepository>]) {
        for written in repositories {
            let key = repository_key(written.value.fetch);
            self.push(key, text(&written.value.repository), &written.origin);
        }
    }

    fn limits(&mut self, limits: &WrittenLimits) {
        let WrittenLimits {
            memory_bytes,
            processes,
            file_bytes,
            open_files,
            cpu_percent,
            egress_bytes,
            egress_per_host_bytes,
        } = limits;
        self.each("limits.memory", memory_bytes, u64::to_string);
        self.each("limits.processes", processes, u64::to_string);
        self.each("limits.cpu", cpu_percent, |percent| format!("\"{percent}%\""));
        self.each("limits.file_size", file_bytes, u64::to_string);
        self.each("limits.open_files", open_files, u64::to_string);
        self.each("limits.egress", egress_bytes, u64::to_string);
        self.each("limits.egress_per_host", egress_per_host_bytes, u64::to_string);
    }
}
