//! Events as lines for people. Names, paths and arguments were chosen inside: all of them are sanitised here.

use super::sanitize;
use crate::policy::{Change, Deny, GitOperation, HostPattern, PortKind, Protocol};
use crate::supervise::{Event, PushedRef, Record, RefOutcome, TrustChange};
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// Characters that are shown of one text.
const SHOWN: usize = 400;

/// Width of the column that says what it is about.
const KIND: usize = 8;

/// What happened, in one line or a few, each with its line feed. Times are those of `zone`.
#[must_use]
pub fn lines(record: &Record, zone: &TimeZone) -> String {
    let time = record
        .time
        .to_zoned(zone.clone())
        .strftime("%H:%M:%S")
        .to_string();
    let mut text = String::new();
    for (index, (kind, mut what)) in parts(&record.event).into_iter().enumerate() {
        if index == 0 && record.event.is_denial() {
            // What `aca why --session ID SEQ` takes.
            what.insert_str(0, &format!("#{} ", record.seq));
        }
        let time = if index == 0 { time.as_str() } else { "        " };
        // Writing to a String can't fail.
        let _infallible = writeln!(
            text,
            "{time}  {kind:KIND$}  {}",
            sanitize::line_within(&what, SHOWN)
        );
    }
    text
}

/// The kind and the text of each line.
fn parts(event: &Event) -> Vec<(&'static str, String)> {
    match event {
        Event::SessionStart {
            session,
            version,
            agent,
            agent_why,
            argv,
            project,
            plan_hash,
            degraded,
        } => {
            let mut parts = vec![
                ("session", format!("{session} (aca {version})")),
                (
                    "start",
                    format!("{agent} in {}: {}", project.display(), quoted(argv)),
                ),
                ("plan", plan_hash.clone()),
            ];
            if !agent_why.is_empty() {
                parts.insert(1, ("agent", format!("{agent}: {agent_why}")));
            }
            parts.extend(degraded.iter().map(|lost| ("degraded", lost.clone())));
            parts
        }
        Event::SettingsWait {
            path,
            settings,
            count,
            changed,
        } => {
            let why = if *changed {
                "changed since it was trusted"
            } else {
                "is not trusted"
            };
            let first = format!("{} {why}; {count} of its settings don't count", path.display());
            let mut parts = vec![("waits", first)];
            parts.extend(settings.iter().map(|setting| ("waits", setting.clone())));
            parts
        }
        Event::Degraded { lost } => lost.iter().map(|lost| ("degraded", lost.clone())).collect(),
        Event::SessionEnd {
            code,
            signal,
            duration_ms,
            denied,
        } => {
            let how = match (code, signal) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => "ended in an unknown way".to_owned(),
            };
            vec![(
                "end",
                format!("{how} after {}, {denied} denied", duration(*duration_ms)),
            )]
        }
        Event::ProcessStart { pid, path, argv } => {
            vec![("process", format!("[{pid}] {path}: {}", quoted(argv)))]
        }
        Event::Lookup { name, kind, denied } => judged(
            "lookup",
            &format!("{name} {kind}"),
            denied.as_ref(),
            String::new(),
        ),
        Event::Connection { .. } => connection(event),
        Event::BudgetReached {
            host,
            key,
            origin,
            limit,
            sent,
        } => {
            let to = host
                .as_ref()
                .map_or_else(String::new, |host| format!(" to {host}"));
            vec![(
                "budget",
                format!(
                    "{} sent{to}: no more of {} may be, by {key} ({origin})",
                    bytes(*sent),
                    bytes(*limit)
                ),
            )]
        }
        Event::Request {
            method,
            url,
            denied,
            status,
        } => {
            let outcome = status.map_or_else(String::new, |status| format!(", answered {status}"));
            judged("request", &format!("{method} {url}"), denied.as_ref(), outcome)
        }
        Event::Port { .. } => vec![("port", port(event))],
        Event::Visit {
            from,
            port,
            inside,
            failed,
            sent,
            received,
            duration_ms,
        } => {
            let how = match failed {
                Some(failed) => format!(", failed: {failed}"),
                None => format!(
                    ", {} sent, {} received in {}",
                    bytes(*sent),
                    bytes(*received),
                    duration(*duration_ms)
                ),
            };
            vec![(
                "visit",
                format!("port {port} from {from} to port {inside} inside{how}"),
            )]
        }
        Event::Listening { pid, address, port } => {
            let process = pid.map_or_else(String::new, |pid| format!("[{pid}] "));
            let listening = std::net::SocketAddr::new(*address, *port);
            vec![
                ("listens", format!("{process}{listening} inside")),
                ("", format!("to reach it from the host: aca ports add {port}")),
            ]
        }
        Event::CredentialUsed { repository, source } => {
            vec![("credential", format!("for {repository}, from {source}"))]
        }
        Event::GitRequest {
            pid,
            operation,
            repository,
            denied,
            failed,
            code,
            refs,
            findings,
            sent,
            received,
            duration_ms,
        } => {
            let operation = operation.map_or("something else", GitOperation::word);
            let pid = pid.map_or_else(String::new, |pid| format!("[{pid}] "));
            let code = match (failed, code) {
                (Some(failed), _) => format!(", {failed}"),
                (None, Some(0) | None) => String::new(),
                (None, Some(code)) => format!(", ssh ended with {code}"),
            };
            let outcome = format!(
                "{code}, {} out, {} in, {}",
                bytes(*sent),
                bytes(*received),
                duration(*duration_ms)
            );
            let mut lines = judged(
                "git",
                &format!("{pid}{operation} {repository}"),
                denied.as_ref(),
                outcome,
            );
            lines.extend(refs.iter().map(|pushed| ("", pushed_ref(pushed))));
            lines.extend(findings.iter().map(|finding| ("", finding.clone())));
            lines
        }
        Event::SyscallRefused {
            pid,
            name,
            errno,
            count,
        } => {
            let times = if *count > 1 {
                format!(", {count} times")
            } else {
                String::new()
            };
            vec![("DENIED", format!("[{pid}] system call {name}: {errno}{times}"))]
        }
        Event::NameRefused {
            pid,
            path,
            why,
            runs_when,
            untold,
        } => {
            let when = runs_when
                .as_ref()
                .map_or_else(String::new, |when| format!("; it would take effect when {when}"));
            let more = match untold {
                0 => String::new(),
                1 => ", and 1 more before it".to_owned(),
                count => format!(", and {count} more before it"),
            };
            let mut parts = vec![(
                "DENIED",
                format!("[{pid}] make {}: {why}{when}{more}", path.display()),
            )];
            if let Some(change) = Change::write(path) {
                parts.push(("", format!("to allow it: {}", change.flag())));
            }
            parts
        }
        Event::TrustChange {
            path,
            change,
            runs_when,
        } => {
            let change = match change {
                TrustChange::Appeared => "appeared",
                TrustChange::Changed => "changed",
                TrustChange::Removed => "was removed",
            };
            vec![(
                "trust",
                format!("{} {change}; it takes effect when {runs_when}", path.display()),
            )]
        }
        Event::PutAway { path, to, why } => vec![
            ("put away", format!("{}, to {}", path.display(), to.display())),
            (
                "",
                format!("git outside would have obeyed it by a mere look: {why}"),
            ),
        ],
        Event::Masked { path } => vec![("masked", path.display().to_string())],
        Event::Protected { path } => vec![(
            "protect",
            format!("{}, which was replaced on the host", path.display()),
        )],
        Event::GitBrought { what, value } => vec![("git", format!("{what} is {value}"))],
        Event::GitAside { what, at, why } => vec![("git", format!("{what} is kept as {at}: {why}"))],
        Event::GitNotBrought { what, why } => {
            vec![("git", format!("{what} was not brought back: {why}"))]
        }
        Event::StateNotKept { path, reason } => {
            vec![("state", format!("{} was not kept: {reason}", path.display()))]
        }
        Event::RulesChanged {
            hosts: which,
            allow,
            origin,
            cut,
        } => {
            let what = if *allow { "allowed" } else { "denied" };
            let cut = match cut {
                0 => String::new(),
                1 => ", 1 connection ended".to_owned(),
                count => format!(", {count} connections ended"),
            };
            vec![(
                "rules",
                format!("{what} from now on: {} ({origin}){cut}", hosts(which)),
            )]
        }
        Event::Asked {
            ask,
            host,
            port,
            pid,
            program,
        } => {
            let by = match (pid, program) {
                (Some(pid), Some(program)) => format!(" [{pid}] {program} asks for it"),
                _ => String::new(),
            };
            vec![("ask", format!("{ask}: may {host}:{port} be reached?{by}"))]
        }
        Event::Answered {
            ask,
            host,
            port,
            answer,
            by,
        } => vec![(
            "answer",
            format!("{ask}: {host}:{port}: {} ({by})", answer.word()),
        )],
        Event::Dropped { count, kind } => vec![(
            "dropped",
            format!("{count} events of kind {kind} are missing here"),
        )],
    }
}

