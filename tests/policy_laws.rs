//! What holds of merging whatever the files say. The sandbox is taken at its word: from the policy the plan is made, and
//! what the plan's view lets a program see, write and rename is what counts.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop, and looks at mounts alone"
)]

use aca::agents::{self, AgentDefinition};
use aca::config::{self, Bases, FileKind, FileLayer, Layers, Merged, Source, Trust};
use aca::facts::{Ambient, Cgroup, Facts, Identity, Kind, Machine, PathFact};
use aca::plan::{Entry, Extras, Kept, Plan, ProjectNeeds, plan};
use aca::policy::{
    Access, Action, Host, HostPattern, Limits, Name, Origin, PathPattern, PathRule, Place, Policy, Scheme,
    Verdict,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const HOME: &str = "/h";
const PROJECT: &str = "/h/p";
/// What there is in the project. `way` is a link to `a/b`.
const TREE: [&str; 20] = [
    ".env",
    "a",
    "a/.env",
    "a/.git",
    "a/.git/hooks",
    "a/b",
    "a/b/.idea",
    "a/b/.idea/w",
    "a/b/c",
    "a/b/x.key",
    "a/f",
    "a/v",
    "d",
    "d/.idea",
    "d/.idea/w",
    "d/e",
    "d/e/f",
    "d/x.key",
    "way",
    "x.key",
];
const OUTSIDE: [&str; 5] = ["/h/q", "/h/q/r", "/h/secret", "/o", "/o/r"];
const DIRECTORIES: [&str; 9] = [
    "a",
    "a/.git",
    "a/.git/hooks",
    "a/b",
    "a/b/.idea",
    "d",
    "d/.idea",
    "d/e",
    "way",
];
const SECRETS: [&str; 2] = [".env", "a/.env"];
const PROTECTED: [&str; 3] = ["a/.git/hooks", "a/b/.idea", "d/.idea"];

const HOSTS: [&str; 15] = [
    "a.test",
    "*.a.test",
    "**.a.test",
    "*",
    "b.a.test:22",
    "a.test:*",
    "c.test:8080",
    "127.0.0.1",
    "10.0.0.1:80",
    "**.sentry.io",
    "statsig.anthropic.com",
    "github.com",
    "GET https://a.test/a/**",
    "https://**.a.test/**",
    "DELETE https://github.com/**",
];
const NAMES: [&str; 8] = [
    "a.test",
    "b.a.test",
    "c.test",
    "x.sentry.io",
    "statsig.anthropic.com",
    "github.com",
    "api.anthropic.com",
    "index.crates.io",
];
const PATHS: [&str; 24] = [
    ".",
    "a",
    "a/b",
    "a/b/c",
    "./a/f",
    "a/v",
    ".env",
    "a/.env",
    "x.key",
    "d",
    "d/e",
    "d/.idea",
    "a/.git",
    "a/.git/hooks",
    "way",
    "/h/p/a/b",
    "~/p/d",
    "**/*.key",
    "a/*",
    "**/.idea",
    "../q",
    "~/q/r",
    "/o",
    "~/secret",
];
const VARIABLES: [&str; 5] = ["A", "B", "N_*", "N_X", "GITHUB_TOKEN"];

/// A list of a key, in the order in which it will be written.
fn list(key: &'static str, from: &'static [&'static str]) -> impl Strategy<Value = (String, Vec<String>)> {
    let few = 0..=from.len().min(4);
    subsequence(from, few).prop_shuffle().prop_map(move |values| {
        (
            key.to_owned(),
            values.iter().map(|value| format!("{value:?}")).collect(),
        )
    })
}

/// Perhaps one value of a key.
fn word(key: &'static str, from: &'static [&'static str]) -> impl Strategy<Value = (String, String)> {
    proptest::option::of(select(from)).prop_map(move |value| {
        (
            key.to_owned(),
            value.map_or_else(String::new, |value| format!("{value:?}")),
        )
    })
}

/// A file, by its keys.
#[derive(Debug, Clone)]
struct Written {
    lists: Vec<(String, Vec<String>)>,
    words: Vec<(String, String)>,
    fixed: bool,
}

impl Written {
    fn text(&self) -> String {
        let mut text = String::new();
        for (key, values) in &self.lists {
            if !values.is_empty() {
                text.push_str(&format!("{key} = [{}]\n", values.join(", ")));
            }
        }
        for (key, value) in &self.words {
            if !value.is_empty() {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        if self.fixed {
            text.push_str(
                "network.resolve = { 'c.test' = '10.0.0.1:8080' }\nenvironment.set = { A = '1' }\n",
            );
        }
        text
    }

    fn values(&self, key: &str) -> Vec<String> {
        let lists = self.lists.iter().filter(|(own, _)| own == key);
        lists
            .flat_map(|(_, values)| values.iter().map(|value| value.trim_matches('"').to_owned()))
            .collect()
    }
}

fn written() -> impl Strategy<Value = Written> {
    let lists = (
        list("network.allow", &HOSTS),
        list("network.deny", &HOSTS),
        list("environment.keep", &VARIABLES),
        list("files.read", &PATHS),
        list("files.write", &PATHS),
        list("files.hide", &PATHS),
        list("grants", &["nested-userns", "io-uring", "fuse"]),
    );
    let words = (
        word("network.preset", &["none", "listed", "agent", "dev", "open"]),
        word("network.capture", &["auto", "redirect", "ports"]),
        word("files.home", &["private", "host"]),
        word("limits.memory", &["1G", "2G"]),
        word("limits.processes", &["10", "8192", "9000"]),
        word("limits.cpu", &["50%", "100%"]),
        word("limits.open_files", &["10", "100"]),
        word("limits.file_size", &["1M", "2M"]),
        word("limits.egress", &["1M", "2M"]),
        word("limits.egress_per_host", &["1M", "2M"]),
    );
    (lists, words, proptest::bool::weighted(0.2)).prop_map(|(lists, words, fixed)| Written {
        lists: vec![lists.0, lists.1, lists.2, lists.3, lists.4, lists.5, lists.6],
        words: vec![
            words.0, words.1, words.2, words.3, words.4, words.5, words.6, words.7, words.8, words.9,
        ],
        fixed,
    })
}

fn floors() -> impl Strategy<Value = String> {
    (
        subsequence(
            &[
                "network.allow",
                "environment",
                "files.read",
                "files.write",
                "files.hide",
            ][..],
            0..=5,
        ),
        word("floor.network", &["none", "listed", "agent", "dev", "open"]),
        word("floor.home", &["private", "host"]),
        proptest::option::of(subsequence(&["nested-userns", "io-uring", "fuse"][..], 0..=3)),
        word("floor.limits.memory", &["1G", "2G"]),
        word("floor.limits.processes", &["10", "9000"]),
    )
        .prop_map(|(locks, network, home, grants, memory, processes)| {
            let mut text = format!("lock = {locks:?}\n");
            for (key, value) in [network, home, memory, processes] {
                if !value.is_empty() {
                    text.push_str(&format!("{key} = {value}\n"));
                }
            }
            if let Some(grants) = grants {
                text.push_str(&format!("floor.grants = {grants:?}\n"));
            }
            text
        })
}

fn read(text: &str, kind: FileKind) -> FileLayer {
    let source = Source {
        path: format!("/{kind:?}.toml").into(),
        text: text.to_owned(),
    };
    config::read(source, kind).unwrap()
}

fn bases() -> Bases<'static> {
    Bases {
        home: Path::new(HOME),
        project: Path::new(PROJECT),
        current: Path::new(PROJECT),
    }
}

fn layers(administrator: &str, user: &Written, flags: &Written) -> Layers {
    Layers {
        administrator: Some(read(administrator, FileKind::Administrator)),
        user: Some(read(&user.text(), FileKind::User)),
        project: None,
        flags: read(&flags.text(), FileKind::User).settings,
    }
}

fn merge(agent: &AgentDefinition, layers: &Layers) -> Option<Merged> {
    config::merge(agent, layers, bases()).ok()
}

fn at(path: &str) -> PathBuf {
    Path::new(PROJECT).join(path)
}

/// Everything that is looked at.
fn universe() -> Vec<PathBuf> {
    let tree = TREE.iter().map(|path| at(path));
    tree.chain(OUTSIDE.iter().map(PathBuf::from))
        .chain([PROJECT.into(), HOME.into()])
        .collect()
}

fn kind(path: &Path) -> Kind {
    let directory = DIRECTORIES.iter().any(|known| at(known) == path)
        || [PROJECT, HOME, "/h/q", "/o"]
            .iter()
            .any(|known| Path::new(known) == path);
    if directory { Kind::Directory } else { Kind::File }
}

fn facts() -> Facts {
    let mut paths = BTreeMap::new();
    for (path, inode) in universe().into_iter().zip(1..) {
        let link = path == at("way");
        let fact = PathFact {
            kind: kind(&path),
            real: if link { at("a/b") } else { path.clone() },
            link: link.then(|| "a/b".into()),
            links: Vec::new(),
            identity: Identity { device: 1, inode },
        };
        paths.insert(path, fact);
    }
    Facts {
        ambient: Ambient {
            environment: Vec::new(),
            home: HOME.into(),
            directory: PROJECT.into(),
            uid: 1000,
            gid: 1000,
        },
        machine: Machine {
            kernel: "6.18.0".into(),
            landlock_abi: 7,
            cgroup: Some(Cgroup {
                directory: "/sys/fs/cgroup/x".into(),
                controllers: ["memory", "cpu", "pids"].map(String::from).into(),
            }),
        },
        terminal: None,
        paths: serde_json::from_value(serde_json::json!(paths)).unwrap(),
        git_identity: None,
        dangling_resolver: None,
        closed: Vec::new(),
        passwd_with_user: None,
    }
}

fn kept(path: PathBuf, kind: Kind, origin: Origin) -> Kept {
    Kept {
        path,
        kind,
        why: "x".into(),
        place: Place::Pattern,
        origin,
    }
}

/// What the walk would find, as `cli::project` puts it.
fn needs(policy: &Policy) -> ProjectNeeds {
    let built_in = || Origin::BuiltIn("secrets".into());
    let mut needs = ProjectNeeds {
        root: PROJECT.into(),
        pins: vec![at("a/.git")],
        masks: SECRETS.map(|path| (at(path), Kind::File, built_in())).into(),
        protect: PROTECTED
            .map(|path| kept(at(path), Kind::Directory, built_in()))
            .into(),
        ..ProjectNeeds::default()
    };
    let glob = |rule: &&PathRule| rule.path.to_string_lossy().contains('*') || rule.access == Access::Hide;
    for rule in policy
        .paths
        .iter()
        .filter(glob)
        .chain(policy.kept.iter().filter(|rule| rule.access == Access::Read))
    {
        let Ok(pattern) = PathPattern::beneath(Path::new(PROJECT), &rule.path) else {
            continue;
        };
        for path in TREE {
            let path = Path::new(path);
            let first = pattern.holds(path) && !path.parent().is_some_and(|above| pattern.holds(above));
            if !first {
                continue;
            }
            let path = if path == Path::new("way") {
                Path::new("a/b")
            } else {
                path
            };
            let (path, kind) = (
                Path::new(PROJECT).join(path),
                kind(&Path::new(PROJECT).join(path)),
            );
            match rule.access {
                Access::Hide => needs.masks.push((path, kind, rule.origin.clone())),
                Access::Read => needs.protect.push(kept(path, kind, rule.origin.clone())),
                Access::Write => {}
            }
        }
    }
    needs
}

fn planned(policy: &Policy) -> Option<Plan> {
    let extras = Extras {
        home_secrets: vec!["/h/secret".into()],
        argv: vec!["true".into()],
        ..Extras::default()
    };
    plan(policy, &facts(), &needs(policy), &extras).ok()
}

/// What a program can do with a path of the host, the widest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Nothing,
    Read,
    Write,
}

/// What is mounted, in order: what lies beneath a mask can't be mounted on.
fn mounts(plan: &Plan) -> Vec<(PathBuf, Reach, bool)> {
    let mut mounts: Vec<(PathBuf, Reach, bool)> = Vec::new();
    for entry in &plan.view.entries {
        let (at, reach, mask) = match entry {
            Entry::Show { source, at, .. } if source == at => (at, Reach::Read, false),
            Entry::Grant { source, at, .. } if source == at => (at, Reach::Write, false),
            Entry::Protect { at, .. } => (at, Reach::Read, false),
            Entry::Pin { at } => (at, Reach::Write, false),
            Entry::Scratch { at, .. } => (at, Reach::Nothing, false),
            Entry::Mask { at, .. } => (at, Reach::Nothing, true),
            _ => continue,
        };
        let covering = mounts
            .iter()
            .rev()
            .find(|(above, _, _)| at.starts_with(above) && at != above);
        if !covering.is_some_and(|(_, _, mask)| *mask) {
            mounts.push((at.clone(), reach, mask));
        }
    }
    mounts
}

fn reach(mounts: &[(PathBuf, Reach, bool)], path: &Path) -> Reach {
    let innermost = mounts.iter().rev().find(|(at, _, _)| path.starts_with(at));
    innermost.map_or(Reach::Nothing, |(_, reach, _)| *reach)
}

/// Whether it can be renamed away: its directory can be written, and it is no mount point.
fn moves(mounts: &[(PathBuf, Reach, bool)], path: &Path) -> bool {
    let point = mounts.iter().any(|(at, _, _)| at == path);
    !point
        && path
            .parent()
            .is_some_and(|above| reach(mounts, above) == Reach::Write)
}

fn actions() -> Vec<Action> {
    let mut all = Vec::new();
    for name in NAMES.map(|name| name.parse::<Name>().unwrap()) {
        for port in [22, 80, 443, 8080] {
            let connect = name.clone();
            all.push(Action::Connect { name: connect, port });
            for (method, path) in [("GET", "/a/b"), ("DELETE", "/x")] {
                all.push(Action::Request {
                    host: Host::Name(name.clone()),
                    port,
                    scheme: if port == 443 { Scheme::Https } else { Scheme::Http },
                    method: method.parse().unwrap(),
                    path: path.parse().unwrap(),
                });
            }
        }
        all.push(Action::Resolve { name });
    }
    for address in ["127.0.0.1", "10.0.0.1"].map(|text| text.parse().unwrap()) {
        all.extend([80, 443, 8080].map(|port| Action::ConnectAddress { address, port }));
    }
    all
}

fn allows(policy: &Policy, action: &Action) -> bool {
    matches!(policy.decide(action), Verdict::Allow(_))
}

/// The first thing that `narrow` allows and `wide` doesn't.
fn wider(narrow: &Policy, wide: &Policy) -> Option<String> {
    let action = actions()
        .into_iter()
        .find(|action| allows(narrow, action) && !allows(wide, action));
    if let Some(action) = action {
        return Some(format!("{action:?}"));
    }
    for name in ["A", "B", "N_X", "N_Y", "GITHUB_TOKEN", "PATH", "OTHER"] {
        if narrow.environment.keeps(name) && !wide.environment.keeps(name) {
            return Some(format!("variable {name}"));
        }
    }
    let set = &wide.environment.set;
    if narrow.environment.set.iter().any(|pair| !set.contains(pair)) {
        return Some("a variable that is set".into());
    }
    if narrow.grants.iter().any(|grant| !wide.grants.contains(grant)) {
        return Some("a grant".into());
    }
    if narrow.home > wide.home || narrow.network.preset > wide.network.preset {
        return Some("the home or the preset".into());
    }
    if narrow.network.resolve != wide.network.resolve || narrow.network.capture != wide.network.capture {
        return Some("a fixed address or the capture".into());
    }
    let number = |limit: Option<u64>, none| limit.unwrap_or(none);
    for limit in [
        |limits: &Limits| limits.memory_bytes,
        |limits: &Limits| limits.file_bytes,
        |limits: &Limits| limits.open_files,
        |limits: &Limits| limits.cpu_percent.map(u64::from),
        |limits: &Limits| limits.egress.as_ref().map(|budget| budget.bytes),
        |limits: &Limits| limits.egress_per_host.as_ref().map(|budget| budget.bytes),
    ] {
        if number(limit(&narrow.limits), u64::MAX) > number(limit(&wide.limits), u64::MAX) {
            return Some("a limit".into());
        }
    }
    let processes = |policy: &Policy| number(policy.limits.processes, Limits::PROCESSES);
    if processes(narrow) > processes(wide) {
        return Some("processes".into());
    }
    // One that can't be planned starts nothing.
    let (Some(narrow), Some(wide)) = (planned(narrow), planned(wide)) else {
        return None;
    };
    let (narrow, wide) = (mounts(&narrow), mounts(&wide));
    universe().into_iter().find_map(|path| {
        let (one, other) = (reach(&narrow, &path), reach(&wide, &path));
        if one > other {
            Some(format!("{}: {one:?} over {other:?}", path.display()))
        } else if moves(&narrow, &path) && !moves(&wide, &path) {
            Some(format!("{} can be renamed", path.display()))
        } else {
            None
        }
    })
}

fn agent() -> impl Strategy<Value = AgentDefinition> {
    select(&["claude", "codex", "generic"][..]).prop_map(|name| agents::load(name).unwrap())
}

/// Those that showed a fault once: the user's file, and the project's.
#[test]
fn cases_that_were_wider() {
    for (user, project) in [
        // Its own rule made the directory hollow, and what hid it besides fell off.
        (
            "files = { hide = ['a/*'], write = ['a/b/c'] }",
            "files.hide = ['/h/p/a/b']",
        ),
        // A part was opened over a link, and its protection was thought hidden.
        ("files.write = ['a/.git', 'way']", "files.hide = ['a']"),
        // A part was shown in what was hidden, and lost what was protected in it.
        ("files.write = ['a/b']", "files.hide = ['a*']"),
        // What was only read, and so kept where it is, was hidden, and what lay above it could be renamed.
        (
            "files = { read = ['**/*.key'], write = ['d/.idea'] }",
            "files.hide = ['**/*.key']",
        ),
        // What was to be read lay over what was hidden at the same place.
        (
            "files = { hide = ['d'], write = ['d'], read = ['d/e'] }",
            "files.read = ['~/p/d']",
        ),
    ] {
        let without = Layers {
            user: Some(read(user, FileKind::User)),
            ..Layers::default()
        };
        let with = Layers {
            project: Some(read(project, FileKind::Project)),
            ..without.clone()
        };
        let agent = agents::load("generic").unwrap();
        let (without, with) = (
            merge(&agent, &without).unwrap().policy,
            merge(&agent, &with).unwrap().policy,
        );
        assert!(planned(&with).is_some() && planned(&without).is_some());
        assert_eq!(wider(&with, &without), None, "{user} {project}");
    }
}

proptest! {
    /// Whatever a file of reduced trust says, and whatever the others do.
    #[test]
    fn a_file_of_reduced_trust_only_narrows(
        agent in agent(), administrator in floors(), user in written(), project in written(), flags in written(),
    ) {
        let without = layers(&administrator, &user, &flags);
        let (without, project) = (without, read(&project.text(), FileKind::Project));
        prop_assert_eq!(project.trust, Trust::Reduced);
        let with = Layers { project: Some(project), ..without.clone() };
        // One that is refused starts nothing.
        if let (Some(without), Some(with)) = (merge(&agent, &without), merge(&agent, &with)) {
            prop_assert_eq!(wider(&with.policy, &without.policy), None);
        }
    }

    /// The same beneath nothing else, so that few cases are refused.
    #[test]
    fn a_file_of_reduced_trust_only_narrows_the_default(agent in agent(), user in written(), project in written()) {
        let mut user = user;
        user.lists.retain(|(key, _)| key.starts_with("files"));
        for (_, values) in user.lists.iter_mut().filter(|(key, _)| key == "files.write") {
            values.retain(|value| !value.contains('*'));
        }
        user.words.clear();
        let without = Layers { user: Some(read(&user.text(), FileKind::User)), ..Layers::default() };
        let with = Layers { project: Some(read(&project.text(), FileKind::Project)), ..without.clone() };
        if let (Some(without), Some(with)) = (merge(&agent, &without), merge(&agent, &with)) {
            prop_assert_eq!(wider(&with.policy, &without.policy), None);
        }
    }

    /// What any layer denies nobody reaches, whoever allows it.
    #[test]
    fn a_deny_wins(agent in agent(), user in written(), project in written(), flags in written(), trusted: bool) {
        let mut layers = layers("", &user, &flags);
        let mut own = read(&project.text(), FileKind::Project);
        own.trust = if trusted { Trust::Full } else { Trust::Reduced };
        layers.project = Some(own);
        let Some(merged) = merge(&agent, &layers) else { return Ok(()) };
        for pattern in [&user, &project, &flags].into_iter().flat_map(|file| file.values("network.deny")) {
            let pattern: HostPattern = pattern.parse().unwrap();
            for action in actions() {
                let meant = match &action {
                    Action::Request { host, port, method, path, .. } => match pattern.requests() {
                        Some(requests) => pattern.concerns(host, *port) && requests.deny(method, path),
                        None => matches!(host, Host::Name(name) if pattern.matches_name(name, *port, true)),
                    },
                    // Others of its requests may pass.
                    _ if pattern.requests().is_some() => false,
                    Action::Connect { name, port } => pattern.matches_name(name, *port, true),
                    Action::ConnectAddress { address, port } => pattern.matches_address(*address, *port, true),
                    Action::Resolve { name } => pattern.has_name(name) && pattern.listed_port().is_none(),
                    Action::Git { .. } | Action::Push { .. } | Action::Read { .. } | Action::Write { .. } | Action::Execute { .. } => false,
                };
                prop_assert!(!meant || !allows(&merged.policy, &action), "{pattern} {action:?}");
            }
        }
    }

    /// A file means the same in whatever order its lists are.
    #[test]
    fn the_order_in_a_layer_does_not_matter(agent in agent(), user in written(), project in written(), flags in written()) {
        let reversed = |file: &Written| {
            let mut file = file.clone();
            file.lists.reverse();
            file.lists.iter_mut().for_each(|(_, values)| values.reverse());
            file
        };
        let one = Layers { project: Some(read(&project.text(), FileKind::Project)), ..layers("", &user, &flags) };
        let other = Layers {
            project: Some(read(&reversed(&project).text(), FileKind::Project)),
            ..layers("", &reversed(&user), &reversed(&flags))
        };
        let (one, other) = (merge(&agent, &one), merge(&agent, &other));
        prop_assert_eq!(one.is_some(), other.is_some());
        if let (Some(one), Some(other)) = (one, other) {
            prop_assert_eq!(wider(&one.policy, &other.policy), None);
            prop_assert_eq!(wider(&other.policy, &one.policy), None);
        }
    }

    /// What the administrator fixed holds, whatever anyone says: beyond it nothing starts.
    #[test]
    fn nobody_goes_beyond_the_administrator(
        agent in agent(), floor in floors(), own in written(), user in written(), project in written(), flags in written(),
        trusted: bool,
    ) {
        // With their own settings, as far as those keep their own floors.
        let administrator = format!("{}{floor}", own.text());
        let alone = Layers { administrator: Some(read(&administrator, FileKind::Administrator)), ..Layers::default() };
        let mut all = Layers { administrator: alone.administrator.clone(), ..layers("", &user, &flags) };
        let mut file = read(&project.text(), FileKind::Project);
        file.trust = if trusted { Trust::Full } else { Trust::Reduced };
        all.project = Some(file);
        let (Some(alone), Some(all)) = (merge(&agent, &alone), merge(&agent, &all)) else { return Ok(()) };
        let fixed = read(&administrator, FileKind::Administrator);
        let (policy, below) = (&all.policy, &alone.policy);
        if let Some(most) = &fixed.floor.network {
            prop_assert!(policy.network.preset <= most.value);
        }
        if let Some(most) = &fixed.floor.home {
            prop_assert!(policy.home <= most.value);
        }
        if let Some(most) = &fixed.floor.grants {
            prop_assert!(policy.grants.iter().all(|grant| most.value.contains(grant)));
        }
        if let Some(most) = &fixed.floor.limits.memory_bytes {
            prop_assert!(policy.limits.memory_bytes.is_some_and(|memory| memory <= most.value));
        }
        if let Some(most) = &fixed.floor.limits.processes {
            prop_assert!(policy.limits.processes.unwrap_or(Limits::PROCESSES) <= most.value);
        }
        let locked = |lock| fixed.lock.iter().any(|own| own.value == lock);
        if locked(config::Lock::Environment) {
            prop_assert_eq!(&policy.environment, &below.environment);
        }
        if locked(config::Lock::Allow) && policy.network.preset <= below.network.preset {
            for action in actions() {
                prop_assert!(!allows(policy, &action) || allows(below, &action), "{action:?}");
            }
        }
        let (Some(plan), Some(plan_below)) = (planned(policy), planned(below)) else { return Ok(()) };
        let (seen, seen_below) = (mounts(&plan), mounts(&plan_below));
        for path in universe() {
            let (one, other) = (reach(&seen, &path), reach(&seen_below, &path));
            if locked(config::Lock::Write) {
                prop_assert!(one < Reach::Write || other == Reach::Write || own.values("files.hide").len() + own.values("files.read").len() > 0,
                    "{} is written", path.display());
            }
            let hidden = below.paths.iter().any(|rule| rule.access == Access::Hide && rule.path == path
                && PathRule::nearest(&below.paths, &path).is_some_and(|nearest| nearest.path == path));
            if locked(config::Lock::Hide) && hidden && policy.home <= below.home {
                // What a link leads to is what is hidden.
                let real = if path == at("way") { at("a/b") } else { path };
                prop_assert_eq!(reach(&seen, &real), Reach::Nothing, "{} is seen", real.display());
            }
        }
    }
}
