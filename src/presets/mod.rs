//! Built-in data: network presets, tool chains, what of the system is shown, which variables are kept. Typed, and
//! parsed when it is asked for. The files are TOML, for people; what is embedded is the same as JSON (`build.rs`), which
//! reads in a fraction of the time, on every start.

mod calls;
mod home_path;
mod tokens;
mod tree;

pub use calls::{RefusedCall, refused_calls};
pub use home_path::{HomePath, HomePathError};
pub use tokens::{Body, Token, tokens};
pub use tree::{CONTENT_BYTES_MAX, NewNameRule, RuleKind, RunsWhen, TreeRule, TreeRules, tree_rules};

use crate::policy::{HostPattern, NetworkPreset};
use serde::Deserialize;
use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// The text of a built-in file, by its path below `src` without `.toml`.
macro_rules! built_in {
    ($path:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $path, ".json"))
    };
}
pub(crate) use built_in;

/// The file of the network presets, as origins name it.
pub const NETWORK_FILE: &str = "presets/network.toml";
/// Name of the built-in data on variables.
pub const ENVIRONMENT_FILE: &str = "presets/environment.toml";

/// An embedded file is wrong: a fault of this build, which a test holds.
#[derive(Debug, thiserror::Error)]
#[error("the built-in data in {file} is wrong")]
pub struct PresetError {
    /// The file, as origins name it.
    pub file: &'static str,
    /// What is wrong.
    #[source]
    pub source: Box<serde_json::Error>,
}

/// Hosts that a network preset allows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostGroup {
    /// The preset that has them.
    pub preset: NetworkPreset,
    /// Why.
    pub why: String,
    /// The hosts.
    pub patterns: Vec<HostPattern>,
}

/// `network.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPresets {
    /// All groups.
    pub group: Vec<HostGroup>,
}

/// A tool chain in the home, shown read-only where it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it is.
    pub why: String,
    /// Its directory in the home.
    pub home: HomePath,
    /// The variable that moves that directory, if the tool has one.
    #[serde(default)]
    pub variable: Option<String>,
    /// What of it is shown; all of it if left out.
    #[serde(default)]
    pub read: Vec<HomePath>,
}

/// A cache in the home, backed by a store of aca's own and never by the host's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// What it is.
    pub why: String,
    /// Its directory in the home.
    pub home: HomePath,
    /// The variable that moves the directory named by `home`, if the tool has one.
    #[serde(default)]
    pub variable: Option<String>,
    /// What of it is the cache; all of it if left out.
    #[serde(default)]
    pub below: Option<HomePath>,
    /// The store's name beneath [`Places::stores`](crate::config::Places::stores).
    pub store: String,
}

/// `toolchains.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchains {
    /// Shown read-only.
    pub tool: Vec<Tool>,
    /// Backed by stores.
    pub cache: Vec<Cache>,
}

/// A path of the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPath {
    /// Absolute.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// `system.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Shown read-only where it exists; a symlink stays a symlink.
    pub show: Vec<SystemPath>,
    /// Hidden beneath what is shown, where it exists.
    pub hide: Vec<SystemPath>,
    /// Directories in which everything that others may not read is hidden from root.
    pub closed: Vec<SystemPath>,
}

/// Paths of the home with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomePaths {
    /// Why.
    pub why: String,
    /// Which.
    pub paths: Vec<HomePath>,
}

/// `home.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeSecrets {
    /// Hidden where the real home is shown.
    pub hide: Vec<HomePaths>,
}

/// Variables with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableGroup {
    /// Why.
    pub why: String,
    /// Names; `*` stands for any run of characters.
    pub names: Vec<String>,
}

/// `environment.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Kept when set outside.
    pub keep: Vec<VariableGroup>,
    /// Never kept by a pattern: only a user who names one exactly gets it.
    pub never: Vec<VariableGroup>,
}

/// The network presets.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn network() -> Result<NetworkPresets, PresetError> {
    parse(NETWORK_FILE, built_in!("presets/network"))
}

/// Tool chains and caches.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn toolchains() -> Result<Toolchains, PresetError> {
    parse("presets/toolchains.toml", built_in!("presets/toolchains"))
}

/// What of the root is shown.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn system() -> Result<System, PresetError> {
    parse("presets/system.toml", built_in!("presets/system"))
}

/// What of a real home is hidden.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn home_secrets() -> Result<HomeSecrets, PresetError> {
    parse("presets/home.toml", built_in!("presets/home"))
}

