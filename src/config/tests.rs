//! What is read, how layers merge, and the text of every fault.

use super::*;
use crate::{
    agents,
    failure::Failure,
    policy::{Access, Action, Deny, Grant, Home, NetworkPreset, Origin, PathRule, Policy, Verdict},
};
use std::{fmt::Write as _, path::Path};

pub(super) fn file(kind: FileKind, text: &str) -> Result<FileLayer, ConfigError> {
    let path = match kind {
        FileKind::Administrator => ADMINISTRATORS_FILE,
        FileKind::User => "/home/u/.config/aca/config.toml",
        FileKind::Project => "/work/p/.aca.toml",
    };
    let source = Source {
        path: path.into(),
        text: text.to_owned(),
    };
    read(source, kind)
}

fn parsed(text: &str) -> FileLayer {
    file(FileKind::User, text).unwrap()
}

pub(super) fn bases() -> Bases<'static> {
    Bases {
        home: Path::new("/home/u"),
        project: Path::new("/work/p"),
        current: Path::new("/work/p/sub"),
    }
}

pub(super) fn flags(words: &[&str]) -> Settings {
    let argv: Vec<std::ffi::OsString> = ["aca", "run"]
        .iter()
        .chain(words)
        .chain(&["true"])
        .map(Into::into)
        .collect();
    let crate::cli::Parsed::Args(args) = crate::cli::parse(&argv).unwrap() else {
        panic!("text for {words:?}")
    };
    let crate::cli::Command::Run(run) = args.command else {
        panic!("not a run: {words:?}")
    };
    run.flags.settings()
}

pub(super) fn merged(agent: &str, file: &str, words: &[&str]) -> Result<Policy, ConfigError> {
    let layers = Layers {
        user: Some(parsed(file)),
        flags: flags(words),
        ..Layers::default()
    };
    merge(&agents::load(agent).unwrap(), &layers, bases()).map(|merged| merged.policy)
}

fn connect(policy: &Policy, host: &str, port: u16) -> Verdict {
    policy.decide(&Action::Connect {
        name: host.parse().unwrap(),
        port,
    })
}

fn allows(policy: &Policy, host: &str, port: u16) -> bool {
    matches!(connect(policy, host, port), Verdict::Allow(_))
}

