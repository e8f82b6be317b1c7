//! What may be pushed where: per repository which refs may be created, moved, moved back and removed, and what a push
//! may hold.

use super::super::Origin;
use super::super::pattern::{Case, PathPattern, PathPatternError};
use super::ref_pattern::{RefPattern, RefPatternError};
use super::{GitPolicy, Repository, RepositoryError};
use crate::git::ref_name::RefName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Branches that an agent may call its own.
const OWN: [&str; 2] = ["agent/**", "aca/**"];
/// Names that default branches commonly have.
const DEFAULTS: [&str; 4] = ["main", "master", "trunk", "develop"];
/// Bytes of a pack where nobody says another number.
const PACK_MAX: u64 = 50 << 20;
/// New commits of a push where nobody says another number.
const COMMITS_MAX: u32 = 1000;
/// What runs on the forge as soon as it is pushed, with what the forge's runner holds. Sources: the documentation of
/// GitHub, Forgejo and Gitea Actions, GitLab CI, CircleCI, Travis, Azure, Bitbucket, Drone, Woodpecker, Buildkite, Cirrus,
/// AppVeyor, Semaphore, Jenkins, TeamCity, Tekton's Pipelines as Code, sourcehut, AWS CodeBuild and Google Cloud Build.
///
/// What such a file includes or starts by name (a script, a template of GitLab's elsewhere) isn't here: it is told what by
/// the file alone, and is the project's own code like any other that a runner runs. Nor are `CODEOWNERS`, `.gitmodules` and
/// `.gitattributes`, which run nothing there; `protect` names them for who wants that. No pattern begins with `**`: each
/// would read every tree of every commit.
const PROTECTED: [&str; 36] = [
    ".github/workflows/**",
    ".github/actions/**",
    ".forgejo/workflows/**",
    ".forgejo/actions/**",
    ".gitea/workflows/**",
    ".gitea/actions/**",
    ".gitlab-ci.yml",
    ".gitlab-ci/**",
    ".gitlab/ci/**",
    ".circleci/**",
    ".travis.yml",
    "azure-pipelines.yml",
    "azure-pipelines.yaml",
    ".azure-pipelines.yml",
    ".azure-pipelines/**",
    "bitbucket-pipelines.yml",
    ".drone.yml",
    ".drone.yaml",
    ".drone.star",
    ".drone.jsonnet",
    ".woodpecker.yml",
    ".woodpecker.yaml",
    ".woodpecker/**",
    ".buildkite/**",
    ".cirrus.yml",
    ".cirrus.star",
    "appveyor.yml",
    ".appveyor.yml",
    ".semaphore/**",
    "Jenkinsfile",
    ".teamcity/**",
    ".tekton/**",
    ".build.yml",
    ".builds/**",
    "buildspec.yml",
    "cloudbuild.yaml",
];

/// How one ref changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefChange {
    /// It isn't there yet.
    Create,
    /// It goes forward: what it was is behind what it shall be.
    Update,
    /// It goes elsewhere.
    Force {
        /// This session created it, and it is where this session pushed it last.
        own: bool,
    },
    /// It goes.
    Delete {
        /// As for [`Self::Force`].
        own: bool,
    },
}

impl RefChange {
    /// What is done, for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Force { .. } => "force",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Which refs may be moved back, or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// None.
    Never,
    /// Those that this session created, as long as nobody else moved them.
    OwnSession,
    /// Those too, and all that these name.
    Patterns(Vec<RefPattern>),
}

/// What may be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushGrant {
    /// Refs that may be created, tags aside.
    pub create: Vec<RefPattern>,
    /// Refs that may go forward.
    pub update: Vec<RefPattern>,
    /// Refs that may go elsewhere.
    pub force: Beyond,
    /// Refs that may be removed.
    pub delete: Beyond,
    /// Tags that may be created. One that is there is moved by `force` alone.
    pub tags: Vec<RefPattern>,
    /// Bytes of a pack.
    pub max_pack: u64,
    /// New commits.
    pub max_commits: u32,
    /// Paths that no pushed commit may change.
    pub protect: Vec<ProtectedPath>,
    /// Whether contents are searched for secrets.
    pub scan_secrets: bool,
}

/// A path of a repository that isn't pushed otherwise than it is on the server; a directory with all in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProtectedPath(PathPattern);

impl ProtectedPath {
    /// The pattern.
    #[must_use]
    pub const fn pattern(&self) -> &PathPattern {
        &self.0
    }
}

