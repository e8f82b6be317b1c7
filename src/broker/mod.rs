//! The user's own credentials, for requests that git inside makes and that go outside with them. Nothing inside holds one.
//!
//! They are found when the first request needs one and no sooner, and in this order: where the user's configuration says
//! (then nowhere else), by git's own credential helpers ([`helper`]), by the forge's command line tool, in the variables
//! that such tools read, in `~/.netrc` ([`netrc`]). Programs that are asked were found before the run, outside of all that
//! is written inside, and run at `/` with few variables ([`program`]). One is asked at a time for each host.
//!
//! A credential belongs to the host and port that it was asked for. It lies in memory alone, for a quarter of an hour at
//! most, in a process that leaves no core and that no other process of the user's can look into ([`guard`]).

#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod helper;
mod netrc;
mod program;
mod secret;

pub use guard::guard;
pub use secret::Secret;

use crate::policy::{CredentialRule, CredentialSource, Host};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How long one is kept.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How long it is remembered that there is none.
const NONE_KEPT: Duration = Duration::from_secs(10);
/// How often in that time a host may refuse what was found, before nothing is asked for it: who runs inside can ask again
/// and again, and each time a program of the user's would be started and the server be told the same.
const REFUSED_MAX: usize = 3;
/// Most that are kept; then all are let go.
pub(crate) const KEPT_MAX: usize = 256;
/// The name that goes with a token, where nobody says another: forges take any.
const TOKEN_USER: &str = "x-access-token";
/// The same for GitLab's.
const GITLAB_USER: &str = "oauth2";

/// What is known before the run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What the user's configuration says.
    pub rules: Vec<CredentialRule>,
    /// Looks whether what is started or read lies in what is written inside by now; nothing does where there is none.
    pub look: Option<Look>,
    /// Programs by name: `git`, `gh`, `glab`; those that were found.
    pub programs: HashMap<&'static str, PathBuf>,
    /// Why others aren't started, though they were.
    pub refused: HashMap<&'static str, String>,
    /// The variables of such programs.
    pub variables: Vec<(OsString, OsString)>,
    /// The user's own, where tokens may be.
    pub environment: Vec<(OsString, OsString)>,
    /// The user's home.
    pub home: PathBuf,
}

/// What is about to be started, or read.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// One of [`Sources::programs`], with all that it obeys.
    Program(&'static str, &'a Path),
    /// A file, or a program that a rule names.
    Path(&'a Path),
}

/// Tells why something isn't started or read any more; `None` where it is.
#[derive(Clone)]
pub struct Look(pub Arc<LookAt>);

/// What does it.
pub type LookAt = dyn Fn(Wanted<'_>) -> Option<String> + Send + Sync;

impl std::fmt::Debug for Look {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Look")
    }
}

/// Whom a credential is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The repository's path.
    pub path: String,
}

/// A credential.
pub struct Credential {
    user: String,
    secret: Secret,
    source: String,
    until: Instant,
}

impl Credential {
    /// The value of `Authorization` (RFC 7617 2).
    #[must_use]
    pub fn basic(&self) -> Zeroizing<Vec<u8>> {
        let mut pair = Zeroizing::new(Vec::with_capacity(
            self.user.len() + 1 + self.secret.expose().len(),
        ));
        pair.extend_from_slice(self.user.as_bytes());
        pair.push(b':');
        pair.extend_from_slice(self.secret.expose());
        let encoded = Zeroizing::new(crate::policy::base64(&pair));
        let mut value = Zeroizing::new(Vec::with_capacity(6 + encoded.len()));
        value.extend_from_slice(b"Basic ");
        value.extend_from_slice(encoded.as_bytes());
        value
    }

