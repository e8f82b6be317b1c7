//! What lists come to, against the other sandbox's own words; and both dialects as text.

use super::*;
use crate::agents;
use crate::config::{Bases, Layers, Source, merge};
use crate::policy::{Action, PathRule, Place, Policy, Verdict};
use proptest::prelude::*;
use serde_json::json;

const HOME: &str = "/home/u";
const PROJECT: &str = "/home/u/p";

fn surroundings<'a>(look: &'a dyn Fn(&Path) -> Option<PathBuf>) -> Surroundings<'a> {
    Surroundings {
        home: Path::new(HOME),
        current: Path::new(PROJECT),
        project: Path::new(PROJECT),
        extra: &[],
        look,
        visible: vec!["/usr".into(), "/etc".into()],
        tools: vec!["/home/u/.cargo/bin".into()],
    }
}

/// Everything is there, but what only a pattern means.
fn there(path: &Path) -> Option<PathBuf> {
    let is_pattern = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| b"*?[".contains(byte));
    (!is_pattern).then(|| path.to_owned())
}

fn source(path: &str, text: String) -> Source {
    Source {
        path: path.into(),
        text,
    }
}

fn imported(lists: &serde_json::Value) -> Imported {
    let text = json!({"network": {"allowedDomains": [], "deniedDomains": []}, "filesystem": lists});
    srt(&source("/s.json", text.to_string()), &surroundings(&there)).unwrap()
}

fn rules(imported: &Imported) -> (Home, Vec<PathRule>) {
    let settings = imported.settings();
    let mut rules = Vec::new();
    for (access, list) in [
        (Access::Read, &settings.read),
        (Access::Write, &settings.write),
        (Access::Hide, &settings.hide),
    ] {
        rules.extend(list.iter().map(|written| PathRule {
            // Patterns find just what is before them here.
            path: written.value.to_string().trim_end_matches("/**").into(),
            access,
            origin: written.origin.clone(),
            place: Place::Rule,
        }));
    }
    (settings.home.unwrap().value, rules)
}

/// What a path is inside, by our rules.
fn ours(home: Home, rules: &[PathRule], path: &Path) -> Access {
    if let Some(rule) = PathRule::nearest(rules, path) {
        return rule.access;
    }
    if path.starts_with(PROJECT) {
        Access::Write
    } else if home == Home::Private && path.starts_with(HOME) && !path.starts_with("/home/u/.cargo/bin") {
        Access::Hide
    } else {
        Access::Read
    }
}

type Lists = [Vec<PathBuf>; 4];

/// What it is by srt's.
fn theirs([deny_read, allow_read, allow_write, deny_write]: &Lists, path: &Path) -> Access {
    let deepest = |list: &[PathBuf]| {
        let held = list.iter().filter(|above| path.starts_with(above));
        held.map(|above| above.components().count()).max().unwrap_or(0)
    };
    let denied = deepest(deny_read);
    let readable = denied == 0 || deepest(allow_read) >= denied || deepest(allow_write) > denied;
    if !readable {
        Access::Hide
    } else if deepest(allow_write) > 0 && deepest(deny_write) == 0 {
        Access::Write
    } else {
        Access::Read
    }
}

fn a_path() -> impl Strategy<Value = PathBuf> {
    let name = prop::sample::select(vec!["a", "b"]);
    let base = prop::sample::select(vec![
        PROJECT,
        PROJECT,
        PROJECT,
        "/home/u/d",
        "/usr/x",
        HOME,
        "/home",
        "/",
    ]);
    (base, prop::collection::vec(name, 0..4)).prop_map(|(base, names)| {
        let mut path = PathBuf::from(base);
        if path.components().count() > 2 && base != HOME {
            path.extend(names);
        }
        path
    })
}