fn port(event: &Event) -> String {
    let Event::Port {
        kind,
        open,
        address,
        host,
        inside,
        origin,
    } = event
    else {
        return String::new();
    };
    let there = match address {
        Some(address) => std::net::SocketAddr::new(*address, *host).to_string(),
        None => format!("localhost:{host}"),
    };
    let verb = if *open { "leads" } else { "leads no more" };
    match kind {
        PortKind::HostPort => format!("localhost:{inside} inside {verb} to {there} of the host ({origin})"),
        PortKind::Published => format!("{there} of the host {verb} to port {inside} inside ({origin})"),
    }
}

fn connection(event: &Event) -> Vec<(&'static str, String)> {
    let Event::Connection {
        pid,
        program,
        name,
        address,
        port,
        protocol,
        upstream,
        via,
        denied,
        failed,
        sent,
        received,
        duration_ms,
    } = event
    else {
        return Vec::new();
    };
    let host = match name {
        Some(name) => name.to_string(),
        None if address.is_ipv6() => format!("[{address}]"),
        None => address.to_string(),
    };
    let mut what = format!("{host}:{port}");
    if let Some(protocol) = protocol {
        let _infallible = write!(what, " {}", protocol_word(*protocol));
    }
    let mut outcome = upstream.map_or_else(String::new, |upstream| format!(" by {upstream}"));
    if let Some(via) = via {
        let unchecked = if via.checked { "" } else { ", address not checked" };
        let _infallible = write!(outcome, " through {}{unchecked}", via.proxy);
    }
    if let Some(failed) = failed {
        let _infallible = write!(outcome, ", failed: {failed}");
    } else {
        let _infallible = write!(
            outcome,
            ", {} sent, {} received in {}",
            bytes(*sent),
            bytes(*received),
            duration(*duration_ms)
        );
    }
    if let (Some(pid), Some(program)) = (pid, program) {
        let _infallible = write!(what, " from [{pid}] {program}");
    }
    judged("connect", &what, denied.as_ref(), outcome)
}