    /// Where it was found, for people.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What must not be seen.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A program, without a word of what it printed.
    #[error("{0}")]
    Program(String),
    /// What it gave is no credential.
    #[error("what {0} gave is no credential")]
    NoCredential(String),
    /// A variable.
    #[error("the variable {0} isn't set")]
    Unset(String),
    /// It could have been written inside.
    #[error("{} lies in what is written inside, so it is neither started nor read", .0.display())]
    Inside(PathBuf),
    /// A file.
    #[error("{} can't be read: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The error.
        why: String,
    },
}

/// There is no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Missing(Vec<String>);

/// A turn at a host.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// Finds credentials, and keeps them.
#[derive(Default)]
pub struct Broker {
    sources: Sources,
    kept: Mutex<HashMap<Place, Kept>>,
    turns: Mutex<HashMap<(Host, u16), Turn>>,
    /// When each host last refused what was found.
    refused: Mutex<HashMap<(Host, u16), Vec<Instant>>>,
}

#[derive(Clone)]
enum Kept {
    Found(Arc<Credential>),
    None(Missing, Instant),
}

impl Broker {
    /// With what is known before the run. Nothing is asked yet.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// The credential of a place; the second value tells whether it was asked for just now.
    ///
    /// # Errors
    /// There is none: tells where it was looked for.
    pub async fn credential(&self, place: &Place) -> Result<(Arc<Credential>, bool), Missing> {
        if let Some(kept) = self.kept(place) {
            return kept.map(|credential| (credential, false));
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= KEPT_MAX {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry((place.host.clone(), place.port)).or_default())
        };
        let _turn = turn.lock().await;
        // Somebody else asked meanwhile.
        if let Some(kept) = self.kept(place) {
            return kept.map(|credential| (credential, false));
        }
        if self.is_refused_often(place) {
            return Err(Missing(vec![
                "the server refused what was found, just now and more than once".into(),
            ]));
        }
        guard();
        let found = self.find(place).await.map(Arc::new);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let entry = match &found {
            Ok(credential) => Kept::Found(Arc::clone(credential)),
            Err(missing) => Kept::None(missing.clone(), Instant::now() + NONE_KEPT),
        };
        kept.insert(place.clone(), entry);
        found.map(|credential| (credential, true))
    }

