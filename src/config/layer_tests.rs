//! Layers: what an administrator fixes, what a project's file may say, hostile files, and that the JSON schema is the
//! reader's.

use super::{
    tables::{Form, Key, TOP, Who},
    tests::{bases, file, flags},
    *,
};
use crate::{
    agents,
    failure::Failure,
    policy::{OwnSandbox, Policy},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _};

fn layers(administrator: &str, user: &str, project: &str, words: &[&str]) -> Layers {
    Layers {
        administrator: Some(file(FileKind::Administrator, administrator).unwrap()),
        user: Some(file(FileKind::User, user).unwrap()),
        project: Some(file(FileKind::Project, project).unwrap()),
        flags: flags(words),
    }
}

fn merged(layers: &Layers) -> Result<Merged, ConfigError> {
    merge(&agents::load("claude").unwrap(), layers, bases())
}

/// Every message of the administrator's floors and locks: what was asked for, where it is forbidden, whom to ask.
#[test]
fn faults_of_floors_and_locks() {
    let all_locked = "lock = ['network.allow', 'environment', 'files.read', 'files.write', 'files.hide']\n\
                      files.hide = ['secret', '**/*.key']";
    let cases: [(&str, &str, &[&str], &str); 19] = [
        (
            "floor.network = 'dev'",
            "network.preset = 'open'",
            &[],
            "a preset, by file",
        ),
        (
            "floor.network = 'none'\nfloor.contact = 'it@example.test'",
            "",
            &["--net", "agent"],
            "a preset, by flag",
        ),
        ("floor.home = 'private'", "files.home = 'host'", &[], "the home"),
        ("floor.open_names = false", "", &["--open-names"], "names"),
        (
            "floor.open_names = false",
            "files.open_names_in = ['vendor']",
            &[],
            "names in a directory",
        ),
        (
            "floor.grants = []",
            "grants = ['fuse']",
            &[],
            "a grant where there are none",
        ),
        (
            "floor.grants = ['fuse']",
            "",
            &["--grant", "io-uring"],
            "another grant",
        ),
        (
            "floor.limits.memory = '1G'",
            "",
            &["--memory", "2G"],
            "more memory",
        ),
        (
            "floor.limits = { cpu = '50%' }",
            "agents.claude.limits.cpu = 51",
            &[],
            "more of the processor, for an agent",
        ),
        (
            "network.preset = 'open'\nfloor.network = 'dev'",
            "",
            &[],
            "the administrator's own setting",
        ),
        (all_locked, "network.allow = ['a.test']", &[], "a host"),
        (
            all_locked,
            "network.resolve = { 'a.test' = '::1' }",
            &[],
            "a fixed address",
        ),
        (all_locked, "", &["--env", "A=1"], "a variable"),
        (all_locked, "files.write = ['/o']", &[], "writing"),
        (
            all_locked,
            "files.read = ['/o']",
            &[],
            "reading outside of the project",
        ),
        (
            all_locked,
            "",
            &["--read", "../secret/part"],
            "a part of what is hidden",
        ),
        (
            all_locked,
            "files.read = ['a/x.key']",
            &[],
            "what a pattern hides",
        ),
        ("lock = ['network.deny']", "", &[], "no lock"),
        ("floor.require = ['all']", "", &[], "no guarantee"),
    ];
    let mut all = String::new();
    for (administrator, user, words, what) in cases {
        let error = file(FileKind::Administrator, administrator)
            .and_then(|administrator| {
                merged(&Layers {
                    administrator: Some(administrator),
                    ..layers("", user, "", words)
                })
            })
            .expect_err(what);
        write!(all, "--- {what}\n{}", Failure::from(error)).unwrap();
    }
    insta::assert_snapshot!(all);
}

