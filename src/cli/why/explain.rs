//! What an event means, and what to do about it. Every kind of event has its words here.

use super::report::Judged;
use crate::policy::{Deny, GitOperation, PortKind, Verdict};
use crate::presets::{RefusedCall, refused_calls};
use crate::supervise::{Event, TrustChange};
use crate::ui;
use std::path::Path;

/// What is said of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Explanation {
    /// For a decision: what was decided.
    pub(super) judged: Option<Judged>,
    /// The rest.
    pub(super) notes: Vec<String>,
}

impl Explanation {
    fn notes<const N: usize>(notes: [String; N]) -> Self {
        Self {
            judged: None,
            notes: notes.into(),
        }
    }

    fn denied(action: &'static str, what: String, deny: &Deny) -> Self {
        let mut notes = Vec::new();
        if deny.quiet {
            notes.push("it is expected, so it doesn't count as news".into());
        }
        if deny.allow_with.is_none() {
            notes.push(match deny.rule {
                Some(_) => "no flag wins over that rule: take it away to allow it".into(),
                None => "no rule allows this: what was sent, or where to, can't be checked".into(),
            });
        }
        Self {
            judged: Some(Judged::new(action, what, &Verdict::Deny(deny.clone()))),
            notes,
        }
    }
}

/// Explains an event.
pub(super) fn explain(event: &Event) -> Explanation {
    match event {
        Event::SessionStart { degraded, .. } => {
            let mut explanation = Explanation::notes([
                "the run began; `aca plan` with the same words shows what it was given".into(),
            ]);
            explanation.notes.extend(
                degraded
                    .iter()
                    .map(|lost| format!("this machine, or a grant, takes away: {lost}")),
            );
            if !degraded.is_empty() {
                explanation.notes.push("`aca doctor` says how to get it".into());
            }
            explanation
        }
        Event::SettingsWait { path, changed, .. } => Explanation::notes([
            format!(
                "{} {}, so what it would make wider didn't count; what it makes narrower did",
                path.display(),
                if *changed {
                    "has changed since you trusted it"
                } else {
                    "isn't trusted"
                }
            ),
            "`aca trust` shows it, and trusts it if you say so".into(),
        ]),
        Event::Degraded { lost } => Explanation::notes([
            format!("the kernel did not give: {}", lost.join("; ")),
            "the run went on without it; `aca doctor` says how to get what this machine lacks".into(),
        ]),
        Event::SessionEnd { code, signal, .. } => Explanation::notes([match (code, signal) {
            (Some(code), _) => {
                format!("the command ended with status {code}, which is the exit status of `aca run`")
            }
            (None, Some(signal)) => {
                format!("the command was ended by signal {signal}; with it all that it had started ended")
            }
            (None, None) => "the run ended, and how the command did is unknown".into(),
        }]),
        Event::ProcessStart { .. } => Explanation::notes([
            "a program was started inside; its path and arguments are what the caller claimed".into(),
            "starting programs is allowed: whatever runs inside is bound by the sandbox".into(),
        ]),
        Event::Lookup { name, kind, denied } => match denied {
            Some(deny) => Explanation::denied("look up", format!("{name} ({kind})"), deny),
            None if matches!(kind.as_str(), "TXT" | "MX" | "SRV") => Explanation::notes([format!(
                "{name} is about a host that may be reached on some port, so its {kind} records were asked for outside; what they name is judged when it is connected to"
            )]),
            None => Explanation::notes([format!(
                "{name} was asked for and may be reached on some port, so it got an address: one of aca's own, without any name server being asked, unless a rule says `dns = \"real\"`"
            )]),
        },
        Event::Connection {
            name,
            address,
            port,
            denied,
            failed,
            ..
        } => {
            let host = name
                .as_ref()
                .map_or_else(|| address.to_string(), ToString::to_string);
            match (denied, failed) {
                (Some(deny), _) => Explanation::denied("connect", format!("{host} port {port}"), deny),
                (None, Some(failed)) => Explanation::notes([format!(
                    "the policy allowed {host} port {port}; it failed beyond aca: {failed}"
                )]),
                (None, None) => Explanation::notes([format!(
                    "the policy allowed {host} port {port}; `aca why {host}:{port}` with the flags of the run says by which rule"
                )]),
            }
        }
        Event::BudgetReached {
            host, key, origin, ..
        } => Explanation::notes([
            match host {
                Some(host) => format!("no more may be sent to {host} in this run: `{key}` ({origin})"),
                None => format!("no more may be sent in this run: `{key}` ({origin})"),
            },
            "what was open was cut at its next byte, and connections that came later were denied".into(),
        ]),
        Event::Request {
            method, url, denied, ..
        } => match denied {
            Some(deny) => Explanation::denied("request", format!("{method} {url}"), deny),
            None => Explanation::notes([format!(
                "the policy allowed {method} {url}; `aca why '{method} {url}'` with the flags of the run says by which rule"
            )]),
        },
        Event::Port {
            kind,
            open,
            host,
            inside,
            origin,
            ..
        } => Explanation::notes([match (kind, open) {
            (PortKind::HostPort, true) => format!(
                "{origin}: connections inside to localhost:{inside} go to localhost:{host} of the host, and to no other port there"
            ),
            (PortKind::Published, true) => format!(
                "{origin}: connections on the host to port {host} go to port {inside} inside, whichever user makes them"
            ),
            (PortKind::HostPort, false) => {
                format!("localhost:{inside} inside leads to the host no more; its connections were cut")
            }
            (PortKind::Published, false) => {
                format!("port {host} of the host leads inside no more; its connections were cut")
            }
        }]),
        Event::Visit { port, inside, .. } => Explanation::notes([
            format!("a program of the host connected to port {port}, which leads to port {inside} inside"),
            format!("`aca ports remove {port}` closes it"),
        ]),
        Event::Listening { port, .. } => Explanation::notes([
            format!("a program inside listens at port {port}; only what runs inside reaches it"),
            format!("`aca ports add {port}` lets the host reach it at localhost:{port}, while the run lasts"),
        ]),
        Event::GitRequest {
            operation,
            repository,
            denied,
            ..
        } => {
            let operation = operation.map_or("use", GitOperation::word);
            match denied {
                Some(deny) => Explanation::denied("git", format!("{operation} {repository}"), deny),
                None => Explanation::notes([format!(
                    "the policy allowed it; `aca why 'git {operation} {repository}'` with the flags of the run says by which rule"
                )]),
            }
        }
        Event::CredentialUsed { repository, source } => Explanation::notes([
            format!("the server of {repository} wants to know who asks: it was told with what {source} gave"),
            "nothing of it is seen inside; `git.credential` in the configuration names another source".into(),
        ]),
        Event::SyscallRefused { name, errno, .. } => call(name, errno),
        Event::NameRefused {
            path, why, runs_when, ..
        } => name(path, why, runs_when.as_deref()),
        Event::TrustChange {
            path,
            change,
            runs_when,
        } => trust(path, *change, runs_when),
        Event::PutAway { path, to, why } => Explanation::notes([
            format!("{} was made by the run: {why}", path.display()),
            "git enters a repository in the project by itself where a commit or the index has it as a submodule, and starts what \
             is set there"
                .into(),
            format!("it lies in {}; move it back if you know what it says", to.display()),
        ]),
        Event::Masked { path } => Explanation::notes([
            format!(
                "{} looks like a secret, and appeared or was replaced during the run: since then it can't be read inside",
                path.display()
            ),
            "whoever had it open before still has; what runs inside can't take the mask away".into(),
            open_with(path),
        ]),
        Event::Protected { path } => Explanation::notes([
            format!(
                "{} was replaced on the host during the run, and is read-only inside again",
                path.display()
            ),
            "nothing is to be done; for some milliseconds the new file could be written".into(),
        ]),
        Event::GitBrought { what, value } => Explanation::notes([
            format!("`{what}` was changed in the private git directory, and is {value} outside now"),
            "git.mode = \"isolated\"".into(),
        ]),
        Event::GitAside { what, at, why } => Explanation::notes([
            format!("`{what}` was changed in the private git directory, and outside {why}"),
            format!("it is kept as `{at}`: `git log {at}` shows it, `git merge {at}` takes it"),
        ]),
        Event::GitNotBrought { what, why } => Explanation::notes([format!(
            "`{what}` of the private git directory isn't outside: {why}"
        )]),
        Event::StateNotKept { path, reason } => Explanation::notes([
            format!(
                "what the agent wrote to {} was not carried over to the host: {reason}",
                path.display()
            ),
            "the host's file is as it was; make the change there yourself, if you want it".into(),
        ]),
        Event::RulesChanged {
            hosts, allow, cut, ..
        } => Explanation::notes([
            format!(
                "{} {} from then on, for this session; what was open before was judged by the rules before, and {cut} of it ended",
                ui::event::hosts(hosts),
                if *allow {
                    "may be reached"
                } else {
                    "may not be reached"
                },
            ),
            "`aca allow` and `aca deny` say such things; with `--save` they hold for later runs too".into(),
        ]),
        Event::Asked { host, port, .. } => Explanation::notes([
            format!("no rule says anything of {host}:{port}, and with `--ask` somebody is asked then"),
            "the connection waited for a minute at most; what was said is an event of its own".into(),
        ]),
        Event::Answered {
            host,
            port,
            answer,
            by,
            ..
        } => Explanation::notes([
            format!("to {host}:{port} was said: {} ({by})", answer.word()),
            "`aca allow` and `aca deny` change what holds for the session".into(),
        ]),
        Event::Dropped { count, kind } => Explanation::notes([
            format!(
                "{count} events of kind {kind} came faster than they are kept, and are missing in the log"
            ),
            "what they were about was decided as always".into(),
        ]),
    }
}