impl TryFrom<String> for ProtectedPath {
    type Error = PathPatternError;

    fn try_from(text: String) -> Result<Self, PathPatternError> {
        PathPattern::parse(&text, Case::Exact).map(Self)
    }
}

impl From<ProtectedPath> for String {
    fn from(path: ProtectedPath) -> Self {
        path.0.to_string()
    }
}

impl fmt::Display for ProtectedPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A grant as it is written: what is left out has the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenGrant {
    /// `create`.
    pub create: Option<Vec<RefPattern>>,
    /// `update`.
    pub update: Option<Vec<RefPattern>>,
    /// `force`.
    pub force: Option<Beyond>,
    /// `delete`.
    pub delete: Option<Beyond>,
    /// `tags`.
    pub tags: Option<Vec<RefPattern>>,
    /// `max_pack`.
    pub max_pack: Option<u64>,
    /// `max_commits`.
    pub max_commits: Option<u32>,
    /// `protect`.
    pub protect: Option<Vec<ProtectedPath>>,
    /// `scan_secrets`.
    pub scan_secrets: Option<bool>,
    /// What a flag names besides the defaults.
    pub also: Option<AlsoPushed>,
}

/// Refs besides the default ones, as a flag names them: `URL#release/*`, `URL#+wip/**` (by force as well).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlsoPushed {
    /// Which.
    pub pattern: RefPattern,
    /// Whether they may be moved back.
    pub force: bool,
}

impl fmt::Display for AlsoPushed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plus = if self.force { "+" } else { "" };
        write!(formatter, "{plus}{}", self.pattern)
    }
}

/// A repository and perhaps refs of it, as a flag names them: `git@host:acme/app`, `git@host:acme/app#release/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// Which.
    pub repository: Repository,
    /// Refs besides the default ones.
    pub also: Option<AlsoPushed>,
}

/// Why a text is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushTargetError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// What follows the `#`.
    #[error(transparent)]
    Ref(#[from] RefPatternError),
}

impl PushTarget {
    /// The narrowest one that lets a ref change so; `None` where no flag says it.
    pub(in super::super) fn of(repository: &Repository, name: &RefName, change: RefChange) -> Option<Self> {
        let target = |also| Self {
            repository: repository.clone(),
            also,
        };
        let default = WrittenGrant::default().filled(None);
        if GitPolicy::default().lets(&default, name, change) {
            return Some(target(None));
        }
        let force = match change {
            RefChange::Create => false,
            // A tag doesn't go forward.
            RefChange::Update => name.as_str().starts_with("refs/tags/"),
            RefChange::Force { .. } => true,
            RefChange::Delete { .. } => return None,
        };
        let pattern = name.short().parse().ok()?;
        Some(target(Some(AlsoPushed { pattern, force })))
    }

    /// The same as a grant.
    #[must_use]
    pub fn grant(&self) -> WrittenGrant {
        WrittenGrant {
            also: self.also.clone(),
            ..WrittenGrant::default()
        }
    }

    /// What stands in the configuration instead: the value of `push`.
    #[must_use]
    pub fn value(&self) -> String {
        let Some(also) = &self.also else {
            return "true".into();
        };
        let default = WrittenGrant::default().filled(None);
        let mut written = WrittenGrant::default();
        if also.pattern.is_of_tags() {
            written.tags = Some(vec![also.pattern.clone()]);
        } else {
            let all = [default.create, vec![also.pattern.clone()]].concat();
            written.create = Some(all.clone());
            written.update = Some(all);
        }
        written.force = also.force.then(|| Beyond::Patterns(vec![also.pattern.clone()]));
        written.to_string()
    }
}

impl FromStr for PushTarget {
    type Err = PushTargetError;

    fn from_str(text: &str) -> Result<Self, PushTargetError> {
        let (url, refs) = match text.split_once('#') {
            Some((url, refs)) => (url, Some(refs)),
            None => (text, None),
        };
        let also = refs.map(|refs| {
            let (refs, force) = refs.strip_prefix('+').map_or((refs, false), |refs| (refs, true));
            refs.parse().map(|pattern| AlsoPushed { pattern, force })
        });
        Ok(Self {
            repository: url.parse()?,
            also: also.transpose()?,
        })
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.also {
            Some(also) => write!(formatter, "{}#{also}", self.repository),
            None => write!(formatter, "{}", self.repository),
        }
    }
}