/// The administrator's keys in other files, and every message about a file that is none.
#[test]
fn faults_of_whose_file_it_is() {
    let mut all = String::new();
    for (kind, text) in [
        (FileKind::User, "lock = []"),
        (FileKind::Project, "[floor]\nnetwork = 'none'"),
        (FileKind::User, "floors = 1"),
        (FileKind::Administrator, "floors = 1"),
        (FileKind::Administrator, "[floor]\nnetworks = 1"),
        (FileKind::Administrator, "[floor.limits]\nram = 1"),
        (FileKind::Administrator, "[agents.claude.floor]"),
    ] {
        let error = file(kind, text).expect_err(text);
        write!(all, "--- {kind:?}: {text:?}\n{}", Failure::from(error)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_lock_leaves_what_makes_narrower() {
    let locked = "lock = ['files.read', 'files.write', 'files.hide', 'network.allow', 'environment']";
    let user =
        "network.deny = ['a.test']\nfiles = { hide = ['x'], read = ['.env', 'sub'] }\nlimits.processes = 5";
    let policy = merged(&layers(locked, user, "", &["--net", "none"]))
        .unwrap()
        .policy;
    assert_eq!(policy.limits.processes, Some(5));
    // To read a part of the project is to keep it as it is: a secret that it names stays masked.
    assert!(
        policy
            .paths
            .iter()
            .all(|rule| rule.access == crate::policy::Access::Hide)
    );
    assert_eq!(policy.kept.len(), 2);
    // To ask is to allow more, if somebody says yes.
    assert!(merged(&layers(locked, "network.ask = false", "", &[])).is_ok());
    assert!(merged(&layers(locked, "network.ask = true", "", &[])).is_err());
    assert!(merged(&layers(locked, "", "", &["--ask"])).is_err());
}

#[test]
fn what_nobody_chooses_is_within_the_floor() {
    let administrator = "floor = { network = 'agent', limits = { memory = '1G', processes = 10 } }";
    let policy = merged(&layers(administrator, "", "", &[])).unwrap().policy;
    assert_eq!(policy.network.preset, crate::policy::NetworkPreset::Agent);
    assert_eq!(policy.limits.memory_bytes, Some(1 << 30));
    assert_eq!(policy.limits.processes, Some(10));
    // A limit above the default isn't one.
    let policy = merged(&layers("floor.limits.processes = 9999", "", "", &[]))
        .unwrap()
        .policy;
    assert_eq!(policy.limits.processes, None);
    // Names are held, and an administrator's file may open them or keep all from it.
    assert!(policy.hold_names);
    let held = |administrator| {
        let merged = merged(&layers(administrator, "", "", &[])).unwrap();
        merged.policy.hold_names
    };
    assert!(held("floor.open_names = false") && held("files.open_names = false"));
    assert!(!held("files.open_names = true") && held("floor.open_names = true"));
}

#[test]
fn a_sandbox_of_the_agent_s_own_is_held_to_the_floor() {
    let agent = agents::load("codex").unwrap();
    let layers = |user: &str, words: &[&str]| layers("floor.grants = []", user, "", words);
    // What nobody chose is switched off, since to keep it takes a grant.
    let policy = merge(&agent, &layers("", &[]), bases()).unwrap().policy;
    assert_eq!(policy.own_sandbox, Some(OwnSandbox::Off));
    for layers in [
        layers("agents.codex.own_sandbox = 'keep'", &[]),
        layers("", &["--own-sandbox", "keep"]),
    ] {
        let error = merge(&agent, &layers, bases()).unwrap_err().to_string();
        assert!(error.contains("`nested-userns` goes beyond `none`"), "{error}");
    }
}

#[test]
fn a_trusted_project_stands_between_the_user_and_the_flags() {
    let mut layers = layers(
        "",
        "network.preset = 'agent'\nlimits.processes = 5",
        "network.preset = 'open'\nlimits.processes = 50\nfiles.write = ['/o']",
        &["--processes", "7"],
    );
    let reduced = merged(&layers).unwrap();
    assert_eq!(reduced.waiting.len(), 3);
    assert_eq!(reduced.policy.network.preset, crate::policy::NetworkPreset::Agent);
    layers.project.as_mut().unwrap().trust = Trust::Full;
    let full = merged(&layers).unwrap();
    assert_eq!(full.waiting, []);
    assert_eq!(full.policy.network.preset, crate::policy::NetworkPreset::Open);
    assert_eq!(full.policy.limits.processes, Some(7));
    assert_eq!(full.policy.paths.len(), 1);
}

fn merged_under(lock: &str, text: &str) -> Result<Merged, ConfigError> {
    merged(&Layers {
        administrator: Some(file(FileKind::Administrator, &format!("lock = ['{lock}']")).unwrap()),
        user: Some(file(FileKind::User, text).unwrap()),
        ..Layers::default()
    })
}

#[test]
fn a_lock_on_hosts_is_one_on_host_ports_and_published_ones_have_their_own() {
    let (host, published) = ("network.host_ports = [5432]", "network.publish = [3000]");
    for (lock, ports) in [("network.allow", host), ("network.publish", published)] {
        let error = merged_under(lock, ports).unwrap_err().to_string();
        assert!(error.contains(&format!("`{lock}` is locked")), "{error}");
    }
    let policy = merged_under("network.allow", published).unwrap();
    assert_eq!(policy.policy.network.publish.len(), 1);
    assert!(policy.allow_locked.is_some() && policy.publish_locked.is_none());
    let policy = merged_under("network.publish", host).unwrap();
    assert_eq!(policy.policy.network.host_ports.len(), 1);
    assert!(policy.publish_locked.is_some());
}

#[test]
fn a_later_layer_s_port_takes_the_place_of_an_earlier_one_s() {
    let layers = Layers {
        user: Some(
            file(
                FileKind::User,
                "network.host_ports = [5432, 6379]\nnetwork.publish = [3000, ':80']",
            )
            .unwrap(),
        ),
        flags: super::tests::flags(&[
            "--host-port",
            "5432:15432",
            "--publish",
            "3000:80",
            "--publish",
            ":80",
        ]),
        ..Layers::default()
    };
    let network = merged(&layers).unwrap().policy.network;
    let host_ports: Vec<String> = network
        .host_ports
        .iter()
        .map(|rule| rule.port.to_string())
        .collect();
    let published: Vec<String> = network.publish.iter().map(|rule| rule.port.to_string()).collect();
    assert_eq!(host_ports, ["6379", "5432:15432"]);
    assert_eq!(published, ["3000:80", ":80"]);
}

/// Pushes are a yes like others: a lock keeps them out, and so does it what is built in.
#[test]
fn what_may_be_pushed_is_locked_with_what_may_be_reached() {
    for yes in ["true", "{ create = ['x'] }"] {
        let text = format!("[[git.repository]]\nurl = ['a:b']\nfetch = false\npush = {yes}");
        let error = merged_under("network.allow", &text).unwrap_err().to_string();
        assert!(error.contains("`network.allow` is locked"), "{error}");
    }
    let no = "[[git.repository]]\nurl = ['a:b']\nfetch = false\npush = false";
    assert!(merged_under("network.allow", no).is_ok());
}

/// A project's file says no at once, and each half of a table by itself.
#[test]
fn a_project_may_only_keep_from_pushing() {
    let text = "[[git.repository]]\nurl = ['a:b']\npush = false\n[[git.repository]]\nurl = ['c:d']\nfetch = false\npush = { create = ['**'] }";
    let layers = Layers {
        project: Some(file(FileKind::Project, text).unwrap()),
        ..Layers::default()
    };
    let merged = merged(&layers).unwrap();
    let git = &merged.policy.git;
    assert_eq!((git.rules.len(), git.pushes.len()), (1, 1));
    assert!(!git.rules[0].fetch && git.pushes[0].grant.is_none());
    let waiting: Vec<String> = merged.waiting.iter().map(ToString::to_string).collect();
    assert_eq!(
        waiting,
        [
            "git.repository.fetch = \"a:b\"",
            "git.repository.push = \"c:d\" { create = [\"**\"] }"
        ]
    );
}

/// What is left out has the default, with the agent's own name.
#[test]
fn a_push_table_is_filled_for_the_agent() {
    let text =
        "[[git.repository]]\nurl = ['a:b']\npush = { update = ['main'], tags = ['v*'], max_pack = '1K' }";
    let layers = Layers {
        user: Some(file(FileKind::User, text).unwrap()),
        flags: super::tests::flags(&["--git-push", "e:f#+wip/**"]),
        ..Layers::default()
    };
    let git = merged(&layers).unwrap().policy.git;
    let shown: Vec<String> = git
        .pushes
        .iter()
        .map(|rule| rule.grant.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "{ create = [\"agent/**\", \"aca/**\", \"claude/**\"], update = [\"main\"], tags = [\"refs/tags/v*\"], force = \"own-session\", delete = \"own-session\", max_pack = 1024 }",
            "{ create = [\"agent/**\", \"aca/**\", \"claude/**\", \"wip/**\"], update = [\"agent/**\", \"aca/**\", \"claude/**\", \"wip/**\"], force = [\"wip/**\"], delete = \"own-session\" }",
        ]
    );
    assert_eq!(git.rules.len(), 2, "a flag that lets push lets fetch");
}

/// Every key with its path, and a value that makes as much wider as it can.
fn widest(keys: &[Key], within: &str, all: &mut Vec<(String, Who, String)>) {
    for key in keys {
        let path = if within.is_empty() {
            key.name.to_owned()
        } else {
            format!("{within}.{}", key.name)
        };
        let value = match key.form {
            Form::Table(keys) => {
                widest(keys, &path, all);
                continue;
            }
            Form::Agents(keys) => {
                widest(keys, &format!("{path}.codex"), all);
                continue;
            }
            Form::Word(words) => format!("'{}'", words.last().unwrap()),
            Form::Words(words) => format!("{words:?}"),
            Form::Commands => "['git push', 'rm']".into(),
            Form::Hosts => "['evil.test', '*', '10.0.0.1']".into(),
            Form::Allowed(_) => "['evil.test', '*', { host = '10.0.0.1', dns = 'real', sni = 'any' }]".into(),
            Form::Host => "'evil.test'".into(),
            Form::HostPorts => "[5432, '80:22']".into(),
            Form::Publish => "[3000, '0.0.0.0:8080:80']".into(),
            Form::Addresses => "{ 'evil.test' = '10.0.0.1' }".into(),
            Form::Paths => "['/etc/ssh', '../beside', '~/.ssh']".into(),
            Form::Variables => "['EVIL', 'GITHUB_*']".into(),
            Form::Values => "{ EVIL = '1' }".into(),
            Form::Size => "'64T'".into(),
            Form::Count => "1000000".into(),
            Form::Percent => "100000".into(),
            Form::Switch => "true".into(),
            Form::Proxy => "'http://u:p@proxy.test:3128'".into(),
            Form::Tables(_) => "[{ url = ['git@evil.test:x/y', 'ssh://h:22/z'] }]".into(),
            Form::SwitchOr(_) => "{ create = ['**'], tags = ['v*'] }".into(),
            Form::Refs | Form::NoOrRefs | Form::WordOrRefs(_) => "['**']".into(),
            Form::Globs => "['.github/**']".into(),
            Form::Credentials(_) => "[{ host = 'evil.test', from = 'command:/bin/evil' }]".into(),
            Form::Repositories => "['git@evil.test:x/y']".into(),
            Form::Text => "'x'".into(),
        };
        let who = if path.starts_with("floor") {
            Who::Administrator
        } else {
            key.who
        };
        all.push((path, who, value));
    }
}

/// A key that is added to the tables is tried here without anybody thinking of it.
#[test]
fn a_projects_file_makes_nothing_wider_by_any_key() {
    let user = "network.preset = 'none'\ngit.unlisted = 'deny'\ngit.mode = 'isolated'\nfiles.open_names = false\nlimits = { memory = 1, processes = 1, cpu = 1, file_size = 1, open_files = 1, egress = 1, egress_per_host = 1 }";
    let policy = |project: FileLayer| -> (Policy, usize) {
        let layers = Layers {
            project: Some(project),
            ..layers("", user, "", &[])
        };
        let merged = merge(&agents::load("codex").unwrap(), &layers, bases()).unwrap();
        (merged.policy, merged.waiting.len())
    };
    let (before, _) = policy(file(FileKind::Project, "").unwrap());
    let mut keys = Vec::new();
    widest(TOP, "", &mut keys);
    assert!(keys.len() > 40, "{keys:?}");
    for (key, who, value) in keys {
        let text = format!("{key} = {value}");
        let read = file(FileKind::Project, &text);
        if who != Who::Anyone {
            assert!(read.is_err(), "{text}");
            continue;
        }
        let mut layer = read.unwrap();
        if key.ends_with(".deny") {
            // These make nothing wider whatever they say.
            let (policy, waiting) = policy(layer);
            let denied = policy.network.rules.len() + policy.commands.len() - before.network.rules.len();
            assert!(waiting == 0 && denied >= 2, "{text}");
            continue;
        }
        let (reduced, waiting) = policy(layer.clone());
        assert_eq!(reduced, before, "{text}");
        assert!(waiting > 0, "{text}");
        layer.trust = Trust::Full;
        let (full, waiting) = policy(layer);
        assert!(
            full != before && waiting == 0,
            "trust is what makes the difference: {text}"
        );
    }
}

#[test]
fn hostile_files_end_in_an_error_or_a_policy() {
    let deep = 100_000;
    for text in [
        "[".repeat(deep),
        "a = ".to_owned() + &"[".repeat(deep),
        "a = ".to_owned() + &"{ a = ".repeat(deep),
        "a.".repeat(deep) + "a = 1",
        format!("[{}a]", "a.".repeat(deep)),
        "a = 1\n".repeat(deep),
        format!("network.preset = '{}'", "x".repeat(1 << 20)),
        format!("{} = 1", "x".repeat(1 << 20)),
        format!("network.allow = ['{}']", "a.".repeat(1 << 18)),
        "\u{0}\u{1b}[2J\u{202e}".repeat(1000),
        "network = { preset = 'dev' }\nnetwork.preset = 'open'".into(),
        "[network]\n[network]".into(),
        "agents = { claude = { agents = { claude = {} } } }".into(),
    ] {
        let kind = FileKind::Project;
        let shown: String = text.chars().take(20).collect();
        if let Err(error) = file(kind, &text) {
            let message = Failure::from(error).to_string();
            assert!(message.len() < 20_000 + (1 << 20), "{shown}");
            assert!(
                !message.contains('\u{1b}') && !message.contains('\u{202e}'),
                "{shown}"
            );
        } else {
            panic!("{shown}");
        }
    }
    // As much as a list can hold is read.
    let hosts = format!("network.allow = [{}]", "'a.test', ".repeat(50_000));
    assert_eq!(file(FileKind::User, &hosts).unwrap().settings.allow.len(), 50_000);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z.\\[\\]{}='\", \n~/*0-9]{0,200}") {
        drop(file(FileKind::Administrator, &text));
    }

    /// Faults in what is nearly right.
    #[test]
    fn a_file_with_a_byte_changed_is_read_or_refused(at in 0..MIXED.len(), byte: u8) {
        let mut bytes = MIXED.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(project) = file(FileKind::Project, &text)
        {
            drop(merged(&Layers { project: Some(project), ..Layers::default() }));
        }
    }
}

const MIXED: &str = "grants = ['fuse']\n[network]\npreset = 'dev'\nallow = ['*.a.test:22']\n[network.resolve]\n'a.test' = '[::1]:8080'\n\
    [files]\nread = ['~/x', '../y', '**/*.key']\nhome = 'host'\n[limits]\nmemory = '4G'\ncpu = 150\n[agents.claude.environment]\nkeep = ['A_*']\n";

fn schema_keys(schema: &Value, within: &str, all: &mut BTreeSet<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}.{name}")
        };
        schema_keys(schema, &path, all);
        all.insert(path);
    }
}

