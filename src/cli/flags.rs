//! The clap types: every command and flag, and what `--` means.

use crate::{
    config::{
        FixedAddress, Settings,
        layer::{Located, WrittenLimits, WrittenPush, WrittenRepository},
        path::WrittenPath,
        value::{self, EnvironmentEntry, ValueError},
    },
    failure::{Failure, FailureKind},
    policy::{
        Access, GitMode, Grant, Home, HostPattern, HostPort, NetworkPreset, Origin, OwnSandbox, Published,
        PushTarget, Repository,
    },
};
use clap::{
    Args, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::{error::Error as _, ffi::OsString, path::PathBuf};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run an agent, or any command, in the sandbox
    Run(RunArgs),
    /// Print what a run would do, without doing it
    Plan(PlanArgs),
    /// Say what this machine gives, and how to get the rest
    Doctor(DoctorArgs),
    /// Show what happened in a session
    Log(LogArgs),
    /// List the sessions, newest first
    Sessions(SessionsArgs),
    /// Show what a run left that runs later on your machine, and put it back or away
    Check(LeftArgs),
    /// Allow hosts in a session that runs
    Allow(AllowArgs),
    /// Deny hosts in a session that runs
    Deny(DenyArgs),
    /// Show, open and close ports of a running session that lead over the wall
    Ports(PortsArgs),
    /// Answer what sessions ask that run with `--ask`
    Approve(ApproveArgs),
    /// Turn the settings of another sandbox into a configuration
    Import(ImportArgs),
    /// Try known escapes on this machine
    Selftest(SelftestArgs),
    /// List the agents that are known, and what each is granted
    Agents(AgentsArgs),
    /// Explain one decision: of a path, a host, a command, or an event of a session
    Why(Box<WhyArgs>),
    /// Explain what would become of a ref that git inside pushes
    WhyPush(Box<super::why::push::WhyPushArgs>),
    /// Print what is configured, each value with its source; check a file; print the schema
    Config(ConfigArgs),
    /// Trust what a project's `.aca.toml` says, after a look at it
    Trust(TrustArgs),
}

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

/// Arguments of `aca doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `aca selftest`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SelftestArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Makes the attempts of the run outside of any sandbox, to see that they are told as failed
    #[arg(long, hide = true)]
    pub without_sandbox: bool,
    /// Only makes the attempts, where it stands; the bait as JSON. The self-test starts itself with it.
    #[arg(long, hide = true, value_name = "BAIT")]
    pub attempt: Option<String>,
}

/// Arguments of `aca agents`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AgentsArgs {
    /// One agent, in full; all of them in short if left out
    pub name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `aca log`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// Session, or the beginning of its id; the newest if left out
    pub session: Option<String>,
    /// Print the lines as they were written
    #[arg(long)]
    pub json: bool,
    /// Only what was denied
    #[arg(long)]
    pub denied: bool,
    /// Go on as it happens, until the session ends
    #[arg(long)]
    pub follow: bool,
    /// Show nothing, but check that the log is as it was written; exit status 1 when it isn't
    #[arg(long, conflicts_with_all = ["json", "denied", "follow"])]
    pub verify: bool,
    /// With `--verify`: every log
    #[arg(long, requires = "verify", conflicts_with = "session")]
    pub all: bool,
}

/// Arguments of `aca import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "What can't be carried over is listed on standard error. Where that is a restriction, the exit status is 1 \
                  and nothing is written, unless --lenient is given."
)]
pub struct ImportArgs {
    /// Whose settings they are.
    #[command(subcommand)]
    pub dialect: Dialect,
}

/// Whose settings `aca import` reads.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Dialect {
    /// sandbox-runtime's
    Srt {
        /// The file, such as `~/.srt-settings.json`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How.
        #[command(flatten)]
        how: ImportFlags,
    },
    /// Claude Code's
    Claude {
        /// The files; `~/.claude/settings.json` if left out
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also those of the project that holds this directory
        #[arg(long)]
        project: bool,
        /// How.
        #[command(flatten)]
        how: ImportFlags,
    },
}

/// Flags of `aca import`, whatever the dialect.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImportFlags {
    /// Write to a new file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on without the restrictions that can't be carried over
    #[arg(long)]
    pub lenient: bool,
}

/// Arguments of `aca sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SessionsArgs {
    /// Print JSON, a line a session
    #[arg(long)]
    pub json: bool,
    /// Only those of the project that holds this directory
    #[arg(long)]
    pub project: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value = "20", value_parser = value::count)]
    pub limit: u64,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// Arguments of `aca allow`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AllowArgs {
    /// Which, and where.
    #[command(flatten)]
    pub rules: RulesArgs,
}