/// The branches that an agent of that name calls its own; `None` for a command that is no agent.
fn own_branches(agent: Option<&str>) -> Vec<RefPattern> {
    let named = agent.map(|name| format!("{name}/**"));
    let all = OWN.iter().copied().chain(named.as_deref());
    all.filter_map(|text| text.parse().ok()).collect()
}

impl WrittenGrant {
    /// With the defaults in all that was left out.
    #[must_use]
    pub fn filled(&self, agent: Option<&str>) -> PushGrant {
        let branches =
            |written: &Option<Vec<RefPattern>>| written.clone().unwrap_or_else(|| own_branches(agent));
        let mut grant = PushGrant {
            create: branches(&self.create),
            update: branches(&self.update),
            force: self.force.clone().unwrap_or(Beyond::OwnSession),
            delete: self.delete.clone().unwrap_or(Beyond::OwnSession),
            tags: self.tags.clone().unwrap_or_default(),
            max_pack: self.max_pack.unwrap_or(PACK_MAX),
            max_commits: self.max_commits.unwrap_or(COMMITS_MAX),
            protect: self.protect.clone().unwrap_or_else(|| {
                let all = PROTECTED.iter().map(|text| (*text).to_owned());
                all.filter_map(|text| text.try_into().ok()).collect()
            }),
            scan_secrets: self.scan_secrets.unwrap_or(true),
        };
        if let Some(also) = &self.also {
            if also.pattern.is_of_tags() {
                grant.tags.push(also.pattern.clone());
            } else {
                grant.create.push(also.pattern.clone());
                grant.update.push(also.pattern.clone());
            }
            if also.force {
                grant.force = Beyond::Patterns(vec![also.pattern.clone()]);
            }
        }
        grant
    }
}

/// As a table of TOML, in one line, what was written alone.
impl fmt::Display for WrittenGrant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let lists = [
            ("create", &self.create),
            ("update", &self.update),
            ("tags", &self.tags),
        ];
        for (key, list) in lists {
            parts.extend(list.as_ref().map(|list| format!("{key} = {}", toml_list(list))));
        }
        for (key, beyond) in [("force", &self.force), ("delete", &self.delete)] {
            parts.extend(beyond.as_ref().map(|beyond| {
                let value = match beyond {
                    Beyond::Never => "\"never\"".to_owned(),
                    Beyond::OwnSession => "\"own-session\"".to_owned(),
                    Beyond::Patterns(list) => toml_list(list),
                };
                format!("{key} = {value}")
            }));
        }
        parts.extend(self.max_pack.map(|bytes| format!("max_pack = {bytes}")));
        parts.extend(self.max_commits.map(|count| format!("max_commits = {count}")));
        let protect = self.protect.as_ref();
        parts.extend(protect.map(|list| format!("protect = {}", toml_list(list))));
        parts.extend(self.scan_secrets.map(|scan| format!("scan_secrets = {scan}")));
        parts.extend(
            self.also
                .as_ref()
                .map(|also| format!("also = {:?}", also.to_string())),
        );
        if parts.is_empty() {
            return formatter.write_str("true");
        }
        write!(formatter, "{{ {} }}", parts.join(", "))
    }
}

/// As it could be written; bounds only where they aren't the default.
impl fmt::Display for PushGrant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = WrittenGrant::default().filled(None);
        let protect = (self.protect != default.protect).then(|| self.protect.clone());
        WrittenGrant {
            create: Some(self.create.clone()),
            update: Some(self.update.clone()),
            force: Some(self.force.clone()),
            delete: Some(self.delete.clone()),
            tags: Some(self.tags.clone()).filter(|tags| !tags.is_empty()),
            max_pack: Some(self.max_pack).filter(|bytes| *bytes != PACK_MAX),
            max_commits: Some(self.max_commits).filter(|count| *count != COMMITS_MAX),
            protect,
            scan_secrets: Some(self.scan_secrets).filter(|scan| !scan),
            also: None,
        }
        .fmt(formatter)
    }
}

fn toml_list<T: fmt::Display>(list: &[T]) -> String {
    let all: Vec<String> = list.iter().map(|one| format!("{:?}", one.to_string())).collect();
    format!("[{}]", all.join(", "))
}

/// A rule on what is pushed to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRule {
    /// Which.
    pub repository: Repository,
    /// What may be pushed; `None` is a no, which wins over every yes.
    pub grant: Option<PushGrant>,
    /// Where it was written.
    pub origin: Origin,
}