fn call(name: &str, errno: &str) -> Explanation {
    let rows: Vec<&RefusedCall> = refused_calls(name).collect();
    let mut notes: Vec<String> = rows
        .iter()
        .map(|row| {
            let when = if row.when.is_empty() {
                String::new()
            } else {
                format!(" with {}", row.when)
            };
            format!(
                "{}{when} is refused: {} See {}. {}",
                row.call, row.why, row.source, row.about
            )
        })
        .collect();
    if rows.is_empty() {
        notes.push(format!("`{name}` is refused by this version of aca for no reason that is listed: another version wrote the log"));
    }
    let grant = rows.iter().find_map(|row| row.grant);
    notes.push(match grant {
        Some(grant) => format!(
            "the grant `{}` opens it, and all else that its list names",
            grant.word()
        ),
        None if rows.is_empty() => return Explanation { judged: None, notes },
        None => "no grant opens it".into(),
    });
    let reason = rows.first().map_or_else(String::new, |row| row.why.to_owned());
    let deny = Deny {
        rule: Some(name.to_owned()),
        origin: crate::policy::Origin::BuiltIn("system-call filter".into()),
        reason: format!("the call is answered with {errno}: {reason}").into(),
        allow_with: grant.map(|grant| format!("--grant {}", grant.word())),
        allow_line: grant.map(|grant| format!("grants = [\"{}\"]", grant.word()).into()),
        quiet: false,
    };
    Explanation {
        judged: Some(Judged::new("call", name, &Verdict::Deny(deny))),
        notes,
    }
}

