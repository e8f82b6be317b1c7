//! Path rules of several layers become one list.

use super::{
    Bases, ConfigError,
    error::Problem,
    floor::{Forbidden, Lock},
    layer::Located,
    merge::Layer,
    path::WrittenPath,
};
use crate::policy::{Access, PathPattern, PathRule, Place};
use std::path::{Path, PathBuf};

/// The rules so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// As [`crate::policy::Policy::paths`].
    pub(super) paths: Vec<PathRule>,
    /// As [`crate::policy::Policy::kept`].
    pub(super) kept: Vec<PathRule>,
    /// What stays hidden whatever comes later.
    locked: Vec<PathRule>,
}

impl Rules {
    /// Adds what a trusted layer says. `lock` tells who locked a key, if this layer isn't theirs.
    pub(super) fn add(
        &mut self,
        layer: &Layer<'_>,
        bases: Bases<'_>,
        lock: impl Fn(Lock) -> Option<Forbidden>,
    ) -> Result<(), ConfigError> {
        let settings = layer.settings;
        let read_is_locked = lock(Lock::Read);
        let lists = [
            (Access::Read, &settings.read),
            (Access::Write, &settings.write),
            (Access::Hide, &settings.hide),
        ];
        let mut own = Vec::new();
        for (access, list) in lists {
            for written in list {
                let path = enforceable(access, &written.value, layer, bases)
                    .map_err(|problem| layer.fault(&written.origin, problem))?;
                let rule = PathRule {
                    path,
                    access,
                    origin: written.origin.clone(),
                    place: Place::Rule,
                };
                if let Some(forbidden) = lock(Lock::Hide).filter(|_| self.opens(&rule, bases.project)) {
                    let (what, key) = ("this would show what is hidden", Lock::Hide.word());
                    return Err(locked(layer, written, what, key, forbidden));
                }
                match &read_is_locked {
                    Some(forbidden) if access == Access::Read => {
                        if !rule.path.starts_with(bases.project) {
                            let (what, key) = ("this would show more", Lock::Read.word());
                            return Err(locked(layer, written, what, key, forbidden.clone()));
                        }
                        self.keep(rule, bases.project);
                    }
                    Some(_) | None => own.push(rule),
                }
            }
        }
        // What this layer says of a path replaces what those below said of it; within one layer the stricter wins later.
        self.paths
            .retain(|rule| !own.iter().any(|newer| newer.path == rule.path));
        self.paths.append(&mut own);
        Ok(())
    }

    /// Keeps what is hidden so far hidden.
    pub(super) fn lock_hidden(&mut self) {
        let hidden = self.paths.iter().filter(|rule| rule.access == Access::Hide);
        self.locked = hidden.cloned().collect();
    }

    /// Adds what a layer of reduced trust hides and keeps in the project: the stricter of the two counts everywhere.
    ///
    /// To hide a path takes away what those below said of exactly that path, and nothing else: a part of it that they
    /// show they show still, as they did without it.
    pub(super) fn narrow(&mut self, layer: &Layer<'_>, bases: Bases<'_>) -> Result<(), ConfigError> {
        let rule = |access, written: &Located<WrittenPath>| {
            let path = enforceable(access, &written.value, layer, bases)
                .map_err(|problem| layer.fault(&written.origin, problem))?;
            Ok::<_, ConfigError>(PathRule {
                path,
                access,
                origin: written.origin.clone(),
                place: Place::Rule,
            })
        };
        for written in &layer.settings.read {
            self.keep(rule(Access::Read, written)?, bases.project);
        }
        for written in &layer.settings.hide {
            let hidden = rule(Access::Hide, written)?;
            let known = |below: &PathRule| below.path == hidden.path && below.access == Access::Hide;
            if !self.paths.iter().any(known) {
                self.paths.retain(|below| below.path != hidden.path);
                self.kept.push(hidden.clone());
                self.paths.push(hidden);
            }
        }
        Ok(())
    }

    /// Makes a part of the project read-only where it would be writable. A rule of [`Access::Read`] would do more: it is
    /// longer than one that hides what lies above, and names a secret that is masked.
    fn keep(&mut self, rule: PathRule, project: &Path) {
        for below in &mut self.paths {
            if below.path == rule.path && below.access == Access::Write {
                // What is named stays named, to be read.
                *below = rule.clone();
            }
        }
        if rule.path == project {
            let nearest = PathRule::nearest(&self.paths, project);
            if nearest.is_none_or(|nearest| nearest.access == Access::Write) {
                self.paths.push(rule);
            }
        } else {
            self.kept.push(rule);
        }
    }

    /// Whether a rule shows something that is locked away.
    fn opens(&self, rule: &PathRule, project: &Path) -> bool {
        let beneath = |hidden: &PathRule| {
            rule.path.starts_with(&hidden.path)
                || (PathPattern::beneath(project, &hidden.path).ok())
                    .zip(rule.path.strip_prefix(project).ok())
                    .is_some_and(|(pattern, path)| pattern.holds(path))
        };
        rule.access != Access::Hide && self.locked.iter().any(beneath)
    }
}

fn locked(
    layer: &Layer<'_>,
    written: &Located<WrittenPath>,
    what: &'static str,
    key: &'static str,
    forbidden: Forbidden,
) -> ConfigError {
    let problem = Problem::Locked {
        what,
        key,
        forbidden: Box::new(forbidden),
    };
    layer.fault(&written.origin, problem)
}

fn enforceable(
    access: Access,
    written: &WrittenPath,
    layer: &Layer<'_>,
    bases: Bases<'_>,
) -> Result<PathBuf, Problem> {
    let path = written.resolve(bases, layer.start());
    if written.is_glob() {
        if access == Access::Write {
            return Err(Problem::GlobWrite(written.to_string()));
        }
        if !path.starts_with(bases.project) {
            return Err(Problem::GlobOutside(path));
        }
    }
    if access == Access::Write && bases.home.starts_with(&path) {
        return Err(Problem::WriteTooWide(path));
    }
    Ok(path)
}
