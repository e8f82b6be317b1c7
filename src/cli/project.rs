//! The project as a run needs it: found, walked once, and put into the plan's words.

use super::masked;
use crate::config::Places;
use crate::exit_gate::snapshot::submodules;
use crate::facts::beneath::open_without_links;
use crate::facts::{
    Foreseen, Found, KeptName, Known, Matcher, NameJudge, NewKind, Project, ProjectError, Purpose,
    RepositoryKind, UserPattern, Walk, WalkError, add_strayed, identity_of, leads_to, links_on_the_way,
    obeyed, real, walk_project, walk_without,
};
use crate::failure::{Failure, FailureKind};
use crate::launch::linux::remask::Guard;
use crate::plan::{Entry, Kept, Kind, OpenedIn, Plan, ProjectNeeds};
use crate::policy::{
    Access, NameAlias, NamesIn, NewNames, Origin, PathPattern, PathRule, Place, Policy, is_glob,
};
use crate::presets;
use crate::supervise::watch::Watched;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The project with what its walk found.
pub(super) struct Looked {
    /// Where it is.
    pub(super) project: Project,
    /// The table that the walk used; the watcher and the walk after the run use it too.
    pub(super) matcher: Matcher,
    /// The same without the user's patterns, for directories that a rule grants.
    plain: Option<Matcher>,
    /// What was found: the project's own walks, and one for each directory that a rule grants.
    pub(super) walks: Vec<Walk>,
    /// What earlier runs masked.
    known: Vec<Known>,
    /// How many are the project's own.
    own: usize,
    /// Where each pattern of the user's was written, in the matcher's order.
    origins: Vec<Origin>,
    /// Paths that aren't there and that a rule makes writable, where they couldn't be made without.
    openable: Vec<PathBuf>,
    /// Where names may be made.
    open_in: Vec<OpenedIn>,
}

/// Walks the project, with the user's patterns in it.
pub(super) fn look(project: Project, policy: &Policy, places: &Places) -> Result<Looked, Failure> {
    let mut patterns = Vec::new();
    let mut origins = Vec::new();
    let walked = policy.paths.iter().filter(|rule| is_walked(rule, &project.root));
    let kept = policy.kept.iter().filter(|rule| rule.access == Access::Read);
    for rule in walked.chain(kept) {
        // A path that is no pattern may hold what patterns don't know, such as `[id]`.
        let read = if is_glob(&rule.path) {
            PathPattern::beneath
        } else {
            PathPattern::literal
        };
        let pattern = read(&project.root, &rule.path)
            .map_err(|error| Failure::new(FailureKind::Configuration, format!("{}: {error}", rule.origin)))?;
        patterns.push(UserPattern {
            pattern,
            access: rule.access,
        });
        origins.push(rule.origin.clone());
    }
    let objects = project.git.as_ref().map(|git| git.common_dir.join("objects"));
    let matcher = Matcher::new(presets::tree_rules()?, patterns).with_objects(objects);
    let mut plain = None;
    let mut walks = walk_project(&project, &matcher, Purpose::Protect).map_err(walk_failure)?;
    let own = walks.len();
    for rule in policy.paths.iter().filter(|rule| rule.access == Access::Write) {
        // What isn't there is the plan's to refuse.
        let Some(root) = real(&rule.path).ok().filter(|root| is_directory(root)) else {
            continue;
        };
        if walks.iter().any(|walk| root.starts_with(&walk.root)) {
            continue;
        }
        let plain = match &mut plain {
            Some(plain) => plain,
            none => none.insert(Matcher::new(presets::tree_rules()?, Vec::new())),
        };
        walks.push(walk_without(&root, &project.root, plain, Purpose::Protect).map_err(walk_failure)?);
    }
    let known = masked::known(&places.masked(), &walks)
        .map_err(|error| masked_failure("read", &places.masked(), &error))?;
    add_strayed(&known, &mut walks).map_err(walk_failure)?;
    let mut looked = Looked {
        project,
        known,
        matcher,
        plain,
        walks,
        own,
        origins,
        openable: Vec::new(),
        open_in: policy.open_names_in.iter().map(opened_in).collect(),
    };
    let anywhere = NewNames {
        roots: looked.walks.iter().map(|walk| walk.root.clone()).collect(),
        ..NewNames::default()
    };
    let absent = policy
        .paths
        .iter()
        .filter(|rule| policy.hold_names && rule.access == Access::Write)
        .filter(|rule| std::fs::symlink_metadata(&rule.path).is_err());
    looked.openable = absent
        .filter(|rule| {
            let kinds = [NewKind::File, NewKind::Directory];
            kinds
                .iter()
                .any(|kind| looked.judge(&anywhere, &rule.path, *kind).is_some())
        })
        .map(|rule| rule.path.clone())
        .collect();
    Ok(looked)
}