/// Arguments of `aca deny`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DenyArgs {
    /// Which, and where.
    #[command(flatten)]
    pub rules: RulesArgs,
    /// End the open connections that are denied then
    #[arg(long)]
    pub cut: bool,
}

/// Arguments of `aca approve`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = clap::ArgGroup::new("answer").args(["once", "session", "always", "deny", "never"]))]
pub struct ApproveArgs {
    /// Number of an ask, to answer it without being asked
    #[arg(value_name = "N", requires = "answer")]
    pub ask: Option<u64>,
    /// Yes, to the connections that wait now
    #[arg(long, requires = "ask")]
    pub once: bool,
    /// Yes, until the session ends
    #[arg(long, requires = "ask")]
    pub session: bool,
    /// Yes, and write it to your configuration for later runs
    #[arg(long, requires = "ask")]
    pub always: bool,
    /// No, until the session ends
    #[arg(long, requires = "ask")]
    pub deny: bool,
    /// No, and write it to your configuration for later runs
    #[arg(long, requires = "ask")]
    pub never: bool,
    /// Only print what waits
    #[arg(long, conflicts_with = "ask")]
    pub list: bool,
    /// With `--list`: JSON, a line an ask
    #[arg(long, requires = "list")]
    pub json: bool,
    /// Wait for what comes, in sessions that begin later too
    #[arg(long, conflicts_with = "ask")]
    pub follow: bool,
    /// Only of this session, or those whose id begins so
    #[arg(long, value_name = "ID")]
    pub of: Option<String>,
}

/// What `aca allow` and `aca deny` have in common.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RulesArgs {
    /// `host`, `*.host` (sub-domains), `**.host` (and itself), an address; with a port where it isn't 80 or 443
    #[arg(value_name = "HOST[:PORT]", required = true)]
    pub hosts: Vec<HostPattern>,
    /// Session, or the beginning of its id; the one that runs if left out, of several that of this project
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Write it to your configuration too, for later runs
    #[arg(long)]
    pub save: bool,
}

/// Arguments of `aca ports`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(disable_help_subcommand = true)]
pub struct PortsArgs {
    /// What to change; what is open is printed if left out.
    #[command(subcommand)]
    pub command: Option<PortsCommand>,
    /// The session, or the beginning of its id; the only one that runs if left out
    #[arg(long, value_name = "ID", global = true)]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// How `aca ports` changes what is open.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum PortsCommand {
    /// Let the host reach a server inside, or the sandbox a service of the host's, while the run lasts
    Add {
        /// A service on the host's loopback is meant, as `PORT` or `INSIDE:HOST`
        #[arg(long)]
        host: bool,
        /// A server inside, as `PORT`, `HOST:INSIDE`, or `:INSIDE` for any free port
        #[arg(value_name = "[[ADDR:]HOST:]PORT")]
        port: String,
    },
    /// Close one, and its connections
    Remove {
        /// A service on the host's loopback is meant, by its port inside
        #[arg(long)]
        host: bool,
        /// The port of the host
        port: u16,
    },
}

/// Arguments of `aca why`: the flags of `aca run`, and what is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "aca why [--json] [FLAGS] PATH|URL|HOST[:PORT]\n       aca why [--json] [FLAGS] -- COMMAND [ARGS]…\n       aca why [--json] --session ID [SEQ]",
    after_help = "A text with a slash, or that is in the current directory, is a path (as seen inside); any other a host.\n\
                  FLAGS are those of the run that is asked about. Rules on commands are about the command that `aca run`\n\
                  starts; programs inside are bound by the sandbox, not by a list of names.\n\
                  The exit status is 0 when it is allowed, 1 when it is denied, 125 when there is no answer. Of a path it\n\
                  says whether it can be read, with `--for write` whether it can be written."
)]
pub struct WhyArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What of a path the exit status is about: read, write
    #[arg(long = "for", value_name = "ACCESS", default_value = "read", value_parser = wanted)]
    pub wanted: Access,
    /// Explain an event of this session (the beginning of its id, or `last`): the newest denial, or that numbered SEQ
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// As for `aca run`.
    #[command(flatten)]
    pub flags: RunFlags,
    /// A path, a URL or a host; after `--session` the number of an event
    pub target: Vec<OsString>,
    /// A command with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `read` or `write`.
fn wanted(text: &str) -> Result<Access, String> {
    match text {
        "read" => Ok(Access::Read),
        "write" => Ok(Access::Write),
        other => Err(format!("`{other}` is none of `read`, `write`")),
    }
}

