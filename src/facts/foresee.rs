//! What would become of a name that isn't there yet, by the table that the walk and the watcher use. Nothing is looked at
//! but the marker files that a row asks for.

use super::matcher::{Class, Matcher, Scope, fits};
use crate::policy::{Access, Component, PathPattern};
use crate::presets::{RunsWhen, TreeRule};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What would become of it. The order is that of strictness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Foreseen {
    /// Nothing: it would be a file like any other.
    Free,
    /// It lies where no rule is looked for.
    LeftOut {
        /// Why.
        why: String,
    },
    /// It would be told after the run.
    Told {
        /// Why.
        why: String,
        /// When the host would run it.
        runs_when: Option<RunsWhen>,
    },
    /// It would be told after the run, and stay as it is from the next run on.
    Kept {
        /// Why.
        why: String,
        /// When the host would run it.
        runs_when: Option<RunsWhen>,
    },
    /// A pattern of the user's makes it read-only from the next run on.
    KeptByUser {
        /// Index of the pattern.
        pattern: usize,
    },
    /// It would be masked once it holds what looks like a secret.
    MaskedIfMeant {
        /// Why.
        why: String,
    },
    /// A pattern of the user's hides it at once.
    HiddenByUser {
        /// Index of the pattern.
        pattern: usize,
    },
    /// It would be masked at once.
    Masked {
        /// Why.
        why: String,
    },
}

impl Foreseen {
    /// Whether it concerns a change of what is there too.
    #[must_use]
    pub const fn may_come(&self) -> bool {
        match self {
            Self::Told { .. } | Self::MaskedIfMeant { .. } => true,
            Self::Free
            | Self::LeftOut { .. }
            | Self::Kept { .. }
            | Self::KeptByUser { .. }
            | Self::HiddenByUser { .. }
            | Self::Masked { .. } => false,
        }
    }
}

impl Matcher {
    /// What would become of `path`, relative to the root of the walk, if it appeared. `is_there` tells of marker files.
    #[must_use]
    pub fn foresee(&self, path: &Path, is_there: &dyn Fn(&Path) -> bool) -> Foreseen {
        let mut found = Foreseen::Free;
        let (mut scope, mut states) = (Scope::Everything, self.root_states());
        let names: Vec<&OsStr> = path.iter().collect();
        let mut here = PathBuf::new();
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let step = self.step(name.as_bytes(), scope, &states);
            states = step.below;
            let parent = here.clone();
            here.push(name);
            for entry in step.complete.iter().filter_map(|index| self.entry(*index)) {
                let Some(row) = self.row(entry) else {
                    found = found.max(self.by_user(entry.rule));
                    continue;
                };
                // What the last name is nobody knows yet.
                if !(is_last || fits(row.kind, true)) || !is_marked(row, &parent, &here, is_there) {
                    continue;
                }
                let (why, runs_when) = (row.why.clone(), row.runs_when);
                match entry.class {
                    Class::Secret if row.wants_content() => {
                        found = found.max(Foreseen::MaskedIfMeant { why })
                    }
                    Class::Secret => return Foreseen::Masked { why },
                    Class::Skip if !is_last => {
                        found = found.max(Foreseen::LeftOut { why });
                        scope = Scope::States;
                        states = self.user_states(&states);
                    }
                    Class::Protected => found = found.max(Foreseen::Kept { why, runs_when }),
                    Class::Watched => found = found.max(Foreseen::Told { why, runs_when }),
                    Class::Skip | Class::User => {}
                }
            }
            if scope == Scope::Everything && name.as_bytes().eq_ignore_ascii_case(b".git") {
                let rest: PathBuf = names.iter().skip(index + 1).collect();
                found = found.max(self.in_git(&rest));
                scope = Scope::States;
                states = self.user_states(&states);
            }
        }
        found
    }

    fn by_user(&self, pattern: usize) -> Foreseen {
        match self.user.get(pattern).map(|user| user.access) {
            Some(Access::Hide) => Foreseen::HiddenByUser { pattern },
            Some(Access::Read) => Foreseen::KeptByUser { pattern },
            Some(Access::Write) | None => Foreseen::Free,
        }
    }

    /// In a git directory the rows on those count: there, and in those of submodules and linked work trees.
    fn in_git(&self, rest: &Path) -> Foreseen {
        if rest.as_os_str().is_empty() {
            return Foreseen::Kept {
                why: "it leads git to a repository".into(),
                runs_when: Some(RunsWhen::RunGit),
            };
        }
        let names: Vec<&OsStr> = rest.iter().collect();
        let nested = names
            .first()
            .is_some_and(|first| *first == "modules" || *first == "worktrees");
        let starts = if nested { 0..names.len() } else { 0..1 };
        for row in &self.rules.git {
            let meant = |pattern: &PathPattern| {
                starts
                    .clone()
                    .any(|start| begins(pattern, names.get(start..).unwrap_or_default()))
            };
            if row.paths.iter().any(meant) {
                return Foreseen::Kept {
                    why: row.why.clone(),
                    runs_when: Some(RunsWhen::RunGit),
                };
            }
        }
        Foreseen::LeftOut {
            why: "git's own data".into(),
        }
    }
}