    /// The server didn't take it: it is asked for anew.
    pub fn rejected(&self, place: &Place) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(place);
        drop(kept);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= KEPT_MAX {
            refused.clear();
        }
        let times = refused.entry((place.host.clone(), place.port)).or_default();
        times.retain(|time| time.elapsed() < NONE_KEPT);
        times.push(Instant::now());
    }

    fn is_refused_often(&self, place: &Place) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let times = refused.get(&(place.host.clone(), place.port));
        let recent = |times: &Vec<Instant>| times.iter().filter(|time| time.elapsed() < NONE_KEPT).count();
        times.map_or(0, recent) >= REFUSED_MAX
    }

    /// All that are held, for who looks for them in what goes outside.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<Credential>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.values().filter_map(|kept| match kept {
            Kept::Found(credential) => Some(Arc::clone(credential)),
            Kept::None(..) => None,
        });
        found.collect()
    }

    fn kept(&self, place: &Place) -> Option<Result<Arc<Credential>, Missing>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match kept.get(place)? {
            Kept::Found(credential) if credential.until > now => return Some(Ok(Arc::clone(credential))),
            Kept::None(missing, until) if *until > now => return Some(Err(missing.clone())),
            Kept::Found(_) | Kept::None(..) => {}
        }
        kept.remove(place);
        None
    }

    async fn find(&self, place: &Place) -> Result<Credential, Missing> {
        let rules = self.sources.rules.iter();
        let rule = rules
            .rev()
            .find(|rule| (&rule.host.host, rule.host.port) == (&place.host, place.port));
        if let Some(rule) = rule {
            let found = self.explicit(rule, place).await;
            return found.map_err(|why| {
                Missing(vec![format!(
                    "`from = \"{}\"` ({}): {why}",
                    rule.from, rule.origin
                )])
            });
        }
        let mut tried = Vec::new();
        match self.by_git(place).await {
            Ok(found) => return Ok(found),
            Err(why) => tried.push(why.to_string()),
        }
        match self.by_forge(place).await {
            Some(Ok(found)) => return Ok(found),
            Some(Err(why)) => tried.push(why.to_string()),
            None => {}
        }
        if let Some(found) = self.by_variable(place) {
            return Ok(found);
        }
        if let Some(found) = self.by_netrc(place) {
            return Ok(found);
        }
        tried.push("neither a variable nor ~/.netrc has one".to_owned());
        Err(Missing(tried))
    }

    async fn explicit(&self, rule: &CredentialRule, place: &Place) -> Result<Credential, SourceError> {
        let user = rule.user.as_deref().unwrap_or(TOKEN_USER);
        let source = rule.from.to_string();
        let mut paths = rule.from.paths();
        if let Some(path) = paths.find(|path| self.look(Wanted::Path(path)).is_some()) {
            return Err(SourceError::Inside(path.to_owned()));
        }
        match &rule.from {
            CredentialSource::Helper => self.by_git(place).await,
            CredentialSource::Variable(name) => {
                let value = self
                    .variable(name)
                    .ok_or_else(|| SourceError::Unset(name.clone()))?;
                token(user, &source, value.as_bytes())
            }
            CredentialSource::File(path) => {
                let bytes = read(path, secret::SECRET_MAX + 1).map_err(|why| SourceError::File {
                    path: path.clone(),
                    why,
                })?;
                token(user, &source, &bytes)
            }
            CredentialSource::Command(words) => {
                let mut words = words.iter().map(String::as_str);
                let program = words.next().unwrap_or_default();
                let arguments: Vec<&str> = words.collect();
                let bytes =
                    program::run(Path::new(program), &arguments, &self.sources.variables, b"").await?;
                // In git's words, or a token alone.
                match helper::answer(&bytes) {
                    Some(filled) => Ok(credential(filled, source)),
                    None => token(user, &source, &bytes),
                }
            }
        }
    }

    async fn by_git(&self, place: &Place) -> Result<Credential, SourceError> {
        /// Nothing of a repository's is obeyed, nobody is asked, and no name of another program is taken.
        const VARIABLES: [(&str, &str); 7] = [
            ("GIT_DIR", "/nonexistent/.git"),
            ("GIT_CEILING_DIRECTORIES", "/"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("GCM_INTERACTIVE", "never"),
            ("LC_ALL", "C"),
        ];
        let git = self.program("git")?;
        let no_question = || SourceError::NoCredential("the repository's name".into());
        let host = bare(&place.host);
        let question = helper::question(&host, place.port, &place.path).ok_or_else(no_question)?;
        let mut variables = self.sources.variables.clone();
        variables.extend(VARIABLES.map(|(name, value)| (name.into(), value.into())));
        let arguments = ["-c", "core.askPass=/bin/false", "credential", "fill"];
        let output = program::run(git, &arguments, &variables, &question).await;
        let output =
            output.map_err(|why| SourceError::Program(format!("git's credential helpers: {why}")))?;
        let filled = helper::answer(&output);
        let filled = filled.ok_or_else(|| SourceError::NoCredential("`git credential fill`".into()))?;
        Ok(credential(filled, "git's credential helpers".into()))
    }

    /// The forge's own tool; `None` where that isn't there.
    async fn by_forge(&self, place: &Place) -> Option<Result<Credential, SourceError>> {
        let host = bare(&place.host);
        let is_good = place.port == 443 && !host.starts_with('-');
        let tools = [
            ("gh", vec!["auth", "token", "--hostname", &host], TOKEN_USER),
            (
                "glab",
                vec!["config", "get", "token", "--host", &host],
                GITLAB_USER,
            ),
        ];
        let mut last = None;
        for (name, arguments, user) in tools.into_iter().filter(|_| is_good) {
            let tool = match self.program(name) {
                Ok(tool) => tool,
                Err(why) => {
                    let Sources {
                        programs, refused, ..
                    } = &self.sources;
                    // One that was never there is nobody's concern.
                    if programs.contains_key(name) || refused.contains_key(name) {
                        last = Some(Err(why));
                    }
                    continue;
                }
            };
            let found = match program::run(tool, &arguments, &self.sources.variables, b"").await {
                Ok(output) => token(user, &format!("`{name}`"), &output),
                Err(why) => Err(SourceError::Program(format!("`{name}`: {why}"))),
            };
            match found {
                Ok(found) => return Some(Ok(found)),
                Err(why) => last = Some(Err(why)),
            }
        }
        last
    }

    fn by_variable(&self, place: &Place) -> Option<Credential> {
        let (names, user): (&[&str], _) = match (bare(&place.host).as_str(), place.port) {
            ("github.com", 443) => (&["GH_TOKEN", "GITHUB_TOKEN"], TOKEN_USER),
            ("gitlab.com", 443) => (&["GITLAB_TOKEN"], GITLAB_USER),
            _ => return None,
        };
        names.iter().find_map(|name| {
            let value = self.variable(name)?;
            token(user, &format!("the variable {name}"), value.as_bytes()).ok()
        })
    }

    fn by_netrc(&self, place: &Place) -> Option<Credential> {
        // It has no ports.
        let host = (place.port == 443).then(|| bare(&place.host))?;
        let path = self.sources.home.join(".netrc");
        if self.look(Wanted::Path(&path)).is_some() {
            return None;
        }
        let text = read(&path, netrc::NETRC_MAX).ok()?;
        let (user, secret) = netrc::find(&text, &host)?;
        Some(Credential {
            user,
            secret,
            source: "~/.netrc".into(),
            until: Instant::now() + KEPT,
        })
    }

    fn program(&self, name: &'static str) -> Result<&Path, SourceError> {
        let found = self.sources.programs.get(name).map(PathBuf::as_path);
        if let Some(why) = found.and_then(|path| self.look(Wanted::Program(name, path))) {
            return Err(SourceError::Program(why));
        }
        found.ok_or_else(|| match self.sources.refused.get(name) {
            Some(why) => SourceError::Program(why.clone()),
            None => SourceError::Program(format!("no `{name}` was found outside when the run began")),
        })
    }

    fn look(&self, wanted: Wanted<'_>) -> Option<String> {
        let look = self.sources.look.as_ref();
        look.and_then(|look| look.0(wanted))
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        let mut all = self.sources.environment.iter();
        all.find(|(own, _)| own == name)
            .map(|(_, value)| value.as_os_str())
    }
}