/// Which variables are kept.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn environment() -> Result<Environment, PresetError> {
    parse("presets/environment.toml", built_in!("presets/environment"))
}

fn parse<T: serde::de::DeserializeOwned>(file: &'static str, text: &str) -> Result<T, PresetError> {
    serde_json::from_str(text).map_err(|source| PresetError {
        file,
        source: Box::new(source),
    })
}

/// A cache with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlace {
    /// Where it is inside.
    pub path: PathBuf,
    /// The store's name.
    pub store: String,
}

impl Toolchains {
    /// What is shown read-only for this home and environment: absolute, in the home mostly, without doubles.
    #[must_use]
    pub fn read_paths(&self, home: &Path, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for tool in &self.tool {
            let base = place(home, environment, &tool.home, tool.variable.as_deref());
            if tool.read.is_empty() {
                paths.push(base);
            } else {
                paths.extend(tool.read.iter().map(|path| path.within(&base)));
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Where the caches are for this home and environment. A variable may have moved one out of the home, even into
    /// the project, where it needs no store: that is the caller's to see.
    #[must_use]
    pub fn cache_places(&self, home: &Path, environment: &[(OsString, OsString)]) -> Vec<CachePlace> {
        let places = self.cache.iter().map(|cache| {
            let base = place(home, environment, &cache.home, cache.variable.as_deref());
            let path = cache
                .below
                .as_ref()
                .map_or_else(|| base.clone(), |below| below.within(&base));
            CachePlace {
                path,
                store: cache.store.clone(),
            }
        });
        places.collect()
    }
}

/// Where a tool keeps its files. A variable that is no absolute path of named components, or that points at the home
/// or above it, counts as unset: it would show, or replace, far more than a tool chain.
fn place(
    home: &Path,
    environment: &[(OsString, OsString)],
    default: &HomePath,
    variable: Option<&str>,
) -> PathBuf {
    let moved = variable
        .and_then(|variable| environment.iter().find(|(name, _)| name == variable))
        .map(|(_, value)| Path::new(value));
    let named = |component| matches!(component, Component::RootDir | Component::Normal(_));
    moved
        .filter(|path| path.is_absolute() && path.components().all(named) && !home.starts_with(path))
        .map_or_else(|| default.within(home), |path| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn unique<T: std::hash::Hash + Eq + std::fmt::Debug>(items: impl IntoIterator<Item = T>) {
        let mut seen = HashSet::new();
        for item in items {
            let shown = format!("{item:?}");
            assert!(seen.insert(item), "twice: {shown}");
        }
    }

    #[test]
    fn hosts_are_patterns_and_stand_once() {
        let presets = network().unwrap();
        unique(
            presets
                .group
                .iter()
                .flat_map(|group| &group.patterns)
                .map(ToString::to_string),
        );
        assert!(
            presets
                .group
                .iter()
                .all(|group| !group.why.is_empty() && !group.patterns.is_empty())
        );
        let preset_of = |group: &HostGroup| group.preset;
        assert!(
            presets
                .group
                .iter()
                .map(preset_of)
                .all(|preset| matches!(preset, NetworkPreset::Dev | NetworkPreset::Open))
        );
        // A pattern that another covers on the same ports says nothing.
        let dev: Vec<_> = presets
            .group
            .iter()
            .filter(|group| group.preset == NetworkPreset::Dev)
            .flat_map(|group| &group.patterns)
            .collect();
        for pattern in &dev {
            let wider = dev.iter().filter(|other| {
                **other != *pattern && pattern.listed_port().is_none() && other.listed_port().is_none()
            });
            assert!(
                !wider.into_iter().any(|other| other.covers_hosts(pattern)),
                "{pattern} is covered"
            );
        }
    }

    #[test]
    fn variables_stand_once_and_no_secret_is_kept() {
        let data = environment().unwrap();
        unique(data.keep.iter().chain(&data.never).flat_map(|group| &group.names));
        assert!(
            data.keep
                .iter()
                .chain(&data.never)
                .all(|group| !group.why.is_empty())
        );
        let names = |groups: &[VariableGroup]| {
            groups
                .iter()
                .flat_map(|group| group.names.clone())
                .collect::<Vec<_>>()
        };
        let policy = crate::policy::EnvironmentPolicy {
            keep: names(&data.keep),
            set: Vec::new(),
            never: names(&data.never),
        };
        for kept in [
            "PATH",
            "LC_ALL",
            "TERM",
            "CARGO_HOME",
            "CARGO_TERM_COLOR",
            "HOME",
            "JAVA_HOME",
        ] {
            assert!(policy.keeps(kept), "{kept}");
        }
        for dropped in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "SSH_AUTH_SOCK",
            "GH_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DBUS_SESSION_BUS_ADDRESS",
            "HTTPS_PROXY",
            "https_proxy",
            "NODE_OPTIONS",
            "CARGO_REGISTRY_TOKEN",
            "BASH_ENV",
            "DOCKER_HOST",
            "XDG_RUNTIME_DIR",
            "DISPLAY",
            "KUBECONFIG",
        ] {
            assert!(!policy.keeps(dropped), "{dropped}");
        }
        // A user's pattern meets the same wall; each entry of the wall is tried.
        let all = [
            "A*", "B*", "C*", "D*", "E*", "G*", "L*", "M*", "N*", "P*", "R*", "S*", "X*", "_*", "J*",
        ]
        .map(String::from);
        let wide = crate::policy::EnvironmentPolicy {
            keep: all.to_vec(),
            ..policy
        };
        for pattern in &wide.never {
            let name = format!("X{pattern}").replace('*', "Y");
            let name = if pattern.starts_with('*') {
                name
            } else {
                pattern.replace('*', "Y")
            };
            assert!(!wide.keeps(&name), "{pattern}");
        }
        assert!(wide.keeps("XYZ"));
    }

    #[test]
    fn secrets_of_the_home_stand_once() {
        let data = home_secrets().unwrap();
        let all: Vec<&HomePath> = data.hide.iter().flat_map(|row| &row.paths).collect();
        unique(all.iter());
        assert!(data.hide.iter().all(|row| !row.why.is_empty()));
        for path in &all {
            let outer = |other: &&&HomePath| path != *other && path.as_path().starts_with(other.as_path());
            assert!(
                !all.iter().any(|other| outer(&other)),
                "{path} lies in another one"
            );
        }
    }

    #[test]
    fn system_paths_are_absolute_and_stand_once() {
        let data = system().unwrap();
        unique(data.show.iter().chain(&data.hide).map(|entry| &entry.path));
        for entry in data.show.iter().chain(&data.hide) {
            assert!(entry.path.is_absolute() && !entry.why.is_empty(), "{entry:?}");
        }
        for hidden in &data.hide {
            assert!(
                data.show.iter().any(|shown| hidden.path.starts_with(&shown.path)),
                "{hidden:?} isn't shown anyway"
            );
        }
    }

    #[test]
    fn tool_chains_have_one_place_each() {
        let data = toolchains().unwrap();
        let home = Path::new("/home/u");
        unique(data.tool.iter().map(|tool| &tool.home));
        unique(data.cache.iter().map(|cache| &cache.store));
        unique(data.cache_places(home, &[]).into_iter().map(|place| place.path));
        let paths = data.read_paths(home, &[]);
        assert!(paths.contains(&"/home/u/.cargo/bin".into()) && paths.contains(&"/home/u/.nvm".into()));
        // Where settings with tokens are is neither shown nor in a store's way.
        for secret in [
            ".ssh",
            ".gnupg",
            ".aws",
            ".config/gh",
            ".cargo/credentials.toml",
            ".npmrc",
            ".m2/settings.xml",
            ".gem/credentials",
            ".config/composer/auth.json",
            ".netrc",
            ".kube",
            ".docker",
            ".pypirc",
        ] {
            assert!(
                !paths.iter().any(|path| home.join(secret).starts_with(path)),
                "{secret}"
            );
        }
        assert!(data.cache.iter().all(|cache| {
            cache
                .store
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        }));
    }

    #[test]
    fn variables_move_tools_within_reason() {
        let data = toolchains().unwrap();
        let home = Path::new("/home/u");
        let moved = |value: &str| {
            let environment = [
                ("CARGO_HOME".into(), value.into()),
                ("RUSTUP_HOME".into(), value.into()),
            ];
            (
                data.read_paths(home, &environment),
                data.cache_places(home, &environment),
            )
        };
        let (paths, caches) = moved("/data//cargo/");
        assert!(paths.contains(&"/data/cargo/bin".into()) && paths.contains(&"/data/cargo".into()));
        assert!(
            caches
                .iter()
                .any(|cache| cache.path == Path::new("/data/cargo/registry"))
        );
        for wide in ["/", "/home", "/home/u", "relative", "", "/home/u/x/.."] {
            let (paths, _) = moved(wide);
            assert!(
                paths.contains(&"/home/u/.rustup".into()) && paths.contains(&"/home/u/.cargo/bin".into()),
                "{wide:?}"
            );
        }
    }
}