fn every_path() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = [
        "/usr",
        "/etc",
        "/home/u/.cargo/bin/x",
        "/home/u/other",
        "/home/u/d/c",
    ]
    .iter()
    .map(PathBuf::from)
    .collect();
    for base in [PROJECT, "/home/u/d", "/usr/x"] {
        let mut level = vec![PathBuf::from(base)];
        for _ in 0..4 {
            all.extend(level.iter().cloned());
            level = level
                .iter()
                .flat_map(|path| [path.join("a"), path.join("b")])
                .collect();
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn rules_say_what_the_lists_say(
        lists in prop::array::uniform4(prop::collection::vec(a_path(), 0..4))
    ) {
        let imported = imported(&json!({
            "denyRead": lists[0], "allowRead": lists[1], "allowWrite": lists[2], "denyWrite": lists[3],
        }));
        let (home, rules) = rules(&imported);
        // All of the home is more than aca lets be written: that is left out, and said.
        let mut lists = lists;
        lists[2].retain(|path| !Path::new(HOME).starts_with(path));
        let hidden = theirs(&lists, Path::new(PROJECT)) == Access::Hide;
        prop_assert_eq!(hidden, imported.lost_restrictions().count() > 0, "{:#?}", imported.left);
        if hidden {
            return Ok(());
        }
        for path in every_path() {
            let (ours, theirs) = (ours(home, &rules, &path), theirs(&lists, &path));
            // Never more; and less only where a private home has nothing to show.
            let absent = home == Home::Private && path.starts_with(HOME) && !path.starts_with(PROJECT);
            prop_assert!(
                ours == theirs || (absent && ours > theirs),
                "{}: {:?} instead of {:?}: {:#?}", path.display(), ours, theirs, rules
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        lists in prop::array::uniform4(prop::collection::vec("[a-z~./ \"\\\\#\n\\[\\]{}é]{1,12}", 0..4))
    ) {
        let [deny_read, allow_read, allow_write, deny_write] = lists.map(|list| {
            list.into_iter().map(|path| json!({"path": path, "literal": true})).collect::<Vec<_>>()
        });
        let imported = imported(&json!({
            "denyRead": deny_read, "allowRead": allow_read, "allowWrite": allow_write, "denyWrite": deny_write,
        }));
        let text = toml(&imported, "a\ntitle").unwrap();
        prop_assert!(text.starts_with("# a"));
    }
}

proptest! {
    #[test]
    fn any_permission_rule_has_an_answer(
        rules in prop::collection::vec(
            r"(Read|Edit|Write|Bash|WebFetch|mcp__x|)[(]?(domain:)?(~|//|/|[.]/)?[a-z/.*?\[\]{}!\\ #é\n]{0,10}[)]?", 0..4
        ),
        answer in prop::sample::select(vec!["allow", "deny", "ask"]),
    ) {
        let text = json!({"permissions": {answer: rules}}).to_string();
        let file = ClaudeFile { source: source("/home/u/.claude/settings.json", text), scope: Scope::User };
        if let Ok(imported) = claude(&[file], &surroundings(&there)) {
            prop_assert!(toml(&imported, "").is_ok(), "{:#?}", imported);
            // None that asks is carried over, and none that denies is dropped without a word.
            if answer != "allow" {
                // A way to what is kept is made a place of its own, where all can be written already.
                let is_a_way = |setting: &Setting| {
                    matches!(setting, Setting::Path { path, .. } if path.to_string().starts_with(PROJECT))
                };
                let mut entries = imported.entries.iter();
                let kept = entries.any(|entry| entry.setting.allows() && !is_a_way(&entry.setting));
                prop_assert!(!kept, "{:#?}", imported.entries);
            }
            if answer == "ask" {
                prop_assert_eq!(imported.lost_restrictions().count(), rules.len());
            }
        }
    }
}

/// The configuration and, below it, what isn't carried over.
fn shown(imported: &Imported) -> String {
    let mut text = toml(imported, "T").unwrap();
    for left in &imported.left {
        text.push_str(&format!("{:?}: {}: {}\n", left.loss, left.what, left.why));
    }
    text
}

/// The policy that a run of an agent has under srt's file.
fn policy(agent: &str, network: &serde_json::Value) -> Policy {
    let text = json!({
        "network": network, "filesystem": {"denyRead": [], "allowWrite": ["."], "denyWrite": []},
    });
    let source = source("/s.json", text.to_string());
    let imported = srt(&source, &surroundings(&there)).unwrap();
    let file = layer(source, imported.settings());
    let bases = Bases {
        home: Path::new(HOME),
        project: Path::new(PROJECT),
        current: Path::new(PROJECT),
    };
    let layers = Layers {
        user: Some(file),
        ..Layers::default()
    };
    merge(&agents::load(agent).unwrap(), &layers, bases)
        .unwrap()
        .policy
}

#[test]
fn hosts_are_those_of_the_lists_for_every_agent() {
    let allows = |policy: &Policy, name: &str, port| {
        let name = name.parse().unwrap();
        matches!(policy.decide(&Action::Connect { name, port }), Verdict::Allow(_))
    };
    for agent in agents::names() {
        let lists =
            json!({"allowedDomains": ["a.test", "*.b.test:443"], "deniedDomains": ["x.b.test", "*:22"]});
        let policy = policy(agent, &lists);
        for (name, port, allowed) in [
            ("a.test", 443, true),
            ("a.test", 8443, true),
            ("a.test", 22, false),
            ("sub.a.test", 443, false),
            ("c.b.test", 443, true),
            ("c.b.test", 80, false),
            ("b.test", 443, false),
            ("x.b.test", 443, false),
            ("api.anthropic.com", 443, false),
            ("registry.npmjs.org", 443, false),
            ("github.com", 443, false),
        ] {
            assert_eq!(allows(&policy, name, port), allowed, "{agent}: {name}:{port}");
        }
    }
    // No host is no network (CVE-2025-66479), also where every host is denied.
    for lists in [
        json!({"allowedDomains": [], "deniedDomains": []}),
        json!({"allowedDomains": ["a.test"], "deniedDomains": ["*"]}),
    ] {
        let policy = policy("claude", &lists);
        assert!(!allows(&policy, "a.test", 443) && !allows(&policy, "api.anthropic.com", 443));
        let address = "192.0.2.1".parse().unwrap();
        let verdict = policy.decide(&Action::ConnectAddress { address, port: 443 });
        assert!(matches!(verdict, Verdict::Deny(_)));
    }
}

#[test]
fn srt_s_file_as_text() {
    let text = r#"{
  "network": {
    "allowedDomains": ["github.com", "*.npmjs.org:443"],
    "deniedDomains": ["gist.github.com"],
    "allowUnixSockets": ["/run/x"],
    "mitmProxy": {"socketPath": "/x", "domains": ["a.test"]}
  },
  "filesystem": {
    "denyRead": ["~/.ssh", "~/notes"],
    "allowRead": [],
    "allowWrite": [".", "~/data", "/tmp"],
    "denyWrite": ["src/generated", "~/data/kept"]
  },
  "allowNestedUserNamespaces": true,
  "allowPty": true,
  "ripgrep": {"command": "rg"},
  "enableWeakerNestedSandbox": false
}"#;
    let imported = srt(&source("/s.json", text.into()), &surroundings(&there)).unwrap();
    insta::assert_snapshot!(shown(&imported), @r#"
    # T
    # aca's own masks of secrets, and its protection of what the host runs later, stay on top of this.
    # Not carried over: network.allowUnixSockets: sockets of the host's aren't seen inside, unless a path that is shown holds one
    # Not carried over: network.mitmProxy: aca doesn't look into requests
    # Not carried over: allowPty: inside, the terminal is the user's own anyway
    # Not carried over: ripgrep: aca needs no such helper
    # Not carried over: filesystem.allowWrite[2] `/tmp`: inside, this place is the sandbox's own, and the host's isn't shared
    grants = [
      "nested-userns", # allowNestedUserNamespaces, line 14
    ]

    [network]
    preset = "listed" # network.allowedDomains, line 3
    allow = [
      "github.com:*", # network.allowedDomains[0], line 3
      "*.npmjs.org:443", # network.allowedDomains[1], line 3
    ]
    deny = [
      "gist.github.com", # network.deniedDomains[0], line 4
    ]

    [files]
    home = "host" # filesystem, line 1
    read = [
      "~/data/kept", # filesystem.denyWrite[1], line 12
      "./src/generated", # filesystem.denyWrite[0], line 12
      "./src/generated/**", # filesystem.denyWrite[0], line 12
    ]
    write = [
      "~/data", # filesystem.allowWrite[1], line 11
      "~/.claude/debug", # srt's default, line 1
      "~/.npm/_logs", # srt's default, line 1
    ]
    hide = [
      "~/.ssh", # filesystem.denyRead[0], line 9
      "~/notes", # filesystem.denyRead[1], line 9
    ]
    Permission: network.allowUnixSockets: sockets of the host's aren't seen inside, unless a path that is shown holds one
    Restriction: network.mitmProxy: aca doesn't look into requests
    Nothing: allowPty: inside, the terminal is the user's own anyway
    Nothing: ripgrep: aca needs no such helper
    Permission: filesystem.allowWrite[2] `/tmp`: inside, this place is the sandbox's own, and the host's isn't shared
    "#);
}

#[test]
fn claude_code_s_files_as_text() {
    let user = r#"{
  "model": "x",
  "env": {"A": "1", "LD_PRELOAD": "/x"},
  "permissions": {
    "allow": ["Read(~/.zshrc)", "Edit(//srv/data/**)", "Edit(/src/**)", "WebFetch(domain:docs.rs)", "Bash(npm run test:*)", "Read"],
    "deny": ["Read(.envrc)", "Read(//etc/secret/**)", "Edit(//usr/x)", "Read(secrets/)", "WebFetch(domain:*.evil.test)", "Bash(curl:*)"],
    "ask": ["Bash(git push:*)", "Edit(x)"],
    "additionalDirectories": ["../other"],
    "defaultMode": "plan"
  },
  "sandbox": {"enabled": true, "excludedCommands": ["docker"], "network": {"allowLocalBinding": true}}
}"#;
    let project = r#"{
  "permissions": {"deny": ["Edit(/migrations/**)", "Read(./config/*.pem)", "Read(~/Documents/*.pdf)", "mcp__x"]},
  "sandbox": {
    "network": {"allowedDomains": ["registry.test"], "allowUnixSocket": []},
    "filesystem": {"allowWrite": ["/srv/build"], "denyRead": ["./private"], "denyWrite": ["/srv/build/out"]}
  }
}"#;
    let files = [
        ClaudeFile {
            source: source("/home/u/.claude/settings.json", user.into()),
            scope: Scope::User,
        },
        ClaudeFile {
            source: source("/home/u/p/.claude/settings.json", project.into()),
            scope: Scope::Project,
        },
    ];
    let imported = claude(&files, &surroundings(&there)).unwrap();
    insta::assert_snapshot!(shown(&imported), @r#"
    # T
    # aca's own masks of secrets, and its protection of what the host runs later, stay on top of this.
    # Not carried over: model: it isn't about the sandbox: Claude Code reads it itself
    # Not carried over: env.LD_PRELOAD: `LD_PRELOAD` makes the dynamic loader run other code in every program, so it never goes inside
    # Not carried over: permissions.allow[4] `Bash(npm run test:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    # Not carried over: permissions.allow[5] `Read`: the project can be read and written anyway, and nothing else by this
    # Not carried over: permissions.deny[5] `Bash(curl:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    # Not carried over: permissions.ask[0] `Bash(git push:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    # Not carried over: permissions.ask[1] `Edit(x)`: aca asks nobody while a command runs
    # Not carried over: permissions.defaultMode: it is about what Claude Code asks, and Claude Code reads it itself
    # Not carried over: sandbox.excludedCommands: nothing runs outside of aca's sandbox
    # Not carried over: sandbox.network.allowLocalBinding: inside, any port can be listened on; the host doesn't see it
    # Not carried over: permissions.deny[2] `Read(~/Documents/*.pdf)` `~/Documents/*.pdf`: `/home/u/Documents/*.pdf` does not lie in the project: patterns can only be enforced there
    # Not carried over: permissions.deny[3] `mcp__x`: it is about a tool of Claude Code's, which holds the rule by itself: nothing around it does
    # Not carried over: sandbox.network.allowUnixSocket: no such key is known: a restriction may be misspelt

    [network]
    preset = "agent" # sandbox, /home/u/.claude/settings.json:1
    allow = [
      "docs.rs", # permissions.allow[3] `WebFetch(domain:docs.rs)`, /home/u/.claude/settings.json:5
      "registry.test:*", # sandbox.network.allowedDomains[0], /home/u/p/.claude/settings.json:4
    ]
    deny = [
      "*.evil.test", # permissions.deny[4] `WebFetch(domain:*.evil.test)`, /home/u/.claude/settings.json:6
    ]

    [files]
    home = "private" # sandbox, /home/u/.claude/settings.json:1
    read = [
      "~/.zshrc", # permissions.allow[0] `Read(~/.zshrc)`, /home/u/.claude/settings.json:5
      "/srv/build/out", # sandbox.filesystem.denyWrite[0], /home/u/p/.claude/settings.json:5
      "./migrations", # permissions.deny[0] `Edit(/migrations/**)`, /home/u/p/.claude/settings.json:2
      "./migrations/**", # permissions.deny[0] `Edit(/migrations/**)`, /home/u/p/.claude/settings.json:2
    ]
    write = [
      "/srv/build", # sandbox.filesystem.allowWrite[0], /home/u/p/.claude/settings.json:5
      "/srv/data", # permissions.allow[1] `Edit(//srv/data/**)`, /home/u/.claude/settings.json:5
      "/home/u/other", # permissions.additionalDirectories[0], /home/u/.claude/settings.json:8
      "~/.claude/src", # permissions.allow[2] `Edit(/src/**)`, /home/u/.claude/settings.json:5
    ]
    hide = [
      "/etc/secret", # permissions.deny[1] `Read(//etc/secret/**)`, /home/u/.claude/settings.json:6
      "./private", # sandbox.filesystem.denyRead[0], /home/u/p/.claude/settings.json:5
      "./**/.envrc", # permissions.deny[0] `Read(.envrc)`, /home/u/.claude/settings.json:6
      "./**/secrets", # permissions.deny[3] `Read(secrets/)`, /home/u/.claude/settings.json:6
      "./config/*.pem", # permissions.deny[1] `Read(./config/*.pem)`, /home/u/p/.claude/settings.json:2
    ]

    [environment.set]
    A = "1" # env.A, /home/u/.claude/settings.json:3
    Nothing: model: it isn't about the sandbox: Claude Code reads it itself
    Permission: env.LD_PRELOAD: `LD_PRELOAD` makes the dynamic loader run other code in every program, so it never goes inside
    Permission: permissions.allow[4] `Bash(npm run test:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    Nothing: permissions.allow[5] `Read`: the project can be read and written anyway, and nothing else by this
    Restriction: permissions.deny[5] `Bash(curl:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    Restriction: permissions.ask[0] `Bash(git push:*)`: a program inside can run another under any name: what a command reaches is what files and network allow
    Restriction: permissions.ask[1] `Edit(x)`: aca asks nobody while a command runs
    Nothing: permissions.defaultMode: it is about what Claude Code asks, and Claude Code reads it itself
    Permission: sandbox.excludedCommands: nothing runs outside of aca's sandbox
    Nothing: sandbox.network.allowLocalBinding: inside, any port can be listened on; the host doesn't see it
    Restriction: permissions.deny[2] `Read(~/Documents/*.pdf)` `~/Documents/*.pdf`: `/home/u/Documents/*.pdf` does not lie in the project: patterns can only be enforced there
    Restriction: permissions.deny[3] `mcp__x`: it is about a tool of Claude Code's, which holds the rule by itself: nothing around it does
    Restriction: sandbox.network.allowUnixSocket: no such key is known: a restriction may be misspelt
    "#);
}

#[test]
fn a_deny_shows_nothing_in_a_private_home() {
    let text = json!({"permissions": {"deny": ["Edit(~/notes/**)", "Read(~/other/**)"]}}).to_string();
    let file = ClaudeFile {
        source: source("/home/u/.claude/settings.json", text),
        scope: Scope::User,
    };
    let (home, rules) = rules(&claude(&[file], &surroundings(&there)).unwrap());
    assert_eq!(home, Home::Private);
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| (rule.access, rule.path.to_str().unwrap()))
        .collect();
    assert_eq!(rules, [(Access::Hide, "/home/u/other")]);
}

#[test]
fn an_unknown_word_in_a_rule_is_no_silent_loss() {
    for (deny, why) in [
        ("Reed(x)", "a tool of Claude Code's"),
        ("Read", "without anything to read"),
        ("Read(a[0-9]/x)", "not supported"),
        ("WebFetch", "a tool of Claude Code's"),
        ("Bash", "under any name"),
    ] {
        let text = json!({"permissions": {"deny": [deny]}}).to_string();
        let file = ClaudeFile {
            source: source("/home/u/.claude/settings.json", text),
            scope: Scope::User,
        };
        let imported = claude(&[file], &surroundings(&there)).unwrap();
        let lost: Vec<&Left> = imported.lost_restrictions().collect();
        assert!(lost.len() == 1 && lost[0].why.contains(why), "{deny}: {lost:?}");
    }
}