/// Every message that a file can cause.
#[test]
fn faults_of_a_file() {
    let cases = [
        ("alow = []", "unknown key at the top"),
        (
            "[network]\npreset = \"dev\"\nalow = [\"a.test\"]",
            "unknown key in a table",
        ),
        ("[network]\nproxy = \"x\"", "unknown key, nothing near"),
        (
            "[agents.claude.files]\nraed = []",
            "unknown key in an agent's section",
        ),
        ("[agents.claude.agents]", "agents do not nest"),
        ("own_sandbox = \"off\"", "an agent's key at the top"),
        (
            "[agents.codex]\nown_sandbox = \"of\"",
            "unknown word for an own sandbox",
        ),
        ("[agents.cluade]", "unknown agent"),
        ("[agents]\nvim = {}", "unknown agent, nothing near"),
        ("network = 1", "a number for a table"),
        ("[network]\nallow = \"a.test\"", "a string for a list"),
        ("[network]\nallow = [\"a.test\", 7]", "a number in a list"),
        ("[network]\npreset = true", "a boolean for a word"),
        ("[network]\npreset = \"opne\"", "an unknown word"),
        ("[network]\ncapture = \"tun\"", "an unknown word, nothing near"),
        (
            "[network]\n\tallow = [ \"ok.test\",\n\t\t\"https://a.test\" ]",
            "a URL, tabs before it",
        ),
        ("[network]\ndeny = [\"a b\"]", "no host"),
        ("[network]\nallow = [\"a.test:0\"]", "no port"),
        ("[network.resolve]\n\"a.test\" = \"b.test\"", "no address"),
        ("[network.resolve]\n\"a b\" = \"::1\"", "no name"),
        ("[network.resolve]\n\"a.test\" = 1", "a number for an address"),
        ("[files]\nread = [\"~/x\", \"~root/x\"]", "another's home"),
        ("[files]\nwrite = [\"a/../b\"]", "a parent after a name"),
        ("[files]\nhide = [\"\"]", "an empty path"),
        ("[files]\nhome = \"hots\"", "an unknown home"),
        ("grants = [\"userns\"]", "an unknown grant"),
        ("[limits]\nmemory = \"4X\"", "no size"),
        ("[limits]\nmemory = 1.5", "a float for a size"),
        ("[limits]\nprocesses = 0", "no count"),
        ("[limits]\ncpu = \"much\"", "no percentage"),
        ("[environment]\nkeep = [\"*\"]", "every variable"),
        ("[environment]\nkeep = [\"A B\"]", "no variable"),
        ("[environment.set]\n\"A*\" = \"x\"", "a pattern is set"),
        ("[environment]\nset = { A = 1 }", "a number for a value"),
        ("[network]\nallow = [\"a.test\"", "unclosed list"),
        ("[network]\nallow = []\nallow = []", "a key twice"),
        ("allow \u{1b}[31m", "an escape sequence"),
    ];
    let mut all = String::new();
    for (text, what) in cases {
        let source = Source {
            path: "c.toml".into(),
            text: text.to_owned(),
        };
        let error = read(source, FileKind::User).expect_err(what);
        write!(all, "--- {what}\n{}", Failure::from(error)).unwrap();
    }
    insta::assert_snapshot!(all, @r#"
    --- unknown key at the top
    error: unknown key `alow`
     --> c.toml:1:1
      |
    1 | alow = []
      | ^^^^

    hint: known keys here: `network`, `git`, `environment`, `files`, `commands`, `grants`, `limits`, `agents`
    --- unknown key in a table
    error: unknown key `alow` in [network]
     --> c.toml:3:1
      |
    3 | alow = ["a.test"]
      | ^^^^

    hint: did you mean `allow`?
    --- unknown key, nothing near
    error: unknown key `proxy` in [network]
     --> c.toml:2:1
      |
    2 | proxy = "x"
      | ^^^^^

    hint: known keys here: `preset`, `allow`, `deny`, `resolve`, `capture`, `ask`, `proxy_env`, `upstream_proxy`, `host_ports`, `publish`
    --- unknown key in an agent's section
    error: unknown key `raed` in [agents.claude.files]
     --> c.toml:2:1
      |
    2 | raed = []
      | ^^^^

    hint: did you mean `read`?
    --- agents do not nest
    error: unknown key `agents` in [agents.claude]
     --> c.toml:1:16
      |
    1 | [agents.claude.agents]
      |                ^^^^^^

    hint: known keys here: `network`, `git`, `environment`, `files`, `commands`, `grants`, `limits`, `own_sandbox`
    --- an agent's key at the top
    error: unknown key `own_sandbox`
     --> c.toml:1:1
      |
    1 | own_sandbox = "off"
      | ^^^^^^^^^^^

    hint: known keys here: `network`, `git`, `environment`, `files`, `commands`, `grants`, `limits`, `agents`
    --- unknown word for an own sandbox
    error: `of` is none of `keep`, `off`
     --> c.toml:2:15
      |
    2 | own_sandbox = "of"
      |               ^^^^

    hint: did you mean `off`?
    --- unknown agent
    error: there is no agent `cluade`
     --> c.toml:1:9
      |
    1 | [agents.cluade]
      |         ^^^^^^

    hint: did you mean `claude`?
    --- unknown agent, nothing near
    error: there is no agent `vim`
     --> c.toml:2:1
      |
    2 | vim = {}
      | ^^^

    hint: known agents: `aider`, `amp`, `claude`, `cline`, `codex`, `copilot`, `cursor-agent`, `gemini`, `goose`, `opencode`, `generic`
    --- a number for a table
    error: `network` must be a table, not an integer
     --> c.toml:1:11
      |
    1 | network = 1
      |           ^
    --- a string for a list
    error: `allow` must be a list of strings, or of tables with `host`, not a string
     --> c.toml:2:9
      |
    2 | allow = "a.test"
      |         ^^^^^^^^
    --- a number in a list
    error: `allow` must be a list of strings, or of tables with `host`, not an integer
     --> c.toml:2:20
      |
    2 | allow = ["a.test", 7]
      |                    ^
    --- a boolean for a word
    error: `preset` must be a string, not a boolean
     --> c.toml:2:10
      |
    2 | preset = true
      |          ^^^^
    --- an unknown word
    error: `opne` is none of `none`, `listed`, `agent`, `dev`, `open`
     --> c.toml:2:10
      |
    2 | preset = "opne"
      |          ^^^^^^

    hint: did you mean `open`?
    --- an unknown word, nothing near
    error: `tun` is none of `auto`, `redirect`, `ports`
     --> c.toml:2:11
      |
    2 | capture = "tun"
      |           ^^^^^
    --- a URL, tabs before it
    error: `https://a.test` is a URL: write the host alone, as `example.com:443`, or which requests, as `GET https://example.com/path/**`
     --> c.toml:3:3
      |
    3 |   "https://a.test" ]
      |   ^^^^^^^^^^^^^^^^
    --- no host
    error: `a b` is not a host pattern: byte 0x20 can't stand in a host name
     --> c.toml:2:9
      |
    2 | deny = ["a b"]
      |         ^^^^^
    --- no port
    error: `a.test:0`: the port must be 1 to 65535 or `*`
     --> c.toml:2:10
      |
    2 | allow = ["a.test:0"]
      |          ^^^^^^^^^^
    --- no address
    error: `b.test` is not an address with an optional port, such as `127.0.0.1:8080` or `[::1]:8080`
     --> c.toml:2:12
      |
    2 | "a.test" = "b.test"
      |            ^^^^^^^^
    --- no name
    error: `a b` is not a host name: byte 0x20 can't stand in a host name
     --> c.toml:2:1
      |
    2 | "a b" = "::1"
      | ^^^^^
    --- a number for an address
    error: `a.test` must be an address as a string, not an integer
     --> c.toml:2:12
      |
    2 | "a.test" = 1
      |            ^
    --- another's home
    error: `~root/x`: `~` stands for your own home only
     --> c.toml:2:16
      |
    2 | read = ["~/x", "~root/x"]
      |                ^^^^^^^^^
    --- a parent after a name
    error: `a/../b`: `..` can stand at the beginning of a relative path only
     --> c.toml:2:10
      |
    2 | write = ["a/../b"]
      |          ^^^^^^^^

    hint: write the path without `..`
    --- an empty path
    error: an empty path
     --> c.toml:2:9
      |
    2 | hide = [""]
      |         ^^
    --- an unknown home
    error: `hots` is none of `private`, `host`
     --> c.toml:2:8
      |
    2 | home = "hots"
      |        ^^^^^^

    hint: did you mean `host`?
    --- an unknown grant
    error: `userns` is none of `nested-userns`, `io-uring`, `fuse`
     --> c.toml:1:11
      |
    1 | grants = ["userns"]
      |           ^^^^^^^^
    --- no size
    error: `4X` is not a size: write bytes, or a number with K, M, G or T, such as `4G`
     --> c.toml:2:10
      |
    2 | memory = "4X"
      |          ^^^^
    --- a float for a size
    error: `memory` must be a decimal integer or a string, not a float
     --> c.toml:2:10
      |
    2 | memory = 1.5
      |          ^^^
    --- no count
    error: `0` is not a number from 1 on
     --> c.toml:2:13
      |
    2 | processes = 0
      |             ^
    --- no percentage
    error: `much` is not a percentage from 1 to 100000, such as `150%`
     --> c.toml:2:7
      |
    2 | cpu = "much"
      |       ^^^^^^
    --- every variable
    error: `*` would keep every variable, secrets too: name those that are needed
     --> c.toml:2:9
      |
    2 | keep = ["*"]
      |         ^^^
    --- no variable
    error: `A B` is not a variable's name: letters, digits and `_`, with one `*` at the end at most
     --> c.toml:2:9
      |
    2 | keep = ["A B"]
      |         ^^^^^
    --- a pattern is set
    error: `A*` stands for many variables and can't be set
     --> c.toml:2:1
      |
    2 | "A*" = "x"
      | ^^^^
    --- a number for a value
    error: `A` must be a string, not an integer
     --> c.toml:2:13
      |
    2 | set = { A = 1 }
      |             ^
    --- unclosed list
    error: not valid TOML: unclosed array, expected `]`
     --> c.toml:2:18
      |
    2 | allow = ["a.test"
      |                  ^
    --- a key twice
    error: not valid TOML: duplicate key
     --> c.toml:3:1
      |
    3 | allow = []
      | ^^^^^
    --- an escape sequence
    error: not valid TOML: key with no value, expected `=`
     --> c.toml:1:7
      |
    1 | allow �[31m
      |       ^
    "#);
}

/// Every message that comes up when layers meet.
#[test]
fn faults_of_a_merge() {
    let cases: [(&str, &[&str], &str); 10] = [
        (
            "[files]\nwrite = [\"src\", \"**/*.o\"]",
            &[],
            "a pattern to write",
        ),
        (
            "[files]\nhide = [\"~/**/*.key\"]",
            &[],
            "a pattern outside of the project",
        ),
        ("[files]\nwrite = [\"~\"]", &[], "the home"),
        ("", &["--write", "/"], "the root"),
        ("", &["--write", "../../../home"], "above the home"),
        (
            "",
            &["--hide", "/etc/*"],
            "a pattern outside of the project, by flag",
        ),
        (
            "",
            &["--net", "none", "--allow", "a.test"],
            "hosts for no network",
        ),
        (
            "[network]\npreset = \"none\"",
            &["--resolve", "a.test=::1"],
            "hosts for no network, by file",
        ),
        (
            "[agents.generic]\nown_sandbox = \"keep\"",
            &[],
            "a sandbox that isn't there",
        ),
        ("", &["--own-sandbox", "keep"], "the same by flag"),
    ];
    let mut all = String::new();
    for (file, words, what) in cases {
        let error = merged("generic", file, words).expect_err(what);
        write!(all, "--- {what}\n{}", Failure::from(error)).unwrap();
    }
    insta::assert_snapshot!(all, @r#"
    --- a pattern to write
    error: `**/*.o`: a pattern can be hidden or read, not written: write the paths out
     --> /home/u/.config/aca/config.toml:2:17
      |
    2 | write = ["src", "**/*.o"]
      |                 ^^^^^^^^
    --- a pattern outside of the project
    error: `/home/u/**/*.key` is a pattern outside of the project, where none is searched: write the paths out
     --> /home/u/.config/aca/config.toml:2:9
      |
    2 | hide = ["~/**/*.key"]
      |         ^^^^^^^^^^^^
    --- the home
    error: `/home/u` holds the home: writing there would reach all that is kept from the command
     --> /home/u/.config/aca/config.toml:2:10
      |
    2 | write = ["~"]
      |          ^^^

    hint: name the directories that must be written
    --- the root
    error: flag --write /: `/` holds the home: writing there would reach all that is kept from the command

    hint: name the directories that must be written
    --- above the home
    error: flag --write ../../../home: `/home` holds the home: writing there would reach all that is kept from the command

    hint: name the directories that must be written
    --- a pattern outside of the project, by flag
    error: flag --hide /etc/*: `/etc/*` is a pattern outside of the project, where none is searched: write the paths out
    --- hosts for no network
    error: flag --allow a.test: it has no effect: the network is off (flag --net none)

    hint: choose a preset as well: `--net agent`
    --- hosts for no network, by file
    error: flag --resolve a.test=::1: it has no effect: the network is off (/home/u/.config/aca/config.toml:2:10)

    hint: choose a preset as well: `--net agent`
    --- a sandbox that isn't there
    error: `generic` brings no sandbox of its own that could be kept
     --> /home/u/.config/aca/config.toml:2:15
      |
    2 | own_sandbox = "keep"
      |               ^^^^^^

    hint: `--grant nested-userns` is what a sandbox of any command inside needs
    --- the same by flag
    error: flag --own-sandbox keep: `generic` brings no sandbox of its own that could be kept

    hint: `--grant nested-userns` is what a sandbox of any command inside needs
    "#);
}

#[test]
fn every_rule_keeps_its_place() {
    let policy = merged(
        "claude",
        "[network]\nallow = [\n  \"a.test\",\n  \"b.test\" ]\n",
        &["--allow", "c.test:22"],
    )
    .unwrap();
    let place = |host: &str, port| match connect(&policy, host, port) {
        Verdict::Allow(allow) => allow.origin.to_string(),
        Verdict::Deny(deny) => panic!("{deny:?}"),
    };
    assert_eq!(place("b.test", 443), "/home/u/.config/aca/config.toml:4:3");
    assert_eq!(place("c.test", 22), "flag --allow c.test:22");
    assert_eq!(place("api.anthropic.com", 443), "built-in agents/claude.toml");
    assert_eq!(place("index.crates.io", 443), "built-in presets/network.toml");
}

#[test]
fn layers_from_weak_to_strong() {
    let file = "
        grants = ['fuse']
        [network]
        preset = 'none'
        [limits]
        memory = '1G'
        processes = 10
        [environment]
        set = { A = '1', B = '1', C = '1' }
        [agents.claude.network]
        preset = 'agent'
        [agents.claude.limits]
        memory = '2G'
        [agents.claude.environment]
        set = { B = '2', C = '2' }
        [agents.claude]
        grants = ['io-uring', 'fuse']
    ";
    let policy = merged("claude", file, &["--env", "C=3", "--env", "A", "--cpu", "50%"]).unwrap();
    assert_eq!(policy.network.preset, NetworkPreset::Agent);
    assert_eq!(policy.limits.memory_bytes, Some(2 << 30));
    assert_eq!(policy.limits.processes, Some(10));
    assert_eq!(policy.limits.cpu_percent, Some(50));
    assert_eq!(policy.grants, [Grant::IoUring, Grant::Fuse]);
    let value = |name: &str| {
        policy
            .environment
            .set
            .iter()
            .filter(|(set, _)| set == name)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!((value("B"), value("C")), (vec!["2"], vec!["3"]));
    assert!(value("A").is_empty() && policy.environment.keeps("A"));

    let other = merged("generic", file, &[]).unwrap();
    assert_eq!(other.network.preset, NetworkPreset::None);
    assert_eq!(other.limits.memory_bytes, Some(1 << 30));
    assert_eq!(other.grants, [Grant::Fuse]);
}

#[test]
fn nothing_configured_is_the_private_default() {
    let policy = merge(&agents::load("generic").unwrap(), &Layers::default(), bases())
        .unwrap()
        .policy;
    assert_eq!(
        (policy.home, policy.network.preset),
        (Home::Private, NetworkPreset::Dev)
    );
    assert!(policy.paths.is_empty() && policy.grants.is_empty() && policy.network.resolve.is_empty());
    assert!(allows(&policy, "registry.npmjs.org", 443) && allows(&policy, "github.com", 22));
    assert!(!allows(&policy, "example.com", 443));
}

#[test]
fn an_empty_allow_list_allows_nothing() {
    let policy = merged("generic", "[network]\npreset = 'agent'\nallow = []", &[]).unwrap();
    for host in ["example.com", "github.com", "localhost", "a"] {
        assert!(!allows(&policy, host, 443), "{host}");
    }
    let policy = merged("generic", "[network]\npreset = 'agent'\nallow = ['a.test']", &[]).unwrap();
    assert!(allows(&policy, "a.test", 443));
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let policy = merged(
        "claude",
        "[network]\ndeny = ['*.a.test']\nallow = ['**.b.test']",
        &["--allow", "x.a.test", "--deny", "c.b.test"],
    )
    .unwrap();
    assert!(!allows(&policy, "x.a.test", 443));
    assert!(allows(&policy, "b.test", 443) && !allows(&policy, "c.b.test", 443));
}

#[test]
fn telemetry_is_denied_quietly_until_it_is_allowed() {
    let quiet = |policy: &Policy, host: &str| {
        matches!(
            connect(policy, host, 443),
            Verdict::Deny(Deny { quiet: true, .. })
        )
    };
    let definition = agents::load("claude").unwrap();
    assert!(!definition.network.quiet_deny.is_empty());
    for pattern in &definition.network.quiet_deny {
        let host = pattern.to_string().replace("**.", "x.");
        assert!(quiet(&merged("claude", "", &[]).unwrap(), &host), "{host}");
        assert!(
            allows(
                &merged("claude", "", &["--allow", &pattern.to_string()]).unwrap(),
                &host,
                443
            ),
            "{host}"
        );
        assert!(
            allows(&merged("claude", "", &["--net", "open"]).unwrap(), &host, 443),
            "{host}"
        );
    }
}

#[test]
fn paths_have_their_base_and_the_later_layer_wins() {
    let file = "[files]\nread = ['~/notes', '../sibling', '/opt/x']\nhide = ['secret', '**/*.pem']\nwrite = ['/opt/x']";
    let policy = merged(
        "generic",
        file,
        &["--write", "../secret", "--read", "x", "--hide", "*.key"],
    )
    .unwrap();
    let access = |path: &str| PathRule::nearest(&policy.paths, Path::new(path)).map(|rule| rule.access);
    assert_eq!(access("/home/u/notes/a"), Some(Access::Read));
    assert_eq!(access("/work/sibling"), Some(Access::Read));
    assert_eq!(
        access("/opt/x"),
        Some(Access::Read),
        "in one layer the stricter of two"
    );
    assert_eq!(
        access("/work/p/secret"),
        Some(Access::Write),
        "the flag replaces the file's rule"
    );
    assert_eq!(access("/work/p/sub/x"), Some(Access::Read));
    assert!(
        policy
            .paths
            .iter()
            .any(|rule| rule.path == Path::new("/work/p/**/*.pem"))
    );
    assert!(
        policy
            .paths
            .iter()
            .any(|rule| rule.path == Path::new("/work/p/sub/*.key"))
    );
}

#[test]
fn a_later_fixed_address_replaces_the_earlier() {
    let policy = merged(
        "generic",
        "[network.resolve]\n'a.test' = '10.0.0.1:80'",
        &["--resolve", "A.test=[::1]:81"],
    )
    .unwrap();
    let [fixed] = policy.network.resolve.as_slice() else {
        panic!("{:?}", policy.network.resolve)
    };
    assert_eq!(
        (fixed.address.to_string(), fixed.port),
        ("::1".to_owned(), Some(81))
    );
    assert_eq!(fixed.origin, Origin::Flag("--resolve a.test=[::1]:81".into()));
}

#[test]
fn rules_on_commands_add_up() {
    let text = "[commands]\ndeny = ['git push']\n[agents.claude.commands]\ndeny = ['rm -r']";
    let denied = |agent: &str, command: &str| {
        let argv = command.split(' ').map(Into::into).collect();
        match merged(agent, text, &[])
            .unwrap()
            .decide(&Action::Execute { argv })
        {
            Verdict::Deny(deny) => Some((deny.rule.unwrap(), deny.origin.to_string())),
            Verdict::Allow(_) => None,
        }
    };
    let place = |place: &str| format!("/home/u/.config/aca/config.toml:{place}");
    let rule = |rule: &str, at: &str| Some((rule.to_owned(), place(at)));
    assert_eq!(denied("generic", "git push x"), rule("git push", "2:9"));
    assert_eq!(denied("claude", "git push x"), rule("git push", "2:9"));
    assert_eq!(denied("claude", "/bin/rm -r x"), rule("rm -r", "4:9"));
    assert_eq!(denied("generic", "rm -r x"), None);
}
