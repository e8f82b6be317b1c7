//! Which variables go inside: an allow-list; everything else is dropped, and the plan says what.

use super::linux::SSH_PROGRAM;
use crate::facts::Facts;
use crate::policy::EnvironmentPolicy;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Never passed on at all: the dynamic loader reads them before the program's first line.
const NEVER: [&str; 2] = ["LD_*", "DYLD_*"];
/// Where programs are looked for when the caller has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hosts that are reached without a proxy: the sandbox's own loopback, where servers inside are. Addresses of private
/// networks aren't: one that a rule writes out is reached through the gate alone.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// Where the proxies are as seen inside. Both speak HTTP and SOCKS5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proxies {
    /// The one that speaks HTTP.
    pub(super) http: SocketAddr,
}

impl Proxies {
    /// The variables that clients go by, in both spellings. npm, pip, cargo, git, curl, wget and Go's clients read these;
    /// Node's own needs to be told to. Java's reads no variable that it wouldn't announce at each start
    /// (`JAVA_TOOL_OPTIONS`), so none is set. For all other protocols it is the HTTP proxy as well: libraries stop at a
    /// SOCKS proxy that they have no code for (httpx), and whoever wants one finds it.
    fn variables(self) -> Vec<(&'static str, String)> {
        let http = format!("http://{}", self.http);
        let mut all = Vec::new();
        for (upper, lower, value) in [
            ("HTTP_PROXY", "http_proxy", http.as_str()),
            ("HTTPS_PROXY", "https_proxy", &http),
            ("ALL_PROXY", "all_proxy", &http),
            ("NO_PROXY", "no_proxy", NO_PROXY),
        ] {
            all.push((upper, value.to_owned()));
            all.push((lower, value.to_owned()));
        }
        all.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
        all
    }
}

/// Whether git is told of the way through the user's ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GitSsh {
    /// It is.
    Told,
    /// There is none.
    Off,
}

impl GitSsh {
    /// The variables that git goes by (git(1)). Cargo's own client of git knows no program for ssh.
    const fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Told => &[
                ("GIT_SSH_COMMAND", SSH_PROGRAM),
                ("GIT_SSH_VARIANT", "ssh"),
                ("CARGO_NET_GIT_FETCH_WITH_CLI", "true"),
            ],
            Self::Off => &[],
        }
    }
}

/// `NAME=VALUE` for the program, and the names of what was dropped. `proxies` are those that it is told of.
pub(super) fn environment(
    policy: &EnvironmentPolicy,
    facts: &Facts,
    directory: &Path,
    proxies: Option<Proxies>,
    looks_into_tls: bool,
    git_ssh: GitSsh,
) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut inside: Vec<(OsString, OsString)> = Vec::new();
    let mut dropped = Vec::new();
    for (name, value) in &facts.ambient.environment {
        if name.to_str().is_some_and(|name| policy.keeps(name)) {
            put(&mut inside, name.clone(), value.clone());
        } else {
            dropped.push(name.to_string_lossy().into_owned());
        }
    }
    if !inside.iter().any(|(name, _)| name == "PATH") {
        put(&mut inside, "PATH".into(), DEFAULT_PATH.into());
    }
    put(
        &mut inside,
        "HOME".into(),
        facts.ambient.home.clone().into_os_string(),
    );
    put(&mut inside, "PWD".into(), directory.as_os_str().to_owned());
    put(
        &mut inside,
        "XDG_RUNTIME_DIR".into(),
        super::system::runtime_directory(facts).into_os_string(),
    );
    // Programs, and people, can tell that they are inside.
    put(&mut inside, "ACA".into(), "1".into());
    for (name, value) in proxies.into_iter().flat_map(Proxies::variables) {
        put(&mut inside, name.into(), value.into());
    }
    if looks_into_tls {
        // The user's own values are part of these files.
        for (name, value) in super::certificates::variables() {
            put(&mut inside, name.into(), value.into());
        }
    }
    for (name, value) in git_ssh.variables() {
        put(&mut inside, (*name).into(), (*value).into());
    }
    for (name, value) in &policy.set {
        put(&mut inside, name.into(), value.into());
    }
    dropped.sort();
    let pairs = inside
        .into_iter()
        .filter(|(name, _)| !NEVER.iter().any(|pattern| matches(pattern, name)))
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    (pairs, dropped)
}

fn put(list: &mut Vec<(OsString, OsString)>, name: OsString, value: OsString) {
    list.retain(|(own, _)| *own != name);
    list.push((name, value));
}

fn matches(pattern: &str, name: &OsStr) -> bool {
    let name = name.as_bytes();
    if let Some(start) = pattern.strip_suffix('*') {
        name.starts_with(start.as_bytes())
    } else if let Some(end) = pattern.strip_prefix('*') {
        name.ends_with(end.as_bytes())
    } else {
        name == pattern.as_bytes()
    }
}