fn masked_failure(done: &str, store: &Path, error: &std::io::Error) -> Failure {
    let text = format!("what runs masked can't be {done} in {}: {error}", store.display());
    Failure::new(FailureKind::Machine, text)
        .hint("nothing was started: a secret that is moved about inside could be seen by a later run")
}

/// Where a directory really is that names are opened in.
fn opened_in(rule: &NamesIn) -> OpenedIn {
    OpenedIn {
        rule: rule.clone(),
        real: leads_to(&rule.path),
        links: links_on_the_way(&rule.path),
    }
}

/// Globs in the project, and paths in it that are hidden: those are masked when they appear, too.
fn is_walked(rule: &PathRule, root: &Path) -> bool {
    let walked = is_glob(&rule.path) || rule.access == Access::Hide;
    rule.path.starts_with(root) && rule.path != root && walked
}

impl Looked {
    /// Keeps what is masked, for the next runs.
    pub(super) fn remember_masks(&self, places: &Places) -> Result<(), Failure> {
        masked::keep(&places.masked(), &self.walks, &self.known)
            .map_err(|error| masked_failure("kept", &places.masked(), &error))
    }

    /// What the plan does with it.
    pub(super) fn needs(&self, home: &Path) -> ProjectNeeds {
        let mut needs = ProjectNeeds {
            root: self.project.root.clone(),
            extra_writable: self.project.extra_writable.clone(),
            ignored: self.matcher.ignored(),
            openable: self.openable.clone(),
            open_in: self.open_in.clone(),
            granted: self
                .walks
                .get(self.own..)
                .unwrap_or_default()
                .iter()
                .map(|walk| walk.root.clone())
                .collect(),
            ..ProjectNeeds::default()
        };
        for walk in &self.walks {
            self.add(walk, &mut needs);
        }
        self.add_submodules(&mut needs);
        let roots: Vec<&Path> = self.walks.iter().map(|walk| walk.root.as_path()).collect();
        for (path, kind) in obeyed(home, &roots) {
            let why = "what your home links to it is run or obeyed";
            needs.protect.push(Kept {
                path,
                kind,
                why: why.into(),
                place: Place::Protected(format!("when {why}")),
                origin: Origin::BuiltIn("a link of the home's".into()),
            });
        }
        for tree in &self.project.neighbours {
            let origin = Origin::BuiltIn("another work tree of the repository".into());
            needs.masks.push((tree.clone(), Kind::Directory, origin));
            // What it lies in can't be moved away with it.
            let above = tree
                .parent()
                .filter(|above| !needs.extra_writable.iter().any(|root| root == above));
            needs.pins.extend(above.map(Path::to_owned));
        }
        needs
    }