/// Whether `names` is what the pattern means, or lies beneath.
fn begins(pattern: &PathPattern, names: &[&OsStr]) -> bool {
    let components = pattern.components();
    names.len() >= components.len()
        && components
            .iter()
            .zip(names)
            .all(|(component, name)| match component {
                Component::Name(pattern) => pattern.matches(name.as_bytes()),
                Component::AnyDepth => false,
            })
}

/// Whether the row's marker files are there.
fn is_marked(row: &TreeRule, parent: &Path, here: &Path, is_there: &dyn Fn(&Path) -> bool) -> bool {
    (row.inside.is_empty() && row.beside.is_empty())
        || row.beside.iter().any(|marker| is_there(&parent.join(marker)))
        || row.inside.iter().any(|marker| is_there(&here.join(marker)))
}

#[cfg(test)]
mod tests {
    use super::super::matcher::UserPattern;
    use super::super::walk::{Purpose, walk};
    use super::*;
    use crate::policy::Case;
    use crate::presets::tree_rules;

    fn matcher() -> Matcher {
        let user = |text: &str, access| UserPattern {
            pattern: PathPattern::parse(text, Case::Exact).unwrap(),
            access,
        };
        let patterns = vec![user("**/*.sqlite", Access::Hide), user("docs/*.md", Access::Read)];
        Matcher::new(tree_rules().unwrap(), patterns)
    }

    fn word(foreseen: &Foreseen) -> &'static str {
        match foreseen {
            Foreseen::Free => "free",
            Foreseen::LeftOut { .. } => "left out",
            Foreseen::Told { .. } => "told",
            Foreseen::Kept { .. } => "kept",
            Foreseen::KeptByUser { .. } => "kept by user",
            Foreseen::MaskedIfMeant { .. } => "masked if meant",
            Foreseen::HiddenByUser { .. } => "hidden by user",
            Foreseen::Masked { .. } => "masked",
        }
    }

    /// What is foreseen of a name is what the walk finds once it is there.
    #[test]
    fn the_walk_agrees() {
        let matcher = matcher();
        for (path, expected) in [
            (".env", "masked"),
            ("a/b/.env", "masked"),
            (".env.example", "free"),
            ("id_rsa", "masked"),
            ("a/x.sqlite", "hidden by user"),
            ("node_modules/x/.env", "left out"),
            ("node_modules/x/y.sqlite", "hidden by user"),
            ("docs/a.md", "kept by user"),
            ("src/main.rs", "free"),
            (".vscode/tasks.json", "kept"),
            (".bashrc", "kept"),
            (".git/hooks/pre-commit", "kept"),
            (".git/config.worktree", "kept"),
            (".git/modules/a/b/hooks/pre-push", "kept"),
            (".git/refs/heads/x", "left out"),
        ] {
            let foreseen = matcher.foresee(Path::new(path), &|_| false);
            assert_eq!(word(&foreseen), expected, "{path}: {foreseen:?}");
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            for directory in [".git/objects", ".git/refs", ".git/modules/a/b"] {
                if path.starts_with(".git") {
                    std::fs::create_dir_all(root.join(directory)).unwrap();
                }
            }
            for head in [".git/HEAD", ".git/modules/a/b/HEAD"] {
                if path.starts_with(".git") {
                    std::fs::write(root.join(head), "x").unwrap();
                }
            }
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), "content").unwrap();
            let walk = walk(root, &matcher, Purpose::Protect).unwrap();
            let has = |list: &[super::super::Found]| {
                list.iter().any(|found| Path::new(path).starts_with(&found.path))
            };
            let user = |access| {
                walk.user
                    .iter()
                    .any(|user| user.access == access && user.found.path == Path::new(path))
            };
            assert_eq!(has(&walk.masks), expected == "masked", "{path}");
            assert_eq!(has(&walk.protected), expected == "kept", "{path}");
            assert_eq!(user(Access::Hide), expected == "hidden by user", "{path}");
            assert_eq!(user(Access::Read), expected == "kept by user", "{path}");
        }
    }

    #[test]
    fn marker_files_count() {
        let matcher = matcher();
        let path = Path::new("target/debug/.env");
        let beside = |marker: &Path| marker == Path::new("Cargo.toml");
        let with = matcher.foresee(path, &beside);
        let without = matcher.foresee(path, &|_| false);
        assert_eq!(word(&without), "masked");
        assert_eq!(word(&with), "left out", "{with:?}");
    }
}