/// What was judged: as it went when it was allowed, else why not and how to allow it.
fn judged(
    kind: &'static str,
    what: &str,
    denied: Option<&Deny>,
    outcome: String,
) -> Vec<(&'static str, String)> {
    let Some(deny) = denied else {
        return vec![(kind, format!("{what}{outcome}"))];
    };
    let head = if deny.quiet { "quiet" } else { "DENIED" };
    let rule = deny
        .rule
        .as_ref()
        .map_or_else(String::new, |rule| format!(" `{rule}`"));
    let mut parts = vec![(
        head,
        format!("{kind} {what}: {}{rule} ({})", deny.reason, deny.origin),
    )];
    if let Some(allow) = deny.allow_with.as_ref().filter(|_| !deny.quiet) {
        parts.push(("", format!("to allow it: {allow}")));
    }
    parts
}

const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tls => "TLS",
        Protocol::Http => "HTTP",
        Protocol::Http2 => "HTTP/2",
        Protocol::Ssh => "SSH",
        Protocol::Opaque => "unknown protocol",
    }
}

/// Several hosts in one line.
pub(crate) fn hosts(hosts: &[HostPattern]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    hosts.join(", ")
}

/// Arguments as a shell would take them.
pub(super) fn quoted(argv: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    let words = argv.iter().map(|word| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn duration(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    match seconds {
        0 => format!("{rest} ms"),
        1..60 => format!("{seconds}.{} s", rest / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Bytes in steps of 1024, as the flags read them.
pub(super) fn bytes(count: u64) -> String {
    let steps = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = steps.into_iter().find(|(shift, _)| count >> shift > 0) else {
        return format!("{count} B");
    };
    let tenths = (u128::from(count) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A ref of a push.
fn pushed_ref(pushed: &PushedRef) -> String {
    let outcome = match pushed.outcome {
        RefOutcome::Taken => "taken",
        RefOutcome::NotTaken => "not taken by the server",
        RefOutcome::Refused => "refused",
    };
    let new = pushed.new.as_ref().map_or_else(String::new, |id| {
        format!(" to {}", id.chars().take(10).collect::<String>())
    });
    let why = pushed
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!("{} {}{new}: {outcome}{why}", pushed.change, pushed.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;
    use crate::supervise::Via;

    fn shown(event: Event) -> String {
        let time = "2026-11-23T09:08:07Z".parse().unwrap();
        lines(
            &Record {
                v: 1,
                time,
                seq: 0,
                event,
            },
            &TimeZone::UTC,
        )
    }

    fn deny(quiet: bool, rule: Option<&str>) -> Deny {
        Deny {
            rule: rule.map(String::from),
            origin: Origin::File {
                path: "/home/u/.config/aca/config.toml".into(),
                line: 3,
                column: 9,
            },
            reason: if rule.is_some() {
                "denied by a rule"
            } else {
                "no rule allows it"
            }
            .into(),
            allow_with: rule.is_none().then(|| "--allow a.test:22".into()),
            allow_line: None,
            quiet,
        }
    }

    fn connection(denied: Option<Deny>, failed: Option<&str>) -> Event {
        Event::Connection {
            pid: failed.is_none().then_some(7),
            program: failed.is_none().then(|| "/usr/bin/ssh".into()),
            name: Some("a.test".parse().unwrap()),
            address: "198.18.0.3".parse().unwrap(),
            port: 22,
            protocol: Some(Protocol::Ssh),
            upstream: denied.is_none().then(|| "192.0.2.7".parse().unwrap()),
            via: failed.map(|_| Via {
                proxy: "http://proxy.test:3128".into(),
                checked: false,
            }),
            denied,
            failed: failed.map(String::from),
            sent: 1023,
            received: 1_258_291,
            duration_ms: 1250,
        }
    }

    #[test]
    fn every_event_for_people() {
        let events = [
            Event::SessionStart {
                session: "20261123T090807006Z-aaaaaaaaaaaa".into(),
                version: "0.1.0".into(),
                agent: "claude".into(),
                agent_why: "`claude` is one of its programs".into(),
                argv: vec![
                    "claude".into(),
                    "-p".into(),
                    "it's \u{1b}[2Jgone".into(),
                    String::new(),
                ],
                project: "/work/p".into(),
                plan_hash: "abcd".into(),
                degraded: vec!["no cgroup".into()],
            },
            Event::Degraded {
                lost: vec!["Landlock scopes".into(), "a second one".into()],
            },
            Event::ProcessStart {
                pid: 7,
                path: "/usr/bin/git".into(),
                argv: vec!["git".into(), "status".into()],
            },
            Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: None,
            },
            Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: Some(deny(false, None)),
            },
            Event::Lookup {
                name: "t.test".into(),
                kind: "A".into(),
                denied: Some(deny(true, Some("t.test"))),
            },
            connection(None, None),
            connection(None, Some("connection refused")),
            connection(Some(deny(false, Some("*.test"))), None),
            Event::BudgetReached {
                host: None,
                key: "limits.egress".into(),
                origin: Origin::Flag("--max-egress 2048".into()),
                limit: 2048,
                sent: 1536,
            },
            Event::Port {
                kind: PortKind::HostPort,
                open: true,
                address: None,
                host: 5432,
                inside: 5433,
                origin: Origin::Flag("--host-port 5433:5432".into()),
            },
            Event::Port {
                kind: PortKind::Published,
                open: false,
                address: Some("::".parse().unwrap()),
                host: 8080,
                inside: 80,
                origin: Origin::Session("aca ports add [::]:8080:80".into()),
            },
            Event::Visit {
                from: "127.0.0.1:40000".parse().unwrap(),
                port: 8080,
                inside: 80,
                failed: None,
                sent: 1024,
                received: 7,
                duration_ms: 3,
            },
            Event::Visit {
                from: "[::1]:40000".parse().unwrap(),
                port: 8080,
                inside: 80,
                failed: Some("nothing listens there inside".into()),
                sent: 0,
                received: 0,
                duration_ms: 3,
            },
            Event::Listening {
                pid: Some(7),
                address: "::".parse().unwrap(),
                port: 3000,
            },
            Event::SyscallRefused {
                pid: 7,
                name: "mount".into(),
                errno: "EPERM".into(),
                count: 3,
            },
            Event::TrustChange {
                path: ".git/hooks/pre-commit\u{202e}".into(),
                change: TrustChange::Appeared,
                runs_when: "you commit".into(),
            },
            Event::PutAway {
                path: "vendor/.git".into(),
                to: "/home/u/away/vendor/.git".into(),
                why: "its configuration sets core.fsmonitor to `x`".into(),
            },
            Event::Masked {
                path: "/work/p/.env".into(),
            },
            Event::StateNotKept {
                path: ".claude.json".into(),
                reason: "mcpServers is the host's".into(),
            },
            Event::Dropped {
                count: 5,
                kind: "process_start".into(),
            },
            Event::SessionEnd {
                code: None,
                signal: Some(9),
                duration_ms: 3_723_000,
                denied: 2,
            },
            Event::SessionEnd {
                code: Some(0),
                signal: None,
                duration_ms: 61_000,
                denied: 0,
            },
        ];
        insta::assert_snapshot!(events.map(shown).concat(), @r"
        09:08:07  session   20261123T090807006Z-aaaaaaaaaaaa (aca 0.1.0)
                  agent     claude: `claude` is one of its programs
                  start     claude in /work/p: claude -p 'it'\''s \u{1b}[2Jgone' ''
                  plan      abcd
                  degraded  no cgroup
        09:08:07  degraded  Landlock scopes
                  degraded  a second one
        09:08:07  process   [7] /usr/bin/git: git status
        09:08:07  lookup    a.test A
        09:08:07  DENIED    #0 lookup a.test A: no rule allows it (/home/u/.config/aca/config.toml:3:9)
                            to allow it: --allow a.test:22
        09:08:07  quiet     lookup t.test A: denied by a rule `t.test` (/home/u/.config/aca/config.toml:3:9)
        09:08:07  connect   a.test:22 SSH from [7] /usr/bin/ssh by 192.0.2.7, 1023 B sent, 1.1 MiB received in 1.2 s
        09:08:07  connect   a.test:22 SSH by 192.0.2.7 through http://proxy.test:3128, address not checked, failed: connection refused
        09:08:07  DENIED    #0 connect a.test:22 SSH from [7] /usr/bin/ssh: denied by a rule `*.test` (/home/u/.config/aca/config.toml:3:9)
        09:08:07  budget    1.5 KiB sent: no more of 2.0 KiB may be, by limits.egress (flag --max-egress 2048)
        09:08:07  port      localhost:5433 inside leads to localhost:5432 of the host (flag --host-port 5433:5432)
        09:08:07  port      [::]:8080 of the host leads no more to port 80 inside (this session, aca ports add [::]:8080:80)
        09:08:07  visit     port 8080 from 127.0.0.1:40000 to port 80 inside, 1.0 KiB sent, 7 B received in 3 ms
        09:08:07  visit     port 8080 from [::1]:40000 to port 80 inside, failed: nothing listens there inside
        09:08:07  listens   [7] [::]:3000 inside
                            to reach it from the host: aca ports add 3000
        09:08:07  DENIED    #0 [7] system call mount: EPERM, 3 times
        09:08:07  trust     .git/hooks/pre-commit\u{202e} appeared; it takes effect when you commit
        09:08:07  put away  vendor/.git, to /home/u/away/vendor/.git
                            git outside would have obeyed it by a mere look: its configuration sets core.fsmonitor to `x`
        09:08:07  masked    /work/p/.env
        09:08:07  state     .claude.json was not kept: mcpServers is the host's
        09:08:07  dropped   5 events of kind process_start are missing here
        09:08:07  end       killed by signal 9 after 1 h 2 min, 2 denied
        09:08:07  end       exit status 0 after 1 min 1 s, 0 denied
        ");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert!(
            shown(Event::Masked {
                path: "x".repeat(100_000).into()
            })
            .len()
                < 500
        );
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
