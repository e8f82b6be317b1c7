//! Laws of the one decision, on policies made by the real reader and merge from generated files and flags.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "support/mod.rs"]
mod support;

use aca::cli::{Command, Parsed, RunFlags, parse};
use aca::config::{Bases, Layers, Places, load, merge};
use aca::policy::{
    Access, Action, Allow, Deny, GitOperation, Host, HostRule, NetworkPreset, Origin, PathRule, Policy,
    RefChange, Scheme, Verdict,
};
use aca::{agents, policy::Change};
use proptest::prelude::*;
use proptest::sample::select;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const NAMES: [&str; 9] = [
    "a.test",
    "x.a.test",
    "y.x.a.test",
    "b.test",
    "bb.test",
    "api.anthropic.com",
    "statsig.anthropic.com",
    "x.sentry.io",
    "index.crates.io",
];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"];
const PORTS: [u16; 5] = [0, 22, 80, 443, 8080];
const REPOSITORIES: [&str; 3] = ["git@a.test:x/y", "ssh://a.test:22/x/y", "b.test:z"];
const REFS: [&str; 6] = [
    "refs/heads/main",
    "refs/heads/agent/x",
    "refs/heads/a/b",
    "refs/tags/v1",
    "refs/notes/commits",
    "refs/for/main",
];
const CHANGES: [RefChange; 6] = [
    RefChange::Create,
    RefChange::Update,
    RefChange::Force { own: true },
    RefChange::Force { own: false },
    RefChange::Delete { own: true },
    RefChange::Delete { own: false },
];
const WORDS: [&str; 2] = ["git", "push"];

/// A configuration file and flags, as somebody could write them.
#[derive(Debug, Clone)]
struct Written {
    agent: &'static str,
    file: String,
    flags: Vec<OsString>,
}

fn host() -> impl Strategy<Value = String> {
    let name = (
        select(&["", "*.", "**."][..]),
        select(&NAMES[..]),
        select(&["", ":22", ":8080", ":*"][..]),
    );
    prop_oneof![
        8 => name.prop_map(|(prefix, name, port)| format!("{prefix}{name}{port}")),
        1 => select(&["*", "*:22", "10.0.0.1", "8.8.8.8:22", "[::1]:8080"][..]).prop_map(str::to_owned),
        4 => requests(),
    ]
}

fn requests() -> impl Strategy<Value = String> {
    let parts = (
        select(&["", "GET ", "GET,PUT ", "DELETE "][..]),
        select(&["http", "https"][..]),
        select(&["", "*.", "**."][..]),
        select(&NAMES[..]),
        select(&["", ":22", ":8080", ":*"][..]),
        select(&["/a", "/**", "/a/**", "/*/b", "/A/b*"][..]),
    );
    prop_oneof![
        8 => parts.prop_map(|(methods, scheme, prefix, name, port, path)| {
            format!("{methods}{scheme}://{prefix}{name}{port}{path}")
        }),
        1 => select(&["GET https://*/**", "http://10.0.0.1/a/**", "DELETE https://[::1]:8080/**"][..])
            .prop_map(str::to_owned),
    ]
}

/// What a request goes to, how, and which it is.
fn request() -> impl Strategy<Value = Action> {
    let host = prop_oneof![
        4 => select(&NAMES[..]).prop_map(|name| Host::Name(name.parse().unwrap())),
        1 => select(&ADDRESSES[..]).prop_map(|address| Host::Address(address.parse().unwrap())),
    ];
    let what = (
        select(&[Scheme::Http, Scheme::Https][..]),
        select(&["GET", "HEAD", "PUT", "DELETE"][..]),
        select(&["/", "/a", "/a/b", "/A/b%20c", "/x/b", "/a/*/c", "/**"][..]),
    );
    (host, select(&PORTS[..]), what).prop_map(|(host, port, (scheme, method, path))| Action::Request {
        host,
        port,
        scheme,
        method: method.parse().unwrap(),
        path: path.parse().unwrap(),
    })
}

/// The connection that a request needs.
fn connection(action: &Action) -> Option<Action> {
    let Action::Request { host, port, .. } = action else {
        return None;
    };
    Some(match host {
        Host::Name(name) => Action::Connect {
            name: name.clone(),
            port: *port,
        },
        Host::Address(address) => Action::ConnectAddress {
            address: *address,
            port: *port,
        },
    })
}

