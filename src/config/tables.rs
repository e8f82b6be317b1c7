//! Which keys a configuration file has, and what each holds. The reader (`schema`) and the JSON schema (`json_schema`) both
//! go by these tables.

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// Other keys.
    Table(&'static [Key]),
    /// A table for each agent.
    Agents(&'static [Key]),
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of some words.
    Words(&'static [&'static str]),
    /// A list of host patterns.
    Hosts,
    /// A list of host patterns, each alone or in a table with options.
    Allowed(&'static [Key]),
    /// One host pattern.
    Host,
    /// A table of addresses by host name.
    Addresses,
    /// A list of services of the host's.
    HostPorts,
    /// A list of servers inside.
    Publish,
    /// A list of paths.
    Paths,
    /// A list of rules on commands.
    Commands,
    /// A list of variables' names.
    Variables,
    /// A table of values by variable.
    Values,
    /// Bytes.
    Size,
    /// A number from 1 on.
    Count,
    /// Percent of one processor.
    Percent,
    /// Yes or no.
    Switch,
    /// A proxy, or where its URL is.
    Proxy,
    /// A list of tables.
    Tables(&'static [Key]),
    /// A list of credentials.
    Credentials(&'static [Key]),
    /// A list of repositories.
    Repositories,
    /// Yes, no, or a table.
    SwitchOr(&'static [Key]),
    /// A list of patterns of refs.
    Refs,
    /// One of some words, or a list of patterns of refs.
    WordOrRefs(&'static [&'static str]),
    /// No, or a list of patterns of refs.
    NoOrRefs,
    /// A list of globs of a repository.
    Globs,
    /// Any text.
    Text,
}

/// Whose file may have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody's.
    Anyone,
    /// The user's and the administrator's: it can't be in a project's.
    Owner,
    /// The administrator's.
    Administrator,
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) who: Who,
    /// What it is for, in one line: shown by editors.
    pub(super) about: &'static str,
}

const fn key(name: &'static str, form: Form, about: &'static str) -> Key {
    Key {
        name,
        form,
        who: Who::Anyone,
        about,
    }
}

const fn administrators(name: &'static str, form: Form, about: &'static str) -> Key {
    Key {
        who: Who::Administrator,
        ..key(name, form, about)
    }
}

pub(super) const PRESETS: &[&str] = &["none", "listed", "agent", "dev", "open"];
pub(super) const OWN_SANDBOX: &[&str] = &["keep", "off"];
pub(super) const GIT_MODES: &[&str] = &["isolated", "direct"];
pub(super) const CAPTURES: &[&str] = &["auto", "redirect", "ports"];
pub(super) const DNS: &[&str] = &["leased", "real"];
pub(super) const SNI: &[&str] = &["required", "optional", "any"];
pub(super) const HOMES: &[&str] = &["private", "host"];
pub(super) const BEYOND: &[&str] = &["never", "own-session"];
pub(super) const GRANTS: &[&str] = &["nested-userns", "io-uring", "fuse"];
pub(super) const LOCKS: &[&str] = &[
    "network.allow",
    "network.publish",
    "environment",
    "files.read",
    "files.write",
    "files.hide",
];
pub(super) const GUARANTEES: &[&str] = &[
    "secrets_absent",
    "environment_filtered",
    "writes_confined",
    "later_run_protected",
    "network_mediated",
    "no_privileges",
    "surface_small",
    "processes_apart",
    "ends_with_run",
    "resources_bounded",
    "recorded",
];

/// A host that is allowed, with options.
pub(super) const ALLOWED: &[Key] = &[
    key("host", Form::Host, "The host"),
    key(
        "dns",
        Form::Word(DNS),
        "Which addresses its names have inside: ones of their own, or those that they have outside",
    ),
    key(
        "sni",
        Form::Word(SNI),
        "The server name in TLS: it must be there and right, may be missing, or may be anything (also encrypted)",
    ),
];
pub(super) const NETWORK: &[Key] = &[
    key(
        "preset",
        Form::Word(PRESETS),
        "What may be reached: nothing, what is allowed by name, the agent's own hosts, also registries and git hosts, any public host",
    ),
    key(
        "allow",
        Form::Allowed(ALLOWED),
        "What is allowed besides: `host`, `*.host`, `**.host`, each with an optional port; requests, `GET,POST https://host/path/**`; or a table with options",
    ),
    key(
        "deny",
        Form::Hosts,
        "Hosts or requests that are denied; wins over every allow",
    ),
    key(
        "resolve",
        Form::Addresses,
        "Fixed addresses of names; they may be private",
    ),
    key("capture", Form::Word(CAPTURES), "How connections are captured"),
    key(
        "ask",
        Form::Switch,
        "Whether you are asked (`aca approve`) about a connection that no rule allows or denies, which waits meanwhile",
    ),
    key(
        "proxy_env",
        Form::Switch,
        "Whether programs are told of the proxies inside by variables such as `HTTPS_PROXY`; none needs it, since connections are captured",
    ),
    Key {
        who: Who::Owner,
        ..key(
            "upstream_proxy",
            Form::Proxy,
            "The proxy outside that connections go through: a URL, `env:NAME`, `file:PATH`, `none`, or `environment` (HTTPS_PROXY and its like)",
        )
    },
    key(
        "host_ports",
        Form::HostPorts,
        "Services on the host's loopback that are reached on the loopback inside: `PORT`, or `INSIDE:HOST`",
    ),
    key(
        "publish",
        Form::Publish,
        "Servers inside that the host reaches on its loopback: `PORT`, `HOST:INSIDE`, `:INSIDE`, with an address before `HOST:` for another",
    ),
];
pub(super) const ENVIRONMENT: &[Key] = &[
    key(
        "keep",
        Form::Variables,
        "Variables that go inside; a `*` at the end stands for any rest",
    ),
    key("set", Form::Values, "Variables that are set inside"),
];
pub(super) const FILES: &[Key] = &[
    key(
        "read",
        Form::Paths,
        "Paths that are shown read-only; also globs in the project",
    ),
    key("write", Form::Paths, "Paths that may be written"),
    key(
        "hide",
        Form::Paths,
        "Paths that are hidden; also globs in the project",
    ),
    key(
        "home",
        Form::Word(HOMES),
        "Which home is seen: a private one, or the real one read-only with secrets masked",
    ),
    key(
        "open_names",
        Form::Switch,
        "Whether names may be made in the project that the host would run or trust; where not, which is the default, `write` opens single ones",
    ),
    key(
        "open_names_in",
        Form::Paths,
        "Directories of the project in which such names may be made all the same, such as one for copies of other projects",
    ),
];
pub(super) const COMMANDS: &[Key] = &[key(
    "deny",
    Form::Commands,
    "Commands that aren't started: a program's name, or that with its first arguments",
)];
pub(super) const LIMITS: &[Key] = &[
    key("memory", Form::Size, "Most memory of the whole run"),
    key("processes", Form::Count, "Most processes and threads"),
    key("cpu", Form::Percent, "Share of one processor"),
    key("file_size", Form::Size, "Largest file that can be written"),
    key("open_files", Form::Count, "Most open descriptors of one process"),
    key(
        "egress",
        Form::Size,
        "Most bytes that the whole run may send over the network",
    ),
    key(
        "egress_per_host",
        Form::Size,
        "Most bytes that a run may send to one host",
    ),
];
pub(super) const FLOOR: &[Key] = &[
    administrators(
        "network",
        Form::Word(PRESETS),
        "The widest preset that may be chosen",
    ),
    administrators("home", Form::Word(HOMES), "The widest home that may be chosen"),
    administrators(
        "open_names",
        Form::Switch,
        "Whether names may be made that the host would run or trust; with `false` every run holds them",
    ),
    administrators("grants", Form::Words(GRANTS), "The grants that may be given"),
    administrators(
        "limits",
        Form::Table(LIMITS),
        "The most of each; what nobody limits has this limit",
    ),
    administrators(
        "require",
        Form::Words(GUARANTEES),
        "Guarantees that must be whole, else nothing starts",
    ),
    administrators("contact", Form::Text, "Whom to ask, for messages"),
];

const NETWORK_KEY: Key = key("network", Form::Table(NETWORK), "What may be reached");
const ENVIRONMENT_KEY: Key = key(
    "environment",
    Form::Table(ENVIRONMENT),
    "Which variables go inside",
);
/// What may be pushed.
pub(super) const PUSH: &[Key] = &[
    key(
        "create",
        Form::Refs,
        "Branches that may be created: `agent/**`, `release-*`, `refs/notes/**`; by default those that are called `agent/…`, `aca/…` and as the agent",
    ),
    key(
        "update",
        Form::Refs,
        "Branches that may go forward; as for `create`. A default branch has to be named exactly",
    ),
    key(
        "force",
        Form::WordOrRefs(BEYOND),
        "Which may be moved elsewhere: none, those that this session created (the default), or those and all of a list",
    ),
    key(
        "delete",
        Form::WordOrRefs(BEYOND),
        "Which may be deleted; as for `force`",
    ),
    key(
        "tags",
        Form::NoOrRefs,
        "Tags that may be created, such as `v*`; none by default",
    ),
    key(
        "max_pack",
        Form::Size,
        "Most bytes of one push; 50 MiB by default",
    ),
    key(
        "max_commits",
        Form::Count,
        "Most new commits of one push; 1000 by default",
    ),
    key(
        "protect",
        Form::Globs,
        "Paths that no pushed commit may change; by default what forges run as soon as it is pushed, such as `.github/workflows/**`",
    ),
    key(
        "scan_secrets",
        Form::Switch,
        "Whether what is pushed is searched for secrets; it is by default",
    ),
];
/// A repository.
pub(super) const REPOSITORY: &[Key] = &[
    key(
        "url",
        Form::Repositories,
        "Its names: `https://host/path`, `user@host:path` or `ssh://user@host:port/path`, the host as your configuration of ssh knows it",
    ),
    key(
        "fetch",
        Form::Switch,
        "Whether it may be cloned and fetched; `false` wins",
    ),
    key(
        "push",
        Form::SwitchOr(PUSH),
        "What may be pushed to it: nothing (which wins), the agent's own branches, or what the table says",
    ),
];
/// A credential.
pub(super) const CREDENTIAL: &[Key] = &[
    key("host", Form::Text, "Whom it is for: `HOST` or `HOST:PORT`"),
    key(
        "from",
        Form::Text,
        "Where it is: `helper` (git's own), `env:NAME`, `file:/PATH`, or `command:/PROGRAM ARGUMENT…` that prints it",
    ),
    key(
        "user",
        Form::Text,
        "The user's name that goes with it; `x-access-token` by default",
    ),
];
pub(super) const UNLISTED: &[&str] = &["deny", "anonymous"];
pub(super) const GIT: &[Key] = &[
    key(
        "repository",
        Form::Tables(REPOSITORY),
        "Repositories that git inside reaches, besides the project's own remotes",
    ),
    key(
        "mode",
        Form::Word(GIT_MODES),
        "Which git directory is worked on inside: a private one whose branches come back (isolated), or the host's (direct)",
    ),
    key(
        "unlisted",
        Form::Word(UNLISTED),
        "What other repositories are on hosts that are reached anyway: fetched without a credential (the default), or not at all",
    ),
    Key {
        who: Who::Owner,
        ..key(
            "credential",
            Form::Credentials(CREDENTIAL),
            "Where the credential of a host is; by default git's helpers, the forge's tool, GH_TOKEN and its like, ~/.netrc",
        )
    },
];
const GIT_KEY: Key = key(
    "git",
    Form::Table(GIT),
    "What git inside may do, through your own ssh or over https",
);
const FILES_KEY: Key = key("files", Form::Table(FILES), "What is seen and written");
const COMMANDS_KEY: Key = key("commands", Form::Table(COMMANDS), "Which command may be started");
const GRANTS_KEY: Key = key(
    "grants",
    Form::Words(GRANTS),
    "Kernel facilities that are off unless they are named",
);
const LIMITS_KEY: Key = key("limits", Form::Table(LIMITS), "How much a run may use");

/// An agent's section.
pub(super) const SECTION: &[Key] = &[
    NETWORK_KEY,
    GIT_KEY,
    ENVIRONMENT_KEY,
    FILES_KEY,
    COMMANDS_KEY,
    GRANTS_KEY,
    LIMITS_KEY,
    key(
        "own_sandbox",
        Form::Word(OWN_SANDBOX),
        "What becomes of the sandbox that the agent brings itself",
    ),
];
/// The whole file.
pub(super) const TOP: &[Key] = &[
    NETWORK_KEY,
    GIT_KEY,
    ENVIRONMENT_KEY,
    FILES_KEY,
    COMMANDS_KEY,
    GRANTS_KEY,
    LIMITS_KEY,
    key(
        "agents",
        Form::Agents(SECTION),
        "What holds for runs of one agent, by its name",
    ),
    administrators(
        "floor",
        Form::Table(FLOOR),
        "The widest that anyone may choose; in /etc/aca/config.toml alone",
    ),
    administrators(
        "lock",
        Form::Words(LOCKS),
        "Keys that later layers may make narrower and not wider; in /etc/aca/config.toml alone",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Lock, value},
        policy::{GitMode, Grant, Guarantee},
    };

    /// The words of each list are those that are parsed, all of them.
    #[test]
    fn words_are_those_of_their_types() {
        assert_eq!(Grant::ALL.map(Grant::word), GRANTS);
        assert_eq!(Guarantee::ALL.map(Guarantee::word), GUARANTEES);
        assert_eq!(Lock::ALL.map(Lock::word), LOCKS);
        assert!(PRESETS.iter().all(|word| value::network_preset(word).is_ok()));
        assert!(CAPTURES.iter().all(|word| value::capture(word).is_ok()));
        assert_eq!(GitMode::ALL.map(GitMode::word), GIT_MODES);
        assert!(OWN_SANDBOX.iter().all(|word| value::own_sandbox(word).is_ok()));
        assert!(DNS.iter().all(|word| value::dns(word).is_ok()));
        assert!(SNI.iter().all(|word| value::sni(word).is_ok()));
        assert!(HOMES.iter().all(|word| value::home(word).is_ok()));
    }
}