fn table_keys(keys: &[Key], within: &str, all: &mut BTreeSet<String>) {
    for key in keys {
        let path = if within.is_empty() {
            key.name.to_owned()
        } else {
            format!("{within}.{}", key.name)
        };
        match key.form {
            Form::Table(keys) => table_keys(keys, &path, all),
            Form::Agents(keys) => {
                for name in agents::names() {
                    let path = format!("{path}.{name}");
                    table_keys(keys, &path, all);
                    all.insert(path);
                }
            }
            Form::Word(_)
            | Form::Words(_)
            | Form::Hosts
            | Form::Allowed(_)
            | Form::Host
            | Form::HostPorts
            | Form::Publish
            | Form::Addresses
            | Form::Paths
            | Form::Commands
            | Form::Variables
            | Form::Values
            | Form::Size
            | Form::Count
            | Form::Percent
            | Form::Switch
            | Form::Proxy
            | Form::Tables(_)
            | Form::Credentials(_)
            | Form::Repositories
            | Form::SwitchOr(_)
            | Form::Refs
            | Form::WordOrRefs(_)
            | Form::NoOrRefs
            | Form::Globs
            | Form::Text => {}
        }
        all.insert(path);
    }
}

#[test]
fn the_published_schema_has_the_readers_keys() {
    let published = include_str!("../../docs/config.schema.json");
    let published: Value = serde_json::from_str(published).unwrap();
    let (mut in_schema, mut in_tables) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(&published, "", &mut in_schema);
    table_keys(TOP, "", &mut in_tables);
    assert_eq!(in_schema, in_tables);
    assert!(
        published == json_schema(),
        "`aca config schema > docs/config.schema.json` brings it up to date"
    );
}

