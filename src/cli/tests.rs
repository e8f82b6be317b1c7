//! What arguments mean, and the text of every usage error.

use super::*;
use crate::cli::flags::{LogArgs, RunFlags, SessionsArgs};
use crate::policy::Access;
use std::os::unix::ffi::OsStringExt;

fn parsed(words: &[&str]) -> Result<Parsed, Failure> {
    let argv: Vec<OsString> = std::iter::once("aca")
        .chain(words.iter().copied())
        .map(OsString::from)
        .collect();
    parse(&argv)
}

fn run(words: &[&str]) -> RunArgs {
    match parsed(words).unwrap() {
        Parsed::Args(args) => match args.command {
            Command::Run(args) => args,
            Command::Plan(args) => args.run,
            Command::Config(args) => args.run,
            other @ (Command::Agents(_)
            | Command::Allow(_)
            | Command::Deny(_)
            | Command::Approve(_)
            | Command::Doctor(_)
            | Command::Import(_)
            | Command::Log(_)
            | Command::Sessions(_)
            | Command::Check(_)
            | Command::Ports(_)
            | Command::Selftest(_)
            | Command::Trust(_)
            | Command::Why(_)
            | Command::WhyPush(_)) => {
                panic!("{other:?}")
            }
        },
        Parsed::Text(text) => panic!("{text}"),
    }
}

#[test]
fn the_first_word_ends_acas_flags() {
    for (typed, words, after_separator) in [
        (
            &["run", "git", "-c", "a.b=c", "version"][..],
            &["git", "-c", "a.b=c", "version"][..],
            false,
        ),
        (&["run", "ls", "-la", "-d", "/"], &["ls", "-la", "-d", "/"], false),
        (
            &["run", "claude", "--settings", "x"],
            &["claude", "--settings", "x"],
            false,
        ),
        (
            &["run", "claude", "--net", "none", "--help", "--version"],
            &["claude", "--net", "none", "--help", "--version"],
            false,
        ),
        (&["run", "claude", "--", "x"], &["claude", "--", "x"], false),
        (&["run", "--", "claude", "-p"], &["claude", "-p"], true),
        (&["run", "--", "--odd", "--net"], &["--odd", "--net"], true),
        (&["run", "--", "--", "x"], &["--", "x"], true),
        (&["run", "--net", "none", "--", "x"], &["x"], true),
        (
            &["run", "--net", "none", "x", "--", "y"],
            &["x", "--", "y"],
            false,
        ),
        (&["run", "--env=A=--", "x", "-"], &["x", "-"], false),
        (&["plan", "--json", "git", "--json"], &["git", "--json"], false),
        (&["config", "--net", "none", "claude"], &["claude"], false),
        (&["config"], &[], false),
        (&["config", "--", "check"], &["check"], true),
        (&["run", "sh", "-c", ""], &["sh", "-c", ""], false),
        (&["run", "run", "run"], &["run", "run"], false),
    ] {
        let args = run(typed);
        assert_eq!(args.words, words, "{typed:?}");
        assert_eq!(args.after_separator, after_separator, "{typed:?}");
    }
}

#[test]
fn what_why_is_asked_about() {
    let why = |words: &[&str]| match parsed(words).unwrap() {
        Parsed::Args(args) => match args.command {
            Command::Why(args) => *args,
            other @ (Command::Run(_)
            | Command::Plan(_)
            | Command::Config(_)
            | Command::Trust(_)
            | Command::Agents(_)
            | Command::Allow(_)
            | Command::Deny(_)
            | Command::Approve(_)
            | Command::Doctor(_)
            | Command::Import(_)
            | Command::Log(_)
            | Command::Sessions(_)
            | Command::Check(_)
            | Command::Ports(_)
            | Command::Selftest(_)
            | Command::WhyPush(_)) => panic!("{other:?}"),
        },
        Parsed::Text(text) => panic!("{text}"),
    };
    let args = why(&["why", "--net", "none", "a.test:80", "--json"]);
    assert_eq!(
        (args.json, args.target, args.wanted),
        (true, vec!["a.test:80".into()], Access::Read)
    );
    assert_eq!(args.flags.net, Some(crate::policy::NetworkPreset::None));
    let args = why(&["why", "--agent", "claude", "--", "git", "push", "--force"]);
    assert_eq!(args.command, ["git", "push", "--force"]);
    let args = why(&["why", "--for", "write", "--write", "/x", "./a"]);
    assert_eq!((args.wanted, args.flags.write.len()), (Access::Write, 1));
    let args = why(&["why", "--session", "2026", "7"]);
    assert_eq!(
        (args.session.as_deref(), args.target),
        (Some("2026"), vec!["7".into()])
    );
}