/// Arguments of `aca config`: those of `aca run`, and the form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "aca config [--json] [FLAGS] [AGENT]\n       aca config check FILE\n       aca config schema"
)]
pub struct ConfigArgs {
    /// Something else than printing.
    #[command(subcommand)]
    pub action: Option<ConfigAction>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// As for `aca run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What else `aca config` does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConfigAction {
    /// Say whether a file is a configuration, and where it isn't
    Check(CheckArgs),
    /// Print the JSON schema of configuration files
    Schema,
}

/// Arguments of `aca config check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read it as the administrator's, which may set floors and locks
    #[arg(long)]
    pub administrator: bool,
}

/// Arguments of `aca check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LeftArgs {
    /// The session, or the beginning of its id; the newest of this project if left out
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
    /// Put back what changed at or beneath this path, and away what appeared there
    #[arg(long, value_name = "PATH")]
    pub revert: Vec<PathBuf>,
    /// Put away what is at or beneath this path
    #[arg(long, value_name = "PATH")]
    pub quarantine: Vec<PathBuf>,
    /// Take what is there for good: it isn't told again
    #[arg(long, conflicts_with_all = ["revert", "quarantine"])]
    pub accept: bool,
    /// Exit with 1 when something is there to be looked at
    #[arg(long)]
    pub strict: bool,
    /// Print a line of JSON each
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `aca trust`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TrustArgs {
    /// A directory of the project; the current one if left out
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Trust it without asking
    #[arg(long, conflicts_with_all = ["list", "revoke"])]
    pub yes: bool,
    /// Print the projects that are trusted
    #[arg(long, conflicts_with_all = ["revoke", "directory"])]
    pub list: bool,
    /// Trust it no more
    #[arg(long)]
    pub revoke: bool,
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
    /// (`--write` opens single ones)
    #[arg(long)]
    pub hold_names: bool,
    /// Let such names be made (the default)
    #[arg(long, conflicts_with = "hold_names")]
    pub open_names: bool,
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

impl Command {
    /// Finds out whether `--` stood before the command's words, which clap doesn't tell, and refuses a run of nothing.
    pub(super) fn note_separator(&mut self, argv: &[OsString]) -> Result<(), Failure> {
        let (run, name) = match self {
            Self::Run(run) => (run, "run"),
            Self::Plan(plan) => (&mut plan.run, "plan"),
            Self::Config(config) => (&mut config.run, "config"),
            Self::Agents(_)
            | Self::Allow(_)
            | Self::Deny(_)
            | Self::Approve(_)
            | Self::Trust(_)
            | Self::Doctor(_)
            | Self::Import(_)
            | Self::Log(_)
            | Self::Sessions(_)
            | Self::Check(_)
            | Self::Ports(_)
            | Self::Selftest(_)
            | Self::Why(_)
            | Self::WhyPush(_) => {
                return Ok(());
            }
        };
        // The words are the end of argv, and nothing of aca's stands among them.
        let before = argv
            .len()
            .checked_sub(run.words.len() + 1)
            .and_then(|index| argv.get(index));
        run.after_separator = before.is_some_and(|word| word == "--");
        if run.words.is_empty() && name != "config" {
            return Err(Failure::new(
                FailureKind::Usage,
                format!("`aca {name}` needs an agent or a command"),
            )
            .hint(format!("`aca {name} claude`, or `aca {name} -- make test`")));
        }
        Ok(())
    }
}

/// clap's message in aca's shape: what is wrong, and what comes nearest.
pub(super) fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(FailureKind::Usage, "a command is missing").excerpt(text);
    }
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name.as_str()),
        Some(ContextValue::Strings(names)) => names.first().map(String::as_str),
        _ => None,
    };
    // Our own parsers say what is wrong with a value.
    if let (ErrorKind::ValueValidation, Some(cause)) = (error.kind(), error.source()) {
        let flag = named(ContextKind::InvalidArg).unwrap_or_default();
        let failure = Failure::new(
            FailureKind::Usage,
            format!("`{}`: {cause}", flag.split(' ').next().unwrap_or_default()),
        );
        return match cause.downcast_ref::<ValueError>().and_then(ValueError::remedy) {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        };
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.lines().next().unwrap_or_default().replace('\'', "`");
    let failure = Failure::new(FailureKind::Usage, message);
    let near = named(ContextKind::SuggestedArg).or_else(|| named(ContextKind::SuggestedSubcommand));
    match near {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("`aca --help` shows the commands, `aca COMMAND --help` the flags of one"),
    }
}