/// What the reader takes and refuses the schema does too.
#[test]
fn the_schema_judges_as_the_reader_does() {
    let schema = jsonschema::validator_for(&json_schema()).unwrap();
    let mut texts: Vec<String> = [
        "",
        MIXED,
        "files.read = ['a', '/a', '~', '~/a', '.', '..', '../a', '../../a', './a', 'a/.b', 'a/..b']",
        "limits = { memory = 1, file_size = '12MiB', processes = '5', cpu = '150%', open_files = 9 }",
        "limits = { egress = '2GiB', egress_per_host = 9 }",
        "limits.egress = true",
        "network.ask = true",
        "network.ask = 'yes'",
        "[[git.repository]]\nurl = ['git@a.test:x/y', 'a:b', 'ssh://a:22/b', '[::1]:x']\nfetch = false",
        "git.repository = [{ fetch = true }]",
        "git.repository = [{ url = 'a:b' }]",
        "git.repository = [{ url = ['https://a.test/x', 'https://a.test:8443/x.git'] }]",
        "git.repository = [{ url = ['http://a.test/x'] }]",
        "git.repository = [{ url = ['a:b'], push = true }]",
        "git.repository = [{ url = ['a:b'], push = 'yes' }]",
        "git.repository = [{ url = ['a:b'], push = {} }]",
        "git.repository = [{ url = ['a:b'], push = { create = ['agent/**', 'refs/notes/*'], update = [], force = 'never', delete = ['x'], tags = ['v*'], max_pack = '1G', max_commits = 3, protect = ['a/**'], scan_secrets = false } }]",
        "git.repository = [{ url = ['a:b'], push = { tags = false } }]",
        "git.repository = [{ url = ['a:b'], push = { tags = true } }]",
        "git.repository = [{ url = ['a:b'], push = { force = 'always' } }]",
        "git.repository = [{ url = ['a:b'], push = { create = ['a//b'] } }]",
        "git.repository = [{ url = ['a:b'], push = { create = 'x' } }]",
        "git.repository = [{ url = ['a:b'], push = { confirm = true } }]",
        "git.repository = { url = ['a:b'] }",
        "git.unlisted = 'deny'",
        "git.unlisted = 'maybe'",
        "git.credential = [{ host = 'a.test:8443', from = 'command:/bin/x y', user = 'u' }, { host = 'b', from = 'helper' }]",
        "git.credential = [{ host = 'a.test' }]",
        "git.credential = [{ host = 'a.test', from = 'file:x' }]",
        "git.credential = [{ host = 'https://a.test/', from = 'helper' }]",
        "git.credential = [{ host = 'a.test', from = 'helper', user = 'a:b' }]",
        "git.credential = [{ host = 'a.test', from = 'helper', password = 'x' }]",
        "git = 1",
        "network.proxy_env = true",
        "network.proxy_env = 'yes'",
        "limits.memory = '1.5G'",
        "limits.memory = -1",
        "limits.memory = 0",
        "limits.memory = 1.5",
        "limits.cpu = 100001",
        "limits.cpu = '0%'",
        "limits.processes = true",
        "network.allow = ['a.test', '*', '*.a', '**.a.b:*', '1.2.3.4:80', '[::1]:80', '::1']",
        "network.allow = ['https://a.test']",
        "network.allow = ['https://a.test/']",
        "network.allow = ['https://a.test/x', 'GET https://*.a.test:8443/', 'GET,M-SEARCH http://[::1]/a/**/b*/']",
        "network.deny = ['get https://a.test/x']",
        "network.deny = ['GET, PUT https://a.test/x']",
        "network.deny = ['GET https://a.test']",
        "network.deny = ['GET ftp://a.test/x']",
        "network.deny = ['https://u@a.test/x']",
        "network.deny = ['https://a.test/x?y']",
        "network.deny = ['https://a.test/x//y']",
        "network.deny = ['https://a.test/x/../y']",
        "network.deny = ['https://a.test/x**']",
        r"network.deny = ['https://a.test/x\y']",
        "network.allow = ['a b']",
        "network.allow = ['a.test:0']",
        "network.allow = ['']",
        "network.allow = ['*a']",
        "network.allow = 'a.test'",
        "network.allow = [1]",
        "network.allow = [{ host = 'a.test', dns = 'real', sni = 'any' }, 'b.test', { host = '*:*' }]",
        "network.allow = [{ host = 'a.test', sni = 'optional' }]",
        "network.allow = [{ dns = 'real' }]",
        "network.allow = [{ host = 'a b' }]",
        "network.allow = [{ host = 'a.test', dns = 'any' }]",
        "network.allow = [{ host = 'a.test', sni = true }]",
        "network.allow = [{ host = 'a.test', port = 1 }]",
        "network.allow = { host = 'a.test' }",
        "network.deny = [{ host = 'a.test' }]",
        "network.upstream_proxy = 'none'",
        "network.upstream_proxy = 'environment'",
        "network.upstream_proxy = 'env:CORP_PROXY'",
        "network.upstream_proxy = 'file:~/x y'",
        "network.upstream_proxy = 'https://u:p@proxy.test:3128/'",
        "network.upstream_proxy = 'socks5://proxy.test'",
        "network.upstream_proxy = 'proxy.test:3128'",
        "network.upstream_proxy = 'file:x'",
        "network.upstream_proxy = 'env:'",
        "network.upstream_proxy = 1",
        "network.preset = 'opne'",
        "network.proxy = 1",
        "network.resolve = { 'a.test' = '1.2.3.4', 'b' = '[::1]:80', c = '::1' }",
        "network.resolve = { 'a.test' = 'b.test' }",
        "network.resolve = { 'a b' = '::1' }",
        "network.resolve = { a = 1 }",
        "files.read = ['a/../b']",
        "files.read = ['']",
        "files.read = ['~root/x']",
        "files.read = ['/..']",
        "files.read = ['~/..']",
        "files.home = 'hots'",
        "grants = ['userns']",
        "grants = 'fuse'",
        "environment.keep = ['A', 'A_*', '_']",
        "environment.keep = ['*']",
        "environment.keep = ['A B']",
        "environment.keep = ['1A']",
        "environment.keep = ['LD_PRELOAD']",
        "environment.keep = ['DYLD_*']",
        "environment.set = { A = '', B = 'x y' }",
        "environment.set = { 'A*' = '' }",
        "environment.set = { A = 1 }",
        "environment.set = { LD_PRELOAD = '' }",
        "agents.claude = {}",
        "agents.cluade = {}",
        "agents.claude.agents = {}",
        "agents.claude.floor = {}",
        "lock = ['network.allow']",
        "lock = ['network']",
        "floor = { network = 'dev', home = 'private' }",
        "floor = { grants = [], require = ['recorded'], contact = 'x', limits = { memory = '1G' } }",
        "floor.require = ['all']",
        "floor.contact = 1",
        "floor.grants = ['x']",
        "alow = []",
        "network = 1",
        "network = []",
    ]
    .map(String::from)
    .into();
    let mut keys = Vec::new();
    widest(TOP, "", &mut keys);
    texts.extend(keys.iter().map(|(key, _, value)| format!("{key} = {value}")));
    texts.extend(keys.iter().map(|(key, _, _)| format!("{key} = 1979-05-27")));
    let (mut taken, mut refused) = (0, 0);
    for text in texts {
        let document: toml::Table = text.parse().unwrap();
        let json = serde_json::to_value(&document).unwrap();
        let read = file(FileKind::Administrator, &text);
        assert_eq!(read.is_ok(), schema.is_valid(&json), "{text}: {:?}", read.err());
        if read.is_ok() { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 50 && refused > 50, "{taken} {refused}");
}