    /// What is looked after during the run, by the plan that was made of it.
    pub(super) fn watched(self, plan: &Plan, policy: &Policy, hidden: Vec<PathBuf>) -> Watched {
        let roots: Vec<&PathBuf> = self.walks.iter().map(|walk| &walk.root).collect();
        let inside = |at: &Path| {
            roots
                .iter()
                .any(|root| at.starts_with(root) && at != root.as_path())
        };
        let known: HashSet<PathBuf> = self
            .walks
            .iter()
            .flat_map(|walk| {
                let found = walk.masks.iter().chain(&walk.protected);
                found.filter_map(|found| Some(walk.root.join(found.mountable()?.0)))
            })
            .collect();
        let guards = plan.view.entries.iter().filter_map(|entry| match entry {
            Entry::Mask { at, .. } => Some((Guard::Mask, at.clone())),
            Entry::Protect { at, .. } => Some((Guard::ReadOnly, at.clone())),
            Entry::Pin { at } => Some((Guard::Pin, at.clone())),
            // A rule of the user's in the project.
            Entry::Show { source, at, .. } if source == at && inside(at) => {
                Some((Guard::ReadOnly, at.clone()))
            }
            // Hidden, with parts of it shown: when it is replaced those parts are gone as well.
            Entry::Seal { at } => Some((Guard::Hollow, at.clone())),
            Entry::Directory { .. }
            | Entry::Link { .. }
            | Entry::File { .. }
            | Entry::Scratch { .. }
            | Entry::Show { .. }
            | Entry::Grant { .. }
            | Entry::Cover { .. }
            | Entry::Proc { .. }
            | Entry::Sys
            | Entry::Devices { .. }
            | Entry::Terminal { .. } => None,
        });
        Watched {
            guards: guards
                .chain(hidden.into_iter().map(|path| (Guard::Mask, path)))
                .map(|(guard, path)| {
                    let walked = guard == Guard::Pin || known.contains(&path);
                    let identity = if walked { None } else { identity_of(&path) };
                    (guard, path, identity)
                })
                .collect(),
            opened: policy
                .paths
                .iter()
                .filter(|rule| {
                    PathRule::nearest(&policy.paths, &rule.path)
                        .is_some_and(|nearest| nearest.access != Access::Hide)
                })
                .map(|rule| rule.path.clone())
                .collect(),
            // The whole of it, or a part that a rule opens again.
            writable: PathRule::nearest(&policy.paths, &self.project.root)
                .is_none_or(|rule| rule.access == Access::Write)
                || policy
                    .paths
                    .iter()
                    .any(|rule| rule.access == Access::Write && rule.path.starts_with(&self.project.root)),
            project: self.project,
            matcher: self.matcher,
            plain: self.plain,
            walks: self.walks,
            own: self.own,
        }
    }

    /// What would become of a path if it appeared, with the place of the user's rule where that decides; `None` where
    /// nothing is looked after.
    pub(super) fn foresee(&self, path: &Path) -> Option<(Foreseen, Option<Origin>)> {
        let (index, walk) = self
            .walks
            .iter()
            .enumerate()
            .filter(|(_, walk)| path.starts_with(&walk.root) && path != walk.root)
            .max_by_key(|(_, walk)| walk.root.components().count())?;
        let mut below = path.strip_prefix(&walk.root).ok()?.to_owned();
        if (1..self.own).contains(&index) {
            // A git directory outside of the project, whatever its name.
            below = Path::new(".git").join(below);
        }
        let matcher = self
            .plain
            .as_ref()
            .filter(|_| index >= self.own)
            .unwrap_or(&self.matcher);
        let is_there = |marker: &Path| std::fs::symlink_metadata(walk.root.join(marker)).is_ok();
        let foreseen = matcher.foresee(&below, &is_there);
        let origin = match &foreseen {
            Foreseen::HiddenByUser { pattern } | Foreseen::KeptByUser { pattern } => {
                self.origins.get(*pattern).cloned()
            }
            Foreseen::Free
            | Foreseen::LeftOut { .. }
            | Foreseen::Told { .. }
            | Foreseen::Kept { .. }
            | Foreseen::MaskedIfMeant { .. }
            | Foreseen::Masked { .. } => None,
        };
        Some((foreseen, origin))
    }

    /// Why nothing may be made at a path, by the names of a plan.
    pub(super) fn judge(&self, names: &NewNames, path: &Path, kind: NewKind) -> Option<KeptName> {
        NameJudge {
            matcher: &self.matcher,
            names,
            is_there: &|path| std::fs::symlink_metadata(path).is_ok(),
        }
        .judge(path, kind)
    }