/// Paths that share parents, with what has to be quoted.
fn path() -> impl Strategy<Value = PathBuf> {
    let part = select(&["a", "b", "c d", "é", "it's", "q\"\\"][..]);
    let start = select(&["/srv", "/work/p", "/home/u", "/opt/x"][..]);
    (start, prop::collection::vec(part, 0..3)).prop_filter_map(
        "the home can't be made writable",
        |(start, parts)| {
            let path = Path::new(start).join(parts.iter().collect::<PathBuf>());
            let path: PathBuf = path.components().collect();
            (path != Path::new("/home/u")).then_some(path)
        },
    )
}

fn list(key: &str, items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("{key} = [{}]\n", quoted.join(", "))
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(path().prop_map(|path| path.to_str().unwrap().to_owned()), 0..3)
}

fn written() -> impl Strategy<Value = Written> {
    let hosts = || prop::collection::vec(host(), 0..3);
    let presets = select(&["", "none", "agent", "dev", "open"][..]);
    let commands = prop::collection::vec(prop::collection::vec(select(&WORDS[..]), 1..4), 0..5);
    let file = (presets, hosts(), hosts(), paths(), paths(), paths(), commands);
    let flags = (
        hosts(),
        hosts(),
        paths(),
        paths(),
        paths(),
        prop::option::of(select(&NAMES[..])),
    );
    (select(&["generic", "claude"][..]), file, flags).prop_map(|(agent, file, flags)| {
        let (preset, allow, deny, read, write, hide, commands) = file;
        let mut text = String::from("[network]\n");
        if !preset.is_empty() {
            writeln!(text, "preset = {preset:?}").unwrap();
        }
        text.push_str(&list("allow", &allow));
        text.push_str(&list("deny", &deny));
        text.push_str("[files]\n");
        for (key, items) in [("read", &read), ("write", &write), ("hide", &hide)] {
            text.push_str(&list(key, items));
        }
        let commands: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
        text.push_str("[commands]\n");
        text.push_str(&list("deny", &commands));
        let (allow, deny, read, write, hide, fixed) = flags;
        let mut words = Vec::new();
        // Hosts in flags are an error where the network is off.
        let allow = if preset == "none" { Vec::new() } else { allow };
        for (flag, items) in [
            ("--allow", allow),
            ("--deny", deny),
            ("--read", read),
            ("--write", write),
            ("--hide", hide),
        ] {
            words.extend(
                items
                    .into_iter()
                    .flat_map(|item| [OsString::from(flag), item.into()]),
            );
        }
        if let Some(name) = fixed.filter(|_| preset != "none") {
            words.extend(["--resolve".into(), format!("{name}=127.0.0.1:8080").into()]);
        }
        Written {
            agent,
            file: text,
            flags: words,
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let name = || select(&NAMES[..]).prop_map(|name| name.parse().unwrap());
    let address = select(&ADDRESSES[..]).prop_map(|address| address.parse().unwrap());
    let port = || select(&PORTS[..]);
    let odd = prop::collection::vec(select(&[b'a', b'*', b'?', 0xff, b'\n', b'\''][..]), 1..4)
        .prop_map(|bytes| Path::new("/srv/o").join(std::ffi::OsStr::from_bytes(&bytes)));
    let path = || prop_oneof![4 => path(), 1 => odd.clone()];
    let operation = select(&[GitOperation::Fetch, GitOperation::Push][..]);
    let repository = select(&REPOSITORIES[..]).prop_map(|text| text.parse().unwrap());
    let pushed = (
        repository.clone(),
        select(&REFS[..]).prop_map(|text| text.parse().unwrap()),
        select(&CHANGES[..]),
    );
    let argv = prop::collection::vec(select(&WORDS[..]).prop_map(OsString::from), 0..4);
    prop_oneof![
        name().prop_map(|name| Action::Resolve { name }),
        (name(), port()).prop_map(|(name, port)| Action::Connect { name, port }),
        (address, port()).prop_map(|(address, port)| Action::ConnectAddress { address, port }),
        request(),
        (operation, repository).prop_map(|(operation, repository)| Action::Git {
            operation,
            repository
        }),
        pushed.prop_map(|(repository, name, change)| Action::Push {
            repository,
            name,
            change
        }),
        path().prop_map(|path| Action::Read { path }),
        path().prop_map(|path| Action::Write { path }),
        argv.prop_map(|argv| Action::Execute { argv }),
    ]
}

fn flags(words: impl IntoIterator<Item = OsString>) -> RunFlags {
    let argv: Vec<OsString> = ["aca".into(), "run".into()]
        .into_iter()
        .chain(words)
        .chain(["--".into(), "true".into()])
        .collect();
    let Parsed::Args(args) = parse(&argv).unwrap() else {
        unreachable!("{argv:?}")
    };
    let Command::Run(run) = args.command else {
        unreachable!("{argv:?}")
    };
    run.flags
}

/// What is made of it, with the flags of a change besides.
fn merged(written: &Written, change: Option<&Change>) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, &written.file).unwrap();
    let places = Places::new(&[], Path::new("/home/u"), Path::new("/work/p"));
    let layer = load(&places, Some(&file)).unwrap();
    let words = change.map(Change::words).unwrap_or_default();
    let flags = flags(written.flags.iter().cloned().chain(words));
    let bases = Bases {
        home: Path::new("/home/u"),
        project: Path::new("/work/p"),
        current: Path::new("/work/p"),
    };
    let layers = Layers {
        user: layer,
        flags: flags.settings(),
        ..Layers::default()
    };
    let agent = agents::load(written.agent).unwrap();
    merge(&agent, &layers, bases).unwrap().policy
}

fn is_allowed(policy: &Policy, action: &Action) -> bool {
    matches!(policy.decide(action), Verdict::Allow(_))
}

/// Whether a rule is about a connection, a deny on every port unless it names one; or about a request.
fn hits(rule: &HostRule, action: &Action) -> bool {
    if let (
        Action::Request {
            host,
            port,
            scheme,
            method,
            path,
        },
        Some(requests),
    ) = (action, rule.pattern.requests())
    {
        return match rule.allow {
            true => {
                connection(action).is_some_and(|action| is_at(rule, &action))
                    && requests.allow(*scheme, method, path)
            }
            false => rule.pattern.concerns(host, *port) && requests.deny(method, path),
        };
    }
    // Others of its requests may pass.
    if !rule.allow && rule.pattern.requests().is_some() {
        return false;
    }
    is_at(rule, connection(action).as_ref().unwrap_or(action))
}

fn is_at(rule: &HostRule, action: &Action) -> bool {
    match action {
        Action::Connect { name, port } => rule.pattern.matches_name(name, *port, !rule.allow),
        Action::ConnectAddress { address, port } => {
            rule.pattern.matches_address(*address, *port, !rule.allow)
        }
        Action::Request { .. }
        | Action::Git { .. }
        | Action::Push { .. }
        | Action::Resolve { .. }
        | Action::Read { .. }
        | Action::Write { .. }
        | Action::Execute { .. } => false,
    }
}

/// The definition of the longest path, name by name.
fn longest(rules: &[PathRule], path: &Path) -> Option<Access> {
    let names: Vec<_> = path.iter().collect();
    let covers = |rule: &&PathRule| {
        let own: Vec<_> = rule.path.iter().collect();
        own.len() <= names.len() && own[..] == names[..own.len()]
    };
    let length = |rule: &PathRule| rule.path.iter().count();
    let most = rules.iter().filter(covers).map(length).max()?;
    rules
        .iter()
        .filter(|rule| covers(rule) && length(rule) == most)
        .map(|rule| match rule.access {
            Access::Hide => (2, Access::Hide),
            Access::Read => (1, Access::Read),
            Access::Write => (0, Access::Write),
        })
        .max_by_key(|(strictness, _)| *strictness)
        .map(|(_, access)| access)
}

fn shuffled(policy: &Policy, seed: u64) -> Policy {
    // Fisher–Yates with the numbers of a linear congruential generator.
    fn shuffle<T>(items: &mut [T], seed: &mut u64) {
        for index in (1..items.len()).rev() {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            items.swap(index, usize::try_from(*seed >> 33).unwrap() % (index + 1));
        }
    }
    let (mut other, mut seed) = (policy.clone(), seed);
    shuffle(&mut other.paths, &mut seed);
    shuffle(&mut other.network.rules, &mut seed);
    shuffle(&mut other.network.resolve, &mut seed);
    shuffle(&mut other.commands, &mut seed);
    shuffle(&mut other.git.rules, &mut seed);
    shuffle(&mut other.git.pushes, &mut seed);
    other
}

/// However the host is written, and on whatever port: no way in is left beside the requests. `*` names no host.
#[test]
fn what_is_built_in_gives_way_to_requests_by_a_wildcard_and_on_every_port() {
    let file = "network = { preset = 'dev', allow = ['GET https://**.github.com/a/**', \
                'GET https://*.anthropic.com/a/**', 'https://registry.npmjs.org:8443/a', 'GET https://*/health'] }";
    let policy = merged(
        &Written {
            agent: "claude",
            file: file.to_owned(),
            flags: Vec::new(),
        },
        None,
    );
    for (name, port, as_a_whole, by_request) in [
        ("github.com", 443, false, true),
        ("github.com", 22, false, false),
        ("ssh.github.com", 22, false, false),
        ("gitlab.com", 22, true, false),
        ("api.anthropic.com", 443, false, true),
        ("claude.ai", 443, true, false),
        ("registry.npmjs.org", 443, false, true),
        ("registry.npmjs.org", 8443, false, true),
    ] {
        let action = Action::Connect {
            name: name.parse().unwrap(),
            port,
        };
        let verdict = policy.decide(&action);
        let (whole, some) = match verdict {
            Verdict::Allow(allow) => (!allow.by_request, allow.by_request),
            Verdict::Deny(_) => (false, false),
        };
        assert_eq!((whole, some), (as_a_whole, by_request), "{name} {port}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_denial_says_why(written in written(), action in action()) {
        let policy = merged(&written, None);
        if let Verdict::Deny(deny) = policy.decide(&action) {
            prop_assert!(!deny.reason.is_empty());
            let built_in = matches!(&deny.origin, Origin::BuiltIn(name) if name.starts_with("network preset") || name == "view" || name == "git");
            prop_assert!(deny.rule.is_some() || built_in, "{deny:?}");
            prop_assert_eq!(deny.allow_with, policy.remedy(&action).as_ref().map(Change::flag));
        } else {
            prop_assert_eq!(policy.remedy(&action), None);
        }
    }

    #[test]
    fn a_deny_wins_over_every_allow(written in written(), action in action()) {
        let policy = merged(&written, None);
        if policy.network.rules.iter().any(|rule| !rule.allow && hits(rule, &action)) {
            prop_assert!(!is_allowed(&policy, &action));
        }
        // A deny more never opens anything.
        if let Some(rule) = policy.network.rules.first().filter(|_| !is_allowed(&policy, &action)) {
            let mut more = policy.clone();
            more.network.rules.push(HostRule { allow: false, ..rule.clone() });
            prop_assert!(!is_allowed(&more, &action));
        }
    }

    /// No request passes where no connection may be made; and where a connection is open as a whole, all of them do.
    #[test]
    fn a_request_and_its_connection_agree(written in written(), action in request()) {
        let policy = merged(&written, None);
        match policy.decide(&connection(&action).unwrap()) {
            Verdict::Deny(_) => {
                prop_assert!(!is_allowed(&policy, &action));
                let Action::Request { host, port, .. } = &action else { unreachable!() };
                let concerned = policy.network.rules.iter().any(|rule| rule.pattern.concerns(host, *port));
                prop_assert!(!concerned || !policy.is_unlisted(&connection(&action).unwrap()));
            }
            Verdict::Allow(Allow { by_request: false, .. }) => prop_assert!(is_allowed(&policy, &action)),
            Verdict::Allow(_) => {
                let said = policy.network.rules.iter().any(|rule| rule.pattern.requests().is_some());
                prop_assert!(said);
            }
        }
    }

    /// Whoever writes an allow of requests to a host is asked about all others to it: what is built in gives way.
    #[test]
    fn an_allow_of_requests_is_all_that_is_allowed(
        name in select(&NAMES[..]), port in select(&[80, 443][..]), any in request(),
    ) {
        let file = format!("network = {{ preset = 'open', allow = ['GET https://{name}/a/**'], resolve = {{ '{name}' = '::1' }} }}");
        let policy = merged(&Written { agent: "claude", file, flags: Vec::new() }, None);
        let Action::Request { scheme, method, path, .. } = any else { unreachable!() };
        let meant = port == 443
            && scheme == Scheme::Https
            && ["GET", "HEAD"].contains(&method.as_str())
            && path.to_string().starts_with("/a");
        let host = Host::Name(name.parse().unwrap());
        let action = Action::Request { host, port, scheme, method, path };
        prop_assert_eq!(is_allowed(&policy, &action), meant);
        let connect = policy.decide(&connection(&action).unwrap());
        match connect {
            Verdict::Allow(allow) => prop_assert!(port == 443 && allow.by_request),
            Verdict::Deny(_) => prop_assert_eq!(port, 80),
        }
    }

    #[test]
    fn the_longest_path_wins_and_on_a_tie_the_stricter(written in written(), path in path()) {
        let policy = merged(&written, None);
        let access = longest(&policy.paths, &path);
        let below = policy.paths.iter().any(|rule| {
            rule.access != Access::Hide && rule.path != path && rule.path.starts_with(&path)
        });
        let read = match access {
            Some(Access::Write | Access::Read) => true,
            // A directory on the way to what is shown.
            Some(Access::Hide) | None => below,
        };
        prop_assert_eq!(is_allowed(&policy, &Action::Write { path: path.clone() }), access == Some(Access::Write));
        prop_assert_eq!(is_allowed(&policy, &Action::Read { path }), read);
    }

    #[test]
    fn no_order_of_rules_changes_a_verdict(written in written(), action in action(), seed: u64) {
        let policy = merged(&written, None);
        prop_assert_eq!(policy.decide(&action), shuffled(&policy, seed).decide(&action));
    }

    #[test]
    fn what_a_denial_advises_works(written in written(), action in action()) {
        let policy = merged(&written, None);
        let Verdict::Deny(Deny { rule, .. }) = policy.decide(&action) else { return Ok(()) };
        match policy.remedy(&action) {
            Some(change) => {
                let changed = merged(&written, Some(&change));
                prop_assert!(is_allowed(&changed, &action), "{change:?}: {:?}", changed.decide(&action));
            }
            // Only where a rule must go instead, or there is nothing that a rule could say.
            None => {
                let unsayable = match &action {
                    Action::Connect { port, .. }
                    | Action::ConnectAddress { port, .. }
                    | Action::Request { port, .. } => *port == 0,
                    // A network that is off isn't switched on for it.
                    Action::Git { .. } => policy.network.preset == NetworkPreset::None,
                    // No flag lets others' refs be deleted.
                    Action::Push { change, .. } => {
                        *change == (RefChange::Delete { own: false }) || policy.network.preset == NetworkPreset::None
                    }
                    Action::Resolve { .. } | Action::Read { .. } | Action::Write { .. } | Action::Execute { .. } => false,
                };
                let off = policy.network.preset == NetworkPreset::None
                    && policy.network.rules.iter().any(|rule| !rule.allow);
                prop_assert!(rule.is_some() || unsayable || off);
            }
        }
    }

    /// The text of a flag is read by a shell as the words that it stands for.
    #[test]
    fn a_shell_reads_the_flag(name in prop::collection::vec(1_u8.., 1..12)) {
        let Some(bash) = support::installed("bash") else { return Ok(()) };
        let name: Vec<u8> = name.into_iter().filter(|byte| !b"/*?".contains(byte)).collect();
        prop_assume!(!name.is_empty() && name != b"." && name != b"..");
        let change = Change::Read(Path::new("/x").join(std::ffi::OsStr::from_bytes(&name)));
        let script = format!("printf '%s\\0' {}", change.flag());
        let output = std::process::Command::new(bash).env("LC_ALL", "C.UTF-8").args(["-c", &script]).output().unwrap();
        let words: Vec<u8> = change.words().iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        prop_assert_eq!(output.stdout, words, "{}", script);
    }
}