/// The bounds of a push: of all rules on the repository the strictest. By default nothing fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushBounds {
    /// Bytes of a pack.
    pub max_pack: u64,
    /// New commits.
    pub max_commits: u32,
    /// Paths that no pushed commit may change.
    pub protect: Vec<ProtectedPath>,
    /// Whether contents are searched for secrets.
    pub scan_secrets: bool,
}

/// What is said of pushes to one repository.
pub(in super::super) enum Standing<'a> {
    /// Nothing.
    Unnamed,
    /// A no.
    No(&'a PushRule),
    /// What may be, by each rule.
    Granted(Vec<(&'a PushRule, &'a PushGrant)>),
}

impl GitPolicy {
    /// What is said of pushes to a repository. Once the user says something of it, what is built in says nothing.
    pub(in super::super) fn standing(&self, asked: &Repository) -> Standing<'_> {
        let is_meant = |rule: &&PushRule| match rule.grant {
            Some(_) => rule.repository.means(asked),
            None => rule.repository.may_mean(asked),
        };
        let mut rules: Vec<&PushRule> = self.pushes.iter().filter(is_meant).collect();
        rules.sort_by_key(|rule| (&rule.origin, &rule.repository));
        if let Some(no) = rules.iter().find(|rule| rule.grant.is_none()) {
            return Standing::No(no);
        }
        let is_written = |rule: &&PushRule| !matches!(rule.origin, Origin::BuiltIn(_));
        if rules.iter().any(is_written) {
            rules.retain(is_written);
        }
        let grants: Vec<_> = rules
            .into_iter()
            .filter_map(|rule| Some((rule, rule.grant.as_ref()?)))
            .collect();
        if grants.is_empty() {
            Standing::Unnamed
        } else {
            Standing::Granted(grants)
        }
    }

    /// The bounds of a push; `None` where none may be.
    #[must_use]
    pub fn push_bounds(&self, asked: &Repository) -> Option<PushBounds> {
        let Standing::Granted(grants) = self.standing(asked) else {
            return None;
        };
        let mut bounds = PushBounds {
            max_pack: u64::MAX,
            max_commits: u32::MAX,
            protect: Vec::new(),
            scan_secrets: false,
        };
        for (_, grant) in grants {
            bounds.max_pack = bounds.max_pack.min(grant.max_pack);
            bounds.max_commits = bounds.max_commits.min(grant.max_commits);
            bounds.scan_secrets |= grant.scan_secrets;
            for path in &grant.protect {
                if !bounds.protect.contains(path) {
                    bounds.protect.push(path.clone());
                }
            }
        }
        Some(bounds)
    }

    /// The refs that may be pushed, as patterns: what a refusal tells.
    #[must_use]
    pub fn pushed_refs(&self, asked: &Repository) -> Vec<String> {
        let Standing::Granted(grants) = self.standing(asked) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (_, grant) in grants {
            for pattern in grant.create.iter().chain(&grant.update).chain(&grant.tags) {
                let text = pattern.to_string();
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        }
        all
    }

    /// Whether a branch is one that agents push: by the names that they call their own, or by what may be created there. A
    /// default branch is none, whoever may push to it.
    #[must_use]
    pub fn is_of_agents(&self, asked: &Repository, name: &RefName) -> bool {
        let grants = match self.standing(asked) {
            Standing::Granted(grants) => grants,
            Standing::Unnamed | Standing::No(_) => Vec::new(),
        };
        let mut created = grants.iter().flat_map(|(_, grant)| &grant.create);
        !self.is_default_branch(name)
            && (created.any(|pattern| pattern.matches(name))
                || own_branches(None).iter().any(|pattern| pattern.matches(name)))
    }

    /// The repositories that may be pushed to.
    pub fn pushed(&self) -> impl Iterator<Item = &Repository> {
        let granted = |rule: &&PushRule| matches!(self.standing(&rule.repository), Standing::Granted(_));
        self.pushes.iter().filter(granted).map(|rule| &rule.repository)
    }

    /// Whether a branch is a default one: by its name, or by what the configuration of before the run says.
    #[must_use]
    pub fn is_default_branch(&self, name: &RefName) -> bool {
        let Some(branch) = name.branch() else {
            return false;
        };
        let known = DEFAULTS
            .iter()
            .copied()
            .chain(self.default_branches.iter().map(String::as_str));
        let mut same = known.filter(|known| known.eq_ignore_ascii_case(branch));
        same.next().is_some()
    }

    /// Whether a grant lets a ref change so.
    pub(in super::super) fn lets(&self, grant: &PushGrant, name: &RefName, change: RefChange) -> bool {
        let is_default = self.is_default_branch(name);
        // One that all others build on is named, or isn't meant.
        let fits = |pattern: &RefPattern| {
            if is_default {
                pattern.names(name)
            } else {
                pattern.matches(name)
            }
        };
        let beyond = |beyond: &Beyond, own: bool| match beyond {
            Beyond::Never => false,
            Beyond::OwnSession => own,
            Beyond::Patterns(patterns) => own || patterns.iter().any(fits),
        };
        let is_tag = name.as_str().starts_with("refs/tags/");
        match change {
            RefChange::Create if is_tag => grant.tags.iter().any(fits),
            RefChange::Create => grant.create.iter().any(fits),
            RefChange::Update if is_tag => beyond(&grant.force, false),
            RefChange::Update => grant.update.iter().any(fits) || beyond(&grant.force, false),
            RefChange::Force { own } => beyond(&grant.force, own),
            RefChange::Delete { own } => beyond(&grant.delete, own),
        }
    }
}