    fn add(&self, walk: &Walk, needs: &mut ProjectNeeds) {
        let place = |found: &Found| -> Option<(PathBuf, Kind)> {
            found
                .mountable()
                .map(|(path, kind, _)| (walk.root.join(path), kind))
        };
        for found in &walk.masks {
            if let Some((path, kind)) = place(found) {
                needs.masks.push((
                    path,
                    kind,
                    Origin::BuiltIn(format!("presets/secrets.toml: {}", found.why)),
                ));
            }
        }
        for found in &walk.protected {
            if let Some((path, kind)) = place(found) {
                let why = found
                    .runs_when
                    .map_or_else(|| found.why.clone(), |when| when.to_string());
                let when = found
                    .runs_when
                    .map_or_else(|| found.why.clone(), |when| format!("when {when}"));
                needs.protect.push(Kept {
                    path,
                    kind,
                    place: Place::Protected(when),
                    why,
                    origin: Origin::BuiltIn(format!("presets/protected.toml: {}", found.why)),
                });
            }
        }
        for matched in &walk.user {
            let Some((path, kind)) = place(&matched.found) else {
                continue;
            };
            let origin = self
                .origins
                .get(matched.pattern)
                .cloned()
                .unwrap_or(Origin::BuiltIn("user".into()));
            match matched.access {
                Access::Hide => needs.masks.push((path, kind, origin)),
                Access::Read => needs.protect.push(Kept {
                    path,
                    kind,
                    place: Place::Pattern,
                    why: origin.to_string(),
                    origin,
                }),
                Access::Write => {}
            }
        }
        needs.aliases.extend(walk.aliases.iter().map(|alias| NameAlias {
            link: walk.root.join(&alias.link),
            target: walk.root.join(&alias.target),
        }));
        for repository in &walk.repositories {
            let path = walk.root.join(&repository.path);
            let directory = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            if repository.kind != RepositoryKind::Pointer && directory {
                let absent = repository.absent.iter().map(|name| path.join(name));
                needs.absent.extend(absent);
                // Another directory in their place could borrow from anywhere.
                let objects = ["objects", "objects/info"].map(|name| path.join(name));
                needs
                    .pins
                    .extend(objects.into_iter().take_while(|path| is_directory(path)));
                needs.pins.push(path);
            }
        }
        needs
            .skipped
            .extend(walk.skipped.iter().map(|skipped| walk.root.join(&skipped.path)));
    }
}

impl Looked {
    /// Git outside enters what is made at the place of a submodule that isn't got, at once; and what is there.
    fn add_submodules(&self, needs: &mut ProjectNeeds) {
        let is_shown = |path: &Path| {
            let hidden = self.project.neighbours.iter().any(|tree| path.starts_with(tree));
            !hidden && self.walks.iter().any(|walk| path.starts_with(&walk.root))
        };
        let why = "git outside enters that submodule by itself";
        let mut keep = |path: &Path, kind| {
            needs.protect.push(Kept {
                path: path.to_owned(),
                kind,
                why: why.into(),
                place: Place::Protected(format!("when {why}")),
                origin: Origin::BuiltIn("a submodule of the index".into()),
            });
        };
        let absent = submodules(&self.project, true);
        for path in absent.iter().filter_map(|dot_git| dot_git.parent()) {
            if is_shown(path) && open_without_links(path).is_ok() {
                keep(path, Kind::Directory);
            }
        }
        // What the walk found is kept by what it found there.
        let found: HashSet<PathBuf> = self
            .walks
            .iter()
            .flat_map(|walk| walk.repositories.iter().map(|one| walk.root.join(&one.path)))
            .collect();
        for path in submodules(&self.project, false) {
            if found.contains(&path) || !is_shown(&path) {
                continue;
            }
            let kind = std::fs::symlink_metadata(&path).map(|metadata| metadata.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => keep(&path, Kind::Directory),
                Ok(kind) if kind.is_file() => keep(&path, Kind::File),
                Ok(_) | Err(_) => {}
            }
        }
        needs.absent.extend(absent);
    }
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Why there is no project here.
pub(super) fn project_failure(error: ProjectError) -> Failure {
    Failure::new(FailureKind::Configuration, error)
}

fn walk_failure(error: WalkError) -> Failure {
    let hint = match &error {
        WalkError::Call { .. } => "make the directory readable, or give `--project DIR` a part without it",
        WalkError::Restless { .. } => {
            "wait until what changes it is done (another run, a checkout, an installation), and start again"
        }
        WalkError::TooDeep { .. }
        | WalkError::TooManyMasks { .. }
        | WalkError::TooManyProtected { .. }
        | WalkError::TooManyNames => "give `--project DIR` the part of the tree that is the project",
    };
    Failure::new(FailureKind::Configuration, error).hint(hint)
}