/// A host as programs are told it.
fn bare(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::Address(address) => address.to_string(),
    }
}

fn credential(filled: helper::Filled, source: String) -> Credential {
    let (now, mut until) = (Instant::now(), Instant::now() + KEPT);
    if let Some(expires) = filled.expires {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        until = until.min(now + Duration::from_secs(expires).saturating_sub(since));
    }
    Credential {
        user: filled.user,
        secret: filled.secret,
        source,
        until,
    }
}

/// One line, blanks around it don't count.
fn token(user: &str, source: &str, bytes: &[u8]) -> Result<Credential, SourceError> {
    let none = || SourceError::NoCredential(source.to_owned());
    let secret = Secret::new(Zeroizing::new(bytes.trim_ascii().to_vec())).ok_or_else(none)?;
    Ok(Credential {
        user: user.to_owned(),
        secret,
        source: source.to_owned(),
        until: Instant::now() + KEPT,
    })
}

/// A regular file of at most so many bytes.
fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    use rustix::fs::{Mode, OFlags, open};
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty()).map_err(|error| text(&error))?;
    let file = std::fs::File::from(file);
    if !file.metadata().map_err(|error| text(&error))?.is_file() {
        return Err("it is no regular file".into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = u64::try_from(most + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| text(&error))?;
    match bytes.len() > most {
        true => Err(format!("it has more than {most} bytes")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