fn name(path: &Path, why: &str, runs_when: Option<&str>) -> Explanation {
    let change = crate::policy::Change::write(path);
    let when = runs_when.map_or_else(String::new, |when| format!(" when {when}"));
    let deny = Deny {
        rule: None,
        origin: crate::policy::Origin::BuiltIn("presets/protected.toml".into()),
        reason: format!("it can't be made, since the host would run or trust it{when}: {why}").into(),
        allow_with: change.as_ref().map(crate::policy::Change::flag),
        allow_line: change
            .as_ref()
            .and_then(crate::policy::Change::line)
            .map(Into::into),
        quiet: false,
    };
    Explanation {
        judged: Some(Judged::new("make", path.display().to_string(), &Verdict::Deny(deny))),
        notes: vec![
            "the call was answered with EROFS, as for what is there and protected; nothing was made on the host".into(),
            "a copy of another project can be made where it isn't part of this one, such as in `/tmp`, or in a directory that `--open-names-in DIR` opens; `--open-names` lets a run make all such names; what appears is told after it".into(),
        ],
    }
}

fn trust(path: &Path, change: TrustChange, runs_when: &str) -> Explanation {
    let path = path.display();
    let what = match change {
        TrustChange::Appeared => {
            format!(
                "{path} appeared during the run: it is none of the names that are held, or a rule or `--open-names` opened it"
            )
        }
        TrustChange::Changed => format!("{path} changed during the run"),
        TrustChange::Removed => format!("{path} is gone since the run"),
    };
    let advice = match change {
        TrustChange::Appeared | TrustChange::Changed => {
            format!(
                "your machine obeys it when {runs_when}: read it before that, and remove it if you don't want it"
            )
        }
        TrustChange::Removed => format!("your machine obeyed it when {runs_when}: see that it isn't missed"),
    };
    Explanation::notes([what, advice])
}