/// Why a ref may not change so, in a few words that stand behind a ref in git's own report.
pub(in super::super) fn reason(change: RefChange, is_default: bool) -> &'static str {
    match change {
        RefChange::Create | RefChange::Update if is_default => {
            "a default branch is pushed to only where a rule names it exactly"
        }
        RefChange::Create => "no rule lets this ref be created",
        RefChange::Update => "no rule lets this ref be updated",
        RefChange::Force { .. } => "non-fast-forward: no rule lets this ref be moved back",
        RefChange::Delete { .. } => "no rule lets this ref be deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(grants: &[(Option<WrittenGrant>, Origin)]) -> GitPolicy {
        let rule = |(grant, origin): &(Option<WrittenGrant>, Origin)| PushRule {
            repository: "git@forge:acme/app".parse().unwrap(),
            grant: grant.as_ref().map(|grant| grant.filled(Some("claude"))),
            origin: origin.clone(),
        };
        GitPolicy {
            pushes: grants.iter().map(rule).collect(),
            default_branches: vec!["stable".into()],
            ..GitPolicy::default()
        }
    }

    fn lets(grant: &WrittenGrant, name: &str, change: RefChange) -> bool {
        let git = policy(&[]);
        git.lets(&grant.filled(Some("claude")), &name.parse().unwrap(), change)
    }

    fn built_in() -> Origin {
        Origin::BuiltIn("the project's own remotes".into())
    }

    #[test]
    fn the_default_is_the_agents_own_branches() {
        let grant = WrittenGrant::default();
        let yes = |name, change| assert!(lets(&grant, name, change), "{name} {change:?}");
        let no = |name, change| assert!(!lets(&grant, name, change), "{name} {change:?}");
        for name in ["refs/heads/agent/x", "refs/heads/aca/x/y", "refs/heads/claude/x"] {
            yes(name, RefChange::Create);
            yes(name, RefChange::Update);
            yes(name, RefChange::Force { own: true });
            yes(name, RefChange::Delete { own: true });
            no(name, RefChange::Force { own: false });
            no(name, RefChange::Delete { own: false });
        }
        for name in [
            "refs/heads/main",
            "refs/heads/codex/x",
            "refs/heads/agent",
            "refs/tags/v1",
            "refs/tags/agent/x",
            "refs/notes/commits",
            "refs/for/agent/x",
            "refs/pull/1/head",
            "refs/agent/x",
        ] {
            no(name, RefChange::Create);
            no(name, RefChange::Update);
            no(name, RefChange::Force { own: false });
            no(name, RefChange::Delete { own: false });
        }
    }

    #[test]
    fn a_default_branch_is_named_or_not_meant() {
        let all = |pattern: &str| WrittenGrant {
            update: Some(vec![pattern.parse().unwrap()]),
            force: Some(Beyond::Patterns(vec!["**".parse().unwrap()])),
            ..WrittenGrant::default()
        };
        for name in ["main", "Master", "trunk", "develop", "stable"] {
            let full = format!("refs/heads/{name}");
            assert!(!lets(&all("**"), &full, RefChange::Update));
            assert!(!lets(&all("**"), &full, RefChange::Force { own: false }));
            assert!(lets(&all(name), &full, RefChange::Update));
        }
        assert!(lets(&all("**"), "refs/heads/other", RefChange::Update));
    }

    #[test]
    fn branches_that_agents_push() {
        let app: Repository = "git@forge:acme/app".parse().unwrap();
        let also = "git@forge:acme/app#release/*"
            .parse::<PushTarget>()
            .unwrap()
            .grant();
        let all = "git@forge:acme/app#**".parse::<PushTarget>().unwrap().grant();
        let is = |git: &GitPolicy, name: &str| {
            git.is_of_agents(&app, &format!("refs/heads/{name}").parse().unwrap())
        };
        let git = policy(&[(Some(also), built_in())]);
        for (name, agents) in [
            ("agent/x", true),
            ("claude/x", true),
            ("release/1", true),
            ("topic", false),
            ("codex/x", false),
            ("main", false),
        ] {
            assert_eq!(is(&git, name), agents, "{name}");
        }
        let git = policy(&[(Some(all), built_in())]);
        assert!(is(&git, "topic") && !is(&git, "main") && !is(&git, "stable"));
        assert!(is(&policy(&[]), "agent/x") && !is(&policy(&[]), "claude/x"));
    }

    #[test]
    fn what_is_protected_is_a_pattern_and_stands_there_once() {
        let all = WrittenGrant::default().filled(None).protect;
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (PROTECTED.len(), PROTECTED.len()));
    }

    #[test]
    fn tags_are_created_where_named_and_moved_by_force_alone() {
        let grant = WrittenGrant {
            tags: Some(vec![RefPattern::tags("v*").unwrap()]),
            create: Some(vec!["refs/notes/**".parse().unwrap()]),
            ..WrittenGrant::default()
        };
        assert!(lets(&grant, "refs/tags/v1", RefChange::Create));
        assert!(!lets(&grant, "refs/tags/w1", RefChange::Create));
        assert!(!lets(&grant, "refs/tags/v1", RefChange::Update));
        assert!(lets(&grant, "refs/notes/commits", RefChange::Create));
    }

    #[test]
    fn what_is_written_replaces_what_is_built_in_adds_up_and_a_no_wins() {
        let app = "git@forge:acme/app".parse().unwrap();
        let small = WrittenGrant {
            max_pack: Some(10),
            scan_secrets: Some(false),
            ..WrittenGrant::default()
        };
        let large = WrittenGrant {
            max_pack: Some(1 << 40),
            scan_secrets: Some(false),
            protect: Some(Vec::new()),
            ..WrittenGrant::default()
        };
        let flag = |word: &str| Origin::Flag(word.into());
        let bounds = |grants: &[(Option<WrittenGrant>, Origin)]| policy(grants).push_bounds(&app);
        let one = bounds(&[(Some(WrittenGrant::default()), built_in())]).unwrap();
        assert_eq!(
            (one.max_pack, one.scan_secrets, one.protect.len()),
            (PACK_MAX, true, PROTECTED.len())
        );
        let one = bounds(&[
            (Some(WrittenGrant::default()), built_in()),
            (Some(large.clone()), flag("a")),
        ])
        .unwrap();
        assert_eq!(
            (one.max_pack, one.scan_secrets, one.protect.len()),
            (1 << 40, false, 0)
        );
        let one = bounds(&[(Some(small), flag("b")), (Some(large), flag("a"))]).unwrap();
        assert_eq!(
            (one.max_pack, one.scan_secrets, one.protect.len()),
            (10, false, PROTECTED.len())
        );
        assert_eq!(
            bounds(&[(Some(WrittenGrant::default()), flag("a")), (None, built_in())]),
            None
        );
        assert_eq!(bounds(&[]), None);
    }

    #[test]
    fn targets_are_read_as_they_are_shown() {
        for text in [
            "git@forge:acme/app",
            "git@forge:acme/app#main",
            "ssh://git@forge:22/acme/app#+wip/**",
            "git@forge:acme/app#refs/tags/v*",
        ] {
            assert_eq!(text.parse::<PushTarget>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "#x",
            "git@forge:acme/app#",
            "git@forge:acme/app#a//b",
            "git@forge:acme/app#a#b/",
        ] {
            assert!(text.parse::<PushTarget>().is_err(), "{text}");
        }
        let value = |text: &str| text.parse::<PushTarget>().unwrap().value();
        assert_eq!(value("a:b"), "true");
        let main = "{ create = [\"agent/**\", \"aca/**\", \"main\"], update = [\"agent/**\", \"aca/**\", \"main\"] }";
        assert_eq!(value("a:b#main"), main);
        assert_eq!(value("a:b#refs/tags/v*"), "{ tags = [\"refs/tags/v*\"] }");
    }
}
