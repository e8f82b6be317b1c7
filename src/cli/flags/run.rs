//! Flags of a run: `aca run`, and whatever takes the same ones.

use crate::{
    config::{
        FixedAddress, Settings,
        layer::{Located, WrittenLimits, WrittenPush, WrittenRepository},
        path::WrittenPath,
        value::{self, EnvironmentEntry},
    },
    policy::{
        GitMode, Grant, Home, HostPattern, HostPort, NetworkPreset, Origin, OwnSandbox, Published,
        PushTarget, Repository,
    },
};
use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};
use std::{ffi::OsString, path::PathBuf};

/// Arguments of `aca run`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "aca run [FLAGS] AGENT [ARGS]…\n       aca run [FLAGS] -- COMMAND [ARGS]…",
    after_help = "The first word that isn't a flag ends aca's flags: all that follows goes to the command as it is.\n\
                  The exit status is the command's; 125 is aca's own, 126 not executable, 127 not found."
)]
pub struct RunArgs {
    /// Flags of aca.
    #[command(flatten)]
    pub flags: RunFlags,
    /// An agent (`claude`) or a command, with its arguments
    #[arg(value_name = "AGENT", trailing_var_arg = true)]
    pub words: Vec<OsString>,
    /// Whether `--` stood before the words: then they are a command, whatever its name.
    #[arg(skip)]
    pub after_separator: bool,
}

/// Arguments of `aca plan`: those of `aca run`, and the form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "aca plan [--json] [FLAGS] AGENT [ARGS]…\n       aca plan [--json] [FLAGS] -- COMMAND [ARGS]…"
)]
pub struct PlanArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// As for `aca run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Flags that refine the policy of one run. They win over every file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct RunFlags {
    /// What may be reached: none, listed (what is allowed by name), agent (its own hosts), dev (also package registries and git hosts), open
    #[arg(long, value_name = "PRESET", value_parser = value::network_preset)]
    pub net: Option<NetworkPreset>,
    /// Allow a host: `host`, `*.host` (sub-domains), `**.host` (and itself); ports 80 and 443 unless one is given. Or
    /// requests: `GET,POST https://host/path/**`
    #[arg(long, value_name = "HOST[:PORT]|REQUESTS")]
    pub allow: Vec<HostPattern>,
    /// Deny a host, or requests; wins over every allow
    #[arg(long, value_name = "HOST[:PORT]|REQUESTS")]
    pub deny: Vec<HostPattern>,
    /// Answer for a name with a fixed address, which may be private
    #[arg(long, value_name = "HOST=ADDR[:PORT]")]
    pub resolve: Vec<FixedAddress>,
    /// Ask you about a connection that no rule allows or denies (`aca approve` in another terminal, or the desktop)
    #[arg(long)]
    pub ask: bool,
    /// Tell programs of the proxies inside by variables such as HTTPS_PROXY (none needs it: connections are captured)
    #[arg(long)]
    pub proxy_env: bool,
    /// Let a service on the host's loopback be reached at localhost inside: `PORT`, or `INSIDE:HOST`
    #[arg(long, value_name = "PORT")]
    pub host_port: Vec<HostPort>,
    /// Let the host reach a server inside at its localhost: `PORT`, `HOST:INSIDE`, or `:INSIDE` for any free port
    #[arg(long, value_name = "[[ADDR:]HOST:]PORT")]
    pub publish: Vec<Published>,
    /// Let git inside fetch a repository: `https://host/path`, or through your own ssh `user@host:path` or `ssh://user@host:port/path`
    #[arg(long, value_name = "URL")]
    pub git_fetch: Vec<Repository>,
    /// Let git inside fetch a repository and push to it: the agent's own branches, and those that follow a `#`
    #[arg(long, value_name = "URL[#REFS]")]
    pub git_push: Vec<PushTarget>,
    /// Which git directory is worked on inside: isolated (a private one whose branches, index and stash come back), direct (the host's)
    #[arg(long, value_name = "MODE", value_parser = value::git_mode)]
    pub git_mode: Option<GitMode>,
    /// Keep a variable, or set it
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<EnvironmentEntry>,
    /// Show a path, read-only
    #[arg(long, value_name = "PATH", value_parser = written_path())]
    pub read: Vec<WrittenPath>,
    /// Let a path be written
    #[arg(long, value_name = "PATH", value_parser = written_path())]
    pub write: Vec<WrittenPath>,
    /// Hide a path, or what a glob finds in the project (`**/*.key`)
    #[arg(long, value_name = "PATH|GLOB", value_parser = written_path())]
    pub hide: Vec<WrittenPath>,
    /// Which home is seen: private (the default), host (the real one, read-only, secrets masked)
    #[arg(long, value_name = "HOME", value_parser = value::home)]
    pub home: Option<Home>,
    /// Keep names from being made in the project that your machine would run or trust, such as `.vscode/tasks.json`
    /// (the default; `--write` opens single ones)
    #[arg(long)]
    pub hold_names: bool,
    /// Let such names be made; they are told after the run
    #[arg(long, conflicts_with = "hold_names")]
    pub open_names: bool,
    /// Let such names be made in a directory of the project, such as one for copies of other projects; they are told after
    /// the run
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub open_names_in: Vec<WrittenPath>,
    /// Grant a kernel facility: nested-userns, io-uring, fuse
    #[arg(long, value_name = "NAME", value_parser = value::grant)]
    pub grant: Vec<Grant>,
    /// Most memory of the whole run, such as 4G
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub memory: Option<u64>,
    /// Most processes and threads
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub processes: Option<u64>,
    /// Share of one processor, such as 150%
    #[arg(long, value_name = "PERCENT", value_parser = value::percent)]
    pub cpu: Option<u32>,
    /// Largest file that can be written, such as 1G
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub file_size: Option<u64>,
    /// Most bytes that the run may send over the network, such as 2G
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub max_egress: Option<u64>,
    /// Most bytes that it may send to one host
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub max_egress_per_host: Option<u64>,
    /// Directory to work on instead of the git work tree around the current directory
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Configuration file instead of the user's
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings of sandbox-runtime instead of the user's configuration
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub srt_settings: Option<PathBuf>,
    /// Treat the command as this agent
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// What becomes of the agent's own sandbox: keep (grants it nested user namespaces), off
    #[arg(long, value_name = "WHAT", value_parser = value::own_sandbox)]
    pub own_sandbox: Option<OwnSandbox>,
}