fn open_with(path: &Path) -> String {
    match crate::policy::Change::read(path) {
        Some(change) => format!("`{}` shows it, if it is meant to be read", change.flag()),
        None => "a rule can't name it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    fn deny(rule: Option<&str>, allow: Option<&str>) -> Deny {
        Deny {
            rule: rule.map(String::from),
            origin: Origin::BuiltIn("network preset dev".into()),
            reason: "no rule allows it".into(),
            allow_with: allow.map(String::from),
            allow_line: None,
            quiet: false,
        }
    }

    #[test]
    fn every_event_has_words() {
        let events = [
            Event::SessionStart {
                session: "s".into(),
                version: "0".into(),
                agent: "generic".into(),
                agent_why: "it is no known agent's".into(),
                argv: vec![],
                project: "/p".into(),
                plan_hash: String::new(),
                degraded: vec!["no cgroup".into()],
            },
            Event::Degraded {
                lost: vec!["scopes".into()],
            },
            Event::ProcessStart {
                pid: 7,
                path: "/bin/true".into(),
                argv: vec![],
            },
            Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: None,
            },
            Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: Some(deny(None, Some("--allow a.test"))),
            },
            Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: Some(deny(Some("*.test"), None)),
            },
            Event::BudgetReached {
                host: Some("a.test".into()),
                key: "limits.egress_per_host".into(),
                origin: Origin::Flag("--max-egress-per-host 1024".into()),
                limit: 1024,
                sent: 1000,
            },
            Event::Port {
                kind: PortKind::Published,
                open: true,
                address: None,
                host: 8080,
                inside: 80,
                origin: Origin::Flag("--publish 8080:80".into()),
            },
            Event::Visit {
                from: "127.0.0.1:40000".parse().unwrap(),
                port: 8080,
                inside: 80,
                failed: None,
                sent: 1,
                received: 1,
                duration_ms: 1,
            },
            Event::Listening {
                pid: None,
                address: "127.0.0.1".parse().unwrap(),
                port: 3000,
            },
            Event::SyscallRefused {
                pid: 7,
                name: "mount".into(),
                errno: "EPERM".into(),
                count: 1,
            },
            Event::SyscallRefused {
                pid: 7,
                name: "bpf".into(),
                errno: "EPERM".into(),
                count: 1,
            },
            Event::SyscallRefused {
                pid: 7,
                name: "unheard_of".into(),
                errno: "EPERM".into(),
                count: 1,
            },
            Event::TrustChange {
                path: ".bashrc".into(),
                change: TrustChange::Appeared,
                runs_when: "you open a shell".into(),
            },
            Event::PutAway {
                path: "vendor/.git".into(),
                to: "/a/vendor/.git".into(),
                why: "its hooks lead elsewhere".into(),
            },
            Event::Masked {
                path: "/p/.env".into(),
            },
            Event::Protected {
                path: "/p/.git/config".into(),
            },
            Event::StateNotKept {
                path: ".claude.json".into(),
                reason: "mcpServers is the host's".into(),
            },
            Event::Dropped {
                count: 3,
                kind: "process_start".into(),
            },
            Event::SessionEnd {
                code: Some(0),
                signal: None,
                duration_ms: 1,
                denied: 0,
            },
        ];
        let mut text = String::new();
        for event in events {
            let Explanation { judged, notes } = explain(&event);
            assert!(judged.is_some() || !notes.is_empty(), "{event:?}");
            text.push_str("---\n");
            if let Some(judged) = judged {
                text.push_str(&format!(
                    "{} {}: {} | {:?}\n",
                    judged.action, judged.what, judged.reason, judged.allow_with
                ));
            }
            for note in notes {
                text.push_str(&format!("{note}\n"));
            }
        }
        insta::assert_snapshot!(text);
    }
}