#[test]
fn words_and_paths_need_not_be_utf8() {
    let odd = OsString::from_vec(b"/x/\xff".to_vec());
    let argv = ["aca", "run", "--read"].map(OsString::from).into_iter().chain([
        odd.clone(),
        "cat".into(),
        odd.clone(),
    ]);
    let Parsed::Args(args) = parse(&argv.collect::<Vec<_>>()).unwrap() else {
        panic!()
    };
    let Command::Run(args) = args.command else {
        panic!()
    };
    assert_eq!(args.words, ["cat".into(), odd]);
    assert_eq!(args.flags.read.len(), 1);
}

#[test]
fn every_flag_of_run_is_read() {
    let args = run(&[
        "run",
        "--net",
        "agent",
        "--allow",
        "a.test",
        "--allow",
        "*.b.test:22",
        "--deny",
        "c.test",
        "--resolve",
        "a.test=127.0.0.1:80",
        "--env",
        "A",
        "--env",
        "B=x=y",
        "--read",
        "r",
        "--write",
        "w",
        "--hide",
        "**/*.key",
        "--home",
        "host",
        "--grant",
        "fuse",
        "--memory",
        "4G",
        "--processes",
        "9",
        "--cpu",
        "50%",
        "--file-size",
        "1M",
        "--project",
        "p",
        "--config",
        "c",
        "--agent",
        "claude",
        "true",
    ]);
    let flags = args.flags;
    let settings = flags.settings();
    assert_eq!(
        settings
            .allow
            .iter()
            .map(|host| host.origin.to_string())
            .collect::<Vec<_>>(),
        ["flag --allow a.test", "flag --allow *.b.test:22"]
    );
    assert_eq!(settings.environment.len(), 2);
    assert_eq!(
        (settings.read.len(), settings.write.len(), settings.hide.len()),
        (1, 1, 1)
    );
    assert_eq!(settings.limits.values().memory_bytes, Some(4 << 30));
    let limits = settings.limits.values();
    assert_eq!(
        (limits.processes, limits.cpu_percent, limits.file_bytes),
        (Some(9), Some(50), Some(1 << 20))
    );
    assert!(
        settings.preset.is_some()
            && settings.home.is_some()
            && settings.grants.len() == 1
            && settings.resolve.len() == 1
    );
    assert_eq!(
        (flags.agent.as_deref(), flags.project, flags.config),
        (Some("claude"), Some("p".into()), Some("c".into()))
    );
    assert_eq!(RunFlags::default().settings(), crate::config::Settings::default());
}

#[test]
fn log_takes_a_session() {
    let Parsed::Args(args) = parsed(&["log", "2026", "--denied", "--json"]).unwrap() else {
        panic!()
    };
    assert_eq!(
        args.command,
        Command::Log(LogArgs {
            session: Some("2026".into()),
            json: true,
            denied: true,
            follow: false,
            verify: false,
            all: false,
        })
    );
}

#[test]
fn sessions_have_a_limit() {
    let limits = |words: &[&str]| {
        let Parsed::Args(args) = parsed(words).unwrap() else {
            panic!()
        };
        let Command::Sessions(SessionsArgs { limit, all, .. }) = args.command else {
            panic!()
        };
        (limit, all)
    };
    assert_eq!(limits(&["sessions"]), (20, false));
    assert_eq!(limits(&["sessions", "--limit", "3", "--project"]), (3, false));
    assert!(limits(&["sessions", "--all", "--json"]).1);
    for words in [
        &["sessions", "--all", "--limit", "3"][..],
        &["sessions", "--limit", "0"],
        &["log", "--all"],
        &["log", "--verify", "--all", "2026"],
        &["log", "--verify", "--follow"],
        &["log", "--verify", "--json"],
    ] {
        assert_eq!(parsed(words).unwrap_err().kind(), FailureKind::Usage, "{words:?}");
    }
}