impl RunFlags {
    /// The flags as the topmost layer of the configuration.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            preset: self.net.map(|preset| flagged("--net", preset.word(), preset)),
            allow: self
                .allow
                .iter()
                .map(|host| flagged("--allow", host, host.clone().into()))
                .collect(),
            deny: self
                .deny
                .iter()
                .map(|host| flagged("--deny", host, host.clone()))
                .collect(),
            resolve: self
                .resolve
                .iter()
                .map(|fixed| flagged("--resolve", fixed, fixed.clone()))
                .collect(),
            capture: None,
            ask: self.ask.then(|| Located {
                value: true,
                origin: Origin::Flag("--ask".into()),
            }),
            proxy_env: self.proxy_env.then(|| Located {
                value: true,
                origin: Origin::Flag("--proxy-env".into()),
            }),
            // Not by a flag: everybody on the machine sees those.
            upstream_proxy: None,
            host_ports: self
                .host_port
                .iter()
                .map(|port| flagged("--host-port", port, *port))
                .collect(),
            publish: self
                .publish
                .iter()
                .map(|port| flagged("--publish", port, *port))
                .collect(),
            repositories: self.fetched(),
            pushes: self
                .git_push
                .iter()
                .map(|target| {
                    let (repository, grant) = (target.repository.clone(), Some(target.grant()));
                    flagged("--git-push", target, WrittenPush { repository, grant })
                })
                .collect(),
            unlisted: None,
            credentials: Vec::new(),
            git_mode: self.git_mode.map(|mode| flagged("--git-mode", mode.word(), mode)),
            environment: self
                .env
                .iter()
                .map(|entry| flagged("--env", entry.name(), entry.clone()))
                .collect(),
            read: self
                .read
                .iter()
                .map(|path| flagged("--read", path, path.clone()))
                .collect(),
            write: self
                .write
                .iter()
                .map(|path| flagged("--write", path, path.clone()))
                .collect(),
            hide: self
                .hide
                .iter()
                .map(|path| flagged("--hide", path, path.clone()))
                .collect(),
            home: self
                .home
                .map(|home| flagged("--home", value::home_word(home), home)),
            open_names: match (self.hold_names, self.open_names) {
                (true, _) => Some(Located {
                    value: false,
                    origin: Origin::Flag("--hold-names".into()),
                }),
                (_, true) => Some(Located {
                    value: true,
                    origin: Origin::Flag("--open-names".into()),
                }),
                (false, false) => None,
            },
            open_names_in: self
                .open_names_in
                .iter()
                .map(|path| flagged("--open-names-in", path, path.clone()))
                .collect(),
            deny_commands: Vec::new(),
            grants: self
                .grant
                .iter()
                .map(|grant| flagged("--grant", grant.word(), *grant))
                .collect(),
            limits: WrittenLimits {
                memory_bytes: self.memory.map(|memory| flagged("--memory", memory, memory)),
                processes: self
                    .processes
                    .map(|processes| flagged("--processes", processes, processes)),
                file_bytes: self.file_size.map(|size| flagged("--file-size", size, size)),
                open_files: None,
                cpu_percent: self.cpu.map(|cpu| flagged("--cpu", format_args!("{cpu}%"), cpu)),
                egress_bytes: self.max_egress.map(|bytes| flagged("--max-egress", bytes, bytes)),
                egress_per_host_bytes: self
                    .max_egress_per_host
                    .map(|bytes| flagged("--max-egress-per-host", bytes, bytes)),
            },
            own_sandbox: self
                .own_sandbox
                .map(|choice| flagged("--own-sandbox", choice.word(), choice)),
        }
    }
}

impl RunFlags {
    /// What may be fetched: whoever may push, too.
    fn fetched(&self) -> Vec<Located<WrittenRepository>> {
        let fetch = self.git_fetch.iter().map(|repository| {
            let shown = repository.to_string();
            ("--git-fetch", shown, repository)
        });
        let push = self.git_push.iter().map(|target| {
            let shown = target.to_string();
            ("--git-push", shown, &target.repository)
        });
        fetch
            .chain(push)
            .map(|(flag, shown, repository)| {
                let (repository, fetch) = (repository.clone(), true);
                flagged(flag, shown, WrittenRepository { repository, fetch })
            })
            .collect()
    }
}

/// Paths as bytes: a file's name need not be UTF-8.
fn written_path() -> impl TypedValueParser<Value = WrittenPath> {
    OsStringValueParser::new().try_map(|text| WrittenPath::parse(&text))
}

fn flagged<T>(flag: &str, shown: impl std::fmt::Display, value: T) -> Located<T> {
    Located {
        value,
        origin: Origin::Flag(format!("{flag} {shown}")),
    }
}