#[test]
fn help_and_version_are_text() {
    for words in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["plan", "-h"],
        &["log", "--help"],
        &["sessions", "--help"],
    ] {
        let Parsed::Text(text) = parsed(words).unwrap() else {
            panic!("{words:?}")
        };
        assert!(
            !text.is_empty() && text.is_ascii() || text.contains('…'),
            "{text}"
        );
        assert!(!text.contains("stage"), "the stage is nobody's command");
    }
}

#[test]
fn usage_errors() {
    let cases: [&[&str]; 16] = [
        &[],
        &["fly"],
        &["rum", "x"],
        &["run"],
        &["plan", "--json"],
        &["run", "--"],
        &["run", "--allwo", "a.test", "x"],
        &["run", "--net", "opne", "x"],
        &["run", "--net"],
        &["run", "--allow", "https://a.test", "x"],
        &["run", "--resolve", "a.test", "x"],
        &["run", "--env", "*", "x"],
        &["run", "--memory", "much", "x"],
        &["run", "--read", "a/../b", "x"],
        &["run", "--net", "none", "--net", "open", "x"],
        &["log", "a", "b"],
    ];
    let mut all = String::new();
    for words in cases {
        let failure = parsed(words).expect_err(&words.join(" "));
        assert_eq!(failure.kind().code(), 125);
        all.push_str(&format!("--- aca {}\n{failure}", words.join(" ")));
    }
    insta::assert_snapshot!(all, @r"
    --- aca 
    error: a command is missing
    aca runs AI coding agents in a sandbox that the kernel enforces

    Usage: aca <COMMAND>

    Commands:
      run       Run an agent, or any command, in the sandbox
      plan      Print what a run would do, without doing it
      doctor    Say what this machine gives, and how to get the rest
      log       Show what happened in a session
      sessions  List the sessions, newest first
      check     Show what a run left that runs later on your machine, and put it back or away
      allow     Allow hosts in a session that runs
      deny      Deny hosts in a session that runs
      ports     Show, open and close ports of a running session that lead over the wall
      approve   Answer what sessions ask that run with `--ask`
      import    Turn the settings of another sandbox into a configuration
      selftest  Try known escapes on this machine
      agents    List the agents that are known, and what each is granted
      why       Explain one decision: of a path, a host, a command, or an event of a session
      why-push  Explain what would become of a ref that git inside pushes
      config    Print what is configured, each value with its source; check a file; print the schema
      trust     Trust what a project's `.aca.toml` says, after a look at it
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version
    --- aca fly
    error: unrecognized subcommand `fly`

    hint: `aca --help` shows the commands, `aca COMMAND --help` the flags of one
    --- aca rum x
    error: unrecognized subcommand `rum`

    hint: did you mean `run`?
    --- aca run
    error: `aca run` needs an agent or a command

    hint: `aca run claude`, or `aca run -- make test`
    --- aca plan --json
    error: `aca plan` needs an agent or a command

    hint: `aca plan claude`, or `aca plan -- make test`
    --- aca run --
    error: `aca run` needs an agent or a command

    hint: `aca run claude`, or `aca run -- make test`
    --- aca run --allwo a.test x
    error: unexpected argument `--allwo` found

    hint: did you mean `--allow`?
    --- aca run --net opne x
    error: `--net`: `opne` is none of `none`, `listed`, `agent`, `dev`, `open`

    hint: did you mean `open`?
    --- aca run --net
    error: a value is required for `--net <PRESET>` but none was supplied

    hint: `aca --help` shows the commands, `aca COMMAND --help` the flags of one
    --- aca run --allow https://a.test x
    error: `--allow`: `https://a.test` is a URL: write the host alone, as `example.com:443`, or which requests, as `GET https://example.com/path/**`
    --- aca run --resolve a.test x
    error: `--resolve`: `a.test` has no `=`: write HOST=ADDR[:PORT]
    --- aca run --env * x
    error: `--env`: `*` would keep every variable, secrets too: name those that are needed
    --- aca run --memory much x
    error: `--memory`: `much` is not a size: write bytes, or a number with K, M, G or T, such as `4G`
    --- aca run --read a/../b x
    error: `--read`: `a/../b`: `..` can stand at the beginning of a relative path only
    --- aca run --net none --net open x
    error: the argument `--net <PRESET>` cannot be used multiple times

    hint: `aca --help` shows the commands, `aca COMMAND --help` the flags of one
    --- aca log a b
    error: unexpected argument `b` found

    hint: `aca --help` shows the commands, `aca COMMAND --help` the flags of one
    ");
}
