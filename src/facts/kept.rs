//! Names that may not come to be, since the host would run or trust what stands there: by the table of the walk, so that
//! what can't be made is what would be protected if it were there.
//!
//! It is asked for each name that is made during a run, and by `aca why`.

use super::matcher::{Class, Matcher, Scope, State, fits};
use crate::policy::NewNames;
use crate::presets::{NewNameRule, RunsWhen, TreeRule};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What would be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKind {
    /// A directory.
    Directory,
    /// A symbolic link, which may stand for either.
    Link,
    /// Anything else.
    File,
}

/// Why a name can't be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptName {
    /// What is protected: the path, or a directory that it lies in.
    pub protected: PathBuf,
    /// Why.
    pub why: String,
    /// When the host would run it.
    pub runs_when: Option<RunsWhen>,
}

/// Judges new names of one run.
#[derive(Clone, Copy)]
pub struct NameJudge<'a> {
    /// The table.
    pub matcher: &'a Matcher,
    /// Where it holds.
    pub names: &'a NewNames,
    /// Tells whether a marker file is there, by its absolute path.
    pub is_there: &'a dyn Fn(&Path) -> bool,
}

/// How a path stands to the patterns.
struct Stand<'a> {
    /// The row that means the path or what it lies in, and how many components that has.
    row: Option<(usize, &'a TreeRule)>,
    /// Patterns that go on beneath the path.
    goes_on: bool,
    /// It lies where no pattern counts.
    left_out: bool,
    /// It would, if what marks such places were there.
    may_be_left_out: bool,
}

/// How far the patterns have got on the way to a path, by the table alone.
#[derive(Debug, Clone, Default)]
struct Way {
    /// Components of it.
    length: usize,
    /// Where patterns stand beneath it.
    states: Vec<State>,
    /// The entry that means the path or what it lies in, and how many components that has.
    row: Option<(usize, usize)>,
    /// Entries that leave out what lies beneath, if they are marked, likewise.
    skips: Vec<(usize, usize)>,
    /// It lies in a repository's own data.
    in_git: bool,
}

/// Remembers how far patterns have got on the way to directories. That follows from the table and the path alone: nothing
/// that happens on the file system makes it wrong.
#[derive(Debug, Default)]
pub struct Ways {
    known: HashMap<PathBuf, Option<Way>>,
}

/// Most directories that are remembered: some hundred bytes each.
const WAYS_MAX: usize = 1024;

impl NameJudge<'_> {
    /// Why nothing may be made at `path`, which is absolute and without links; `None` where it may.
    #[must_use]
    pub fn judge(&self, path: &Path, kind: NewKind) -> Option<KeptName> {
        let (protected, why, runs_when) = self.meant(path, kind)?;
        let opens = |rule: &PathBuf| {
            // A directory on the way to what a rule opens is harmless by itself.
            let leads = kind == NewKind::Directory && rule.starts_with(path);
            leads || (rule.starts_with(&protected) && path.starts_with(rule))
        };
        if self.names.opened.iter().any(opens) {
            return None;
        }
        Some(KeptName {
            protected,
            why,
            runs_when,
        })
    }

    /// The same for a name in a directory of that path. Most names are nothing to anybody, which is soon found by what is
    /// remembered of the directory.
    #[must_use]
    pub fn judge_in(
        &self,
        ways: &mut Ways,
        directory: &Path,
        name: &[u8],
        kind: NewKind,
    ) -> Option<KeptName> {
        if !ways.known.contains_key(directory) {
            if ways.known.len() >= WAYS_MAX {
                ways.known.clear();
            }
            ways.known.insert(directory.to_owned(), self.way(directory));
        }
        if let Some(Some(way)) = ways.known.get(directory) {
            let mut way = way.clone();
            self.step(&mut way, name, Some(kind));
            if way.row.is_none() && !(kind == NewKind::Link && self.goes_on_from(&way)) {
                return None;
            }
        }
        self.judge(&joined(directory, name), kind)
    }

    /// The way to a directory, where it is all that counts for the names in it.
    fn way(&self, directory: &Path) -> Option<Way> {
        let NewNames {
            roots,
            exact,
            aliases,
            ..
        } = self.names;
        let near = |exact: &PathBuf| exact.parent() == Some(directory) || directory.starts_with(exact);
        let [root] = roots.as_slice() else {
            return None;
        };
        if !aliases.is_empty() || exact.iter().any(near) {
            return None;
        }
        let mut way = Way::default();
        for name in directory.strip_prefix(root).ok()? {
            self.step(&mut way, name.as_bytes(), None);
        }
        Some(way)
    }

    /// By its own name, and by those that links give it.
    fn meant(&self, path: &Path, kind: NewKind) -> Option<(PathBuf, String, Option<RunsWhen>)> {
        self.meant_here(path, kind).or_else(|| {
            self.other_names(path).find_map(|(link, target, other)| {
                let (protected, why, when) = self.meant_here(&other, kind)?;
                // The link itself is there.
                let rest = protected.strip_prefix(link).ok()?;
                Some((target.join(rest), why, when))
            })
        })
    }

    fn other_names<'p>(&'p self, path: &'p Path) -> impl Iterator<Item = (&'p Path, &'p Path, PathBuf)> + 'p {
        let aliases = self.names.aliases.iter();
        aliases.filter_map(move |alias| {
            let rest = path.strip_prefix(&alias.target).ok()?;
            let other = alias.link.join(rest);
            Some((alias.link.as_path(), alias.target.as_path(), other))
        })
    }

    fn meant_here(&self, path: &Path, kind: NewKind) -> Option<(PathBuf, String, Option<RunsWhen>)> {
        let exact = self.names.exact.iter().find(|exact| path.starts_with(exact));
        if let Some(exact) = exact {
            let why = if exact.file_name() == Some(OsStr::new(".git")) {
                "git outside enters that submodule by itself"
            } else {
                "git would obey it"
            };
            return Some((exact.clone(), why.to_owned(), Some(RunsWhen::RunGit)));
        }
        if self.names.opens_in(path, kind == NewKind::Directory) {
            return None;
        }
        let (root, relative) = self.rooted(path)?;
        let stand = self.stand(root, relative, kind);
        if let Some((length, row)) = stand.row {
            let below: PathBuf = relative.iter().take(length).collect();
            return Some((root.join(below), row.why.clone(), row.runs_when));
        }
        // Whatever stood behind it would be obeyed at this name, once it is there.
        if kind == NewKind::Link && stand.goes_on && !stand.left_out {
            let why = "what it leads to would count as what lies here";
            return Some((path.to_owned(), why.into(), None));
        }
        None
    }

    /// Whether patterns that `path` has begun may mean something beneath it.
    #[must_use]
    pub fn goes_on(&self, path: &Path) -> bool {
        let goes_on = |path: &Path| {
            self.rooted(path)
                .is_some_and(|(root, relative)| self.stand(root, relative, NewKind::Directory).goes_on)
        };
        goes_on(path) || self.other_names(path).any(|(_, _, other)| goes_on(&other))
    }

    /// Whether what lies beneath `path` is looked at there: not in a directory of packages or of build output, nor in a
    /// repository's own data.
    #[must_use]
    pub fn is_left_out(&self, path: &Path) -> bool {
        self.rooted(path)
            .is_none_or(|(root, relative)| self.stand(root, relative, NewKind::Directory).left_out)
    }

    /// The same, though what marks such a place may be gone meanwhile.
    #[must_use]
    pub fn may_be_left_out(&self, path: &Path) -> bool {
        self.rooted(path)
            .is_none_or(|(root, relative)| self.stand(root, relative, NewKind::Directory).may_be_left_out)
    }

    /// The judged root that holds a path, and the rest.
    fn rooted<'p>(&self, path: &'p Path) -> Option<(&Path, &'p Path)> {
        let holds = self.names.roots.iter().filter(|root| path.starts_with(root));
        let root = holds.max_by_key(|root| root.components().count())?;
        Some((root, path.strip_prefix(root).ok()?))
    }

    fn stand(&self, root: &Path, relative: &Path, kind: NewKind) -> Stand<'_> {
        let mut way = Way::default();
        let count = relative.iter().count();
        for (index, name) in relative.iter().enumerate() {
            let last = (index + 1 == count).then_some(kind);
            self.step(&mut way, name.as_bytes(), last);
        }
        let mut stand = Stand {
            row: way
                .row
                .and_then(|(length, entry)| Some((length, self.matcher.row(self.matcher.entry(entry)?)?))),
            goes_on: self.goes_on_from(&way),
            left_out: false,
            may_be_left_out: way.in_git || !way.skips.is_empty(),
        };
        if way.in_git {
            stand.left_out = stand.row.is_none();
            return stand;
        }
        let matters = stand.row.is_some() || stand.goes_on || kind == NewKind::Directory;
        if matters {
            let before = stand.row.map_or(usize::MAX, |(length, _)| length);
            let out = way.skips.iter().any(|(length, entry)| {
                let row = self
                    .matcher
                    .entry(*entry)
                    .and_then(|entry| self.matcher.row(entry));
                *length < before
                    && row.is_some_and(|row| self.is_marked(row, &root.join(first(relative, *length))))
            });
            if out {
                stand.left_out = true;
                stand.row = None;
            }
        }
        stand
    }

    /// Goes on by one component: the last one of a path with its kind, any other is a directory.
    fn step(&self, way: &mut Way, name: &[u8], last: Option<NewKind>) {
        way.length += 1;
        // In a repository's own data no pattern counts: branches may have any name.
        if way.in_git {
            return;
        }
        let name = plain(name);
        let step = self.matcher.step(&name, Scope::Everything, &way.states);
        way.states = step.below;
        let directory = last.is_none_or(|kind| kind == NewKind::Directory);
        way.in_git = directory && name.eq_ignore_ascii_case(b".git");
        for index in step.complete {
            let Some(entry) = self.matcher.entry(index) else {
                continue;
            };
            let Some(row) = self.matcher.row(entry) else {
                continue;
            };
            let link = last == Some(NewKind::Link);
            let meant = fits(row.kind, directory) || link;
            let held = row.new_names == NewNameRule::Held || link;
            match entry.class {
                Class::Protected if meant && held && way.row.is_none() && !way.in_git => {
                    way.row = Some((way.length, index));
                }
                Class::Skip if directory => way.skips.push((way.length, index)),
                Class::Protected | Class::Skip | Class::Secret | Class::Watched | Class::User => {}
            }
        }
    }

    fn goes_on_from(&self, way: &Way) -> bool {
        let protects = |state: &State| {
            let entry = self.matcher.entry_of(*state);
            entry.is_some_and(|entry| entry.class == Class::Protected)
        };
        !way.in_git && way.states.iter().any(protects)
    }

    fn is_marked(&self, row: &TreeRule, here: &Path) -> bool {
        let parent = here.parent().unwrap_or(here);
        (row.inside.is_empty() && row.beside.is_empty())
            || row
                .beside
                .iter()
                .any(|marker| (self.is_there)(&parent.join(marker)))
            || row
                .inside
                .iter()
                .any(|marker| (self.is_there)(&here.join(marker)))
    }
}

fn first(path: &Path, length: usize) -> PathBuf {
    path.iter().take(length).collect::<PathBuf>()
}

/// A name as a file system that folds case or leaves characters out would take it: what such a one calls the same is the
/// same here on every file system.
fn plain(name: &[u8]) -> Cow<'_, [u8]> {
    let trimmed = name.trim_ascii_end();
    if name.is_ascii() && trimmed.len() == name.len() && !name.ends_with(b".") {
        return Cow::Borrowed(name);
    }
    let Ok(text) = str::from_utf8(name) else {
        return Cow::Borrowed(name);
    };
    // Long s and the Kelvin sign have ASCII letters as their other case.
    let folded: String = text
        .chars()
        .filter(|character| !is_left_out(*character))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    let ends = |character: char| character == '.' || character == ' ';
    match folded.trim_end_matches(ends) {
        "" => Cow::Borrowed(name),
        rest => Cow::Owned(rest.as_bytes().to_vec()),
    }
}

/// What HFS+ leaves out when it compares names (as git's `is_hfs_dotgit`), and ext4 in directories that fold case: what
/// Unicode has as `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt).
const fn is_left_out(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A path of the host as a judge takes it.
#[must_use]
pub fn joined(parent: &Path, name: &[u8]) -> PathBuf {
    parent.join(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NameAlias;
    use crate::presets::tree_rules;

    fn judged(path: &str, kind: NewKind, names: &NewNames) -> bool {
        let matcher = Matcher::new(tree_rules().unwrap(), Vec::new());
        let there = |path: &Path| path == Path::new("/p/Cargo.toml");
        NameJudge {
            matcher: &matcher,
            names,
            is_there: &there,
        }
        .judge(Path::new(path), kind)
        .is_some()
    }

    fn names() -> NewNames {
        NewNames {
            roots: vec!["/p".into()],
            exact: vec!["/p/.git/commondir".into()],
            ..NewNames::default()
        }
    }

    /// Each example of the data is refused as what its row means, at the top and beneath.
    #[test]
    fn what_would_be_protected_can_not_be_made() {
        let names = names();
        for row in tree_rules().unwrap().protected {
            let directory = row.kind == crate::presets::RuleKind::Directory;
            let kind = if directory {
                NewKind::Directory
            } else {
                NewKind::File
            };
            for path in &row.matches {
                for place in ["/p", "/p/a/b"] {
                    let path = format!("{place}/{path}");
                    assert!(judged(&path, NewKind::Link, &names), "{path}");
                    if row.new_names == NewNameRule::Told {
                        assert!(!judged(&path, kind, &names), "{path}");
                        continue;
                    }
                    assert!(judged(&path, kind, &names), "{path}");
                    assert!(
                        judged(&path.to_uppercase().replace("/P", "/p"), kind, &names)
                            || path.contains("/a/"),
                        "{path}"
                    );
                    if directory {
                        assert!(judged(&format!("{path}/x/y"), NewKind::File, &names), "{path}");
                    }
                }
            }
            for path in &row.differs {
                let other = tree_rules()
                    .unwrap()
                    .protected
                    .iter()
                    .any(|other| other.matches.iter().any(|meant| meant == path));
                assert!(
                    other || !judged(&format!("/p/{path}"), NewKind::File, &names),
                    "{path}"
                );
            }
        }
    }

    /// What is remembered changes no answer.
    #[test]
    fn what_is_remembered_of_a_directory_gives_the_same() {
        let matcher = Matcher::new(tree_rules().unwrap(), Vec::new());
        let there = |path: &Path| path == Path::new("/p/Cargo.toml");
        let alias = NameAlias {
            link: "/p/.claude".into(),
            target: "/p/real".into(),
        };
        let parts = [
            "a",
            ".git",
            ".vscode",
            "tasks.json",
            ".github",
            "workflows",
            "target",
            "node_modules",
            ".idea",
            ".envrc",
            "real",
            "hooks",
            "commondir",
            "settings.json",
            ".claude",
            "gradle",
            "wrapper",
            "gradle-wrapper.jar",
            ".ENVRC",
        ];
        let all = [
            names(),
            NewNames {
                roots: vec!["/p".into(), "/p/a".into(), "/q".into()],
                ..NewNames::default()
            },
            NewNames {
                aliases: vec![alias],
                opened: vec!["/p/.vscode/tasks.json".into()],
                ..names()
            },
            NewNames {
                open_in: vec!["/p/a".into(), "/p/.idea/real".into()],
                ..names()
            },
        ];
        let mut refused = 0;
        for names in &all {
            let judge = NameJudge {
                matcher: &matcher,
                names,
                is_there: &there,
            };
            let mut ways = Ways::default();
            for (one, two) in parts
                .iter()
                .flat_map(|one| parts.iter().map(move |two| (one, two)))
            {
                for parent in [
                    "/p".to_owned(),
                    format!("/p/{one}"),
                    format!("/p/a/{one}/{two}"),
                    "/x".to_owned(),
                ] {
                    for kind in [NewKind::File, NewKind::Directory, NewKind::Link] {
                        for name in parts {
                            let parent = Path::new(&parent);
                            let whole = judge.judge(&parent.join(name), kind);
                            assert_eq!(judge.judge_in(&mut ways, parent, name.as_bytes(), kind), whole);
                            refused += usize::from(whole.is_some());
                        }
                    }
                }
            }
        }
        assert!(refused > 1000);
    }

    #[test]
    fn what_was_marked_once_may_have_been_left_out() {
        let matcher = Matcher::new(tree_rules().unwrap(), Vec::new());
        let names = names();
        let judge = NameJudge {
            matcher: &matcher,
            names: &names,
            is_there: &|_| false,
        };
        for (path, may, is) in [
            ("/p/target/x", true, false),
            ("/p/node_modules/x", true, true),
            ("/p/a/.git/x", true, true),
            ("/p/a/x", false, false),
            ("/elsewhere", true, true),
        ] {
            let path = Path::new(path);
            assert_eq!(
                (judge.may_be_left_out(path), judge.is_left_out(path)),
                (may, is),
                "{path:?}"
            );
        }
    }

    #[test]
    fn kinds_places_and_spellings() {
        let names = names();
        let (file, directory, link) = (NewKind::File, NewKind::Directory, NewKind::Link);
        for (path, kind, expected) in [
            ("/p/.vscode", directory, false),
            ("/p/.vscode", link, true),
            ("/p/.github", link, true),
            ("/p/.vscode/snippets.json", file, false),
            ("/p/.vscode/settings.json/x", file, false),
            ("/p/.goose", file, false),
            ("/p/.goose", directory, true),
            ("/p/.envrc", directory, false),
            ("/p/.envrc", link, true),
            ("/p/a/.ENVRC", file, true),
            ("/p/.envrc.", file, true),
            ("/p/.envrc ", file, true),
            ("/p/.v\u{17f}code/tasks.json", file, true),
            ("/p/.env\u{200c}rc", file, true),
            ("/p/.env\u{34f}rc", file, true),
            ("/p/.e\u{fe0f}nvrc\u{e0041}", file, true),
            ("/p/node_modules/x/.npmrc", file, false),
            ("/p/node_modules/.vscode", link, false),
            ("/p/.idea/node_modules/x", file, true),
            ("/p/target/debug/.npmrc", file, false),
            ("/p/a/target/debug/.npmrc", file, true),
            ("/p/.git/refs/heads/lefthook.yml", file, false),
            ("/p/.git/commondir", file, true),
            ("/p/.git/config.lock", file, false),
            ("/p/a/.git", directory, false),
            ("/p/.idea/.git/x", file, true),
            ("/p/.gitmodules", file, false),
            ("/p/a/.GitModules", file, false),
            ("/p/.gitmodules", link, true),
            ("/p/a/.gitmodules", link, true),
            ("/p/.idea/.gitmodules", file, true),
            ("/p/.gitattributes", file, true),
            ("/p/a/.lfsconfig", file, true),
            ("/p/.gitconfig", file, true),
            ("/elsewhere/.envrc", file, false),
        ] {
            assert_eq!(judged(path, kind, &names), expected, "{path} {kind:?}");
        }
    }

    /// Beneath it the table doesn't count; single paths do, and so does what a link makes of a place in there elsewhere.
    #[test]
    fn a_directory_that_is_opened_opens_what_lies_in_it() {
        let names = NewNames {
            exact: vec!["/p/vendor/lib/.git/commondir".into(), "/p/vendor/sub/.git".into()],
            open_in: vec!["/p/vendor".into(), "/p/a/.idea".into(), "/p/.fleet/x/new".into()],
            aliases: vec![
                NameAlias {
                    link: "/p/.claude".into(),
                    target: "/p/vendor/claude".into(),
                },
                NameAlias {
                    link: "/p/vendor/.zed".into(),
                    target: "/p/zed".into(),
                },
            ],
            ..names()
        };
        let (file, directory, link) = (NewKind::File, NewKind::Directory, NewKind::Link);
        for (path, kind, expected) in [
            ("/p/vendor/.envrc", file, false),
            ("/p/vendor/lib/.github/workflows/x.yml", file, false),
            ("/p/vendor/lib/.idea", directory, false),
            ("/p/vendor/lib/.vscode", link, false),
            ("/p/vendor/lib/.envrc", link, false),
            ("/p/.envrc", file, true),
            ("/p/vendored/.envrc", file, true),
            ("/p/a/vendor/.envrc", file, true),
            ("/p/vendor/lib/.git/commondir", file, true),
            ("/p/vendor/lib/.git/commondir", link, true),
            ("/p/vendor/sub/.git", directory, true),
            ("/p/vendor/sub/.git/config", file, true),
            // On the way to it, and itself.
            ("/p/a/.idea", directory, false),
            ("/p/a/.idea", file, false),
            ("/p/a/.idea", link, true),
            ("/p/a/.idea/x", file, false),
            ("/p/.fleet", directory, false),
            ("/p/.fleet/x", directory, false),
            ("/p/.fleet/x/new", directory, false),
            ("/p/.fleet/x/new", file, true),
            ("/p/.fleet/y", file, true),
            ("/p/.fleet/x", link, true),
            // By another name.
            ("/p/vendor/claude/settings.json", file, true),
            ("/p/vendor/claude/notes.md", file, false),
            ("/p/zed/tasks.json", file, false),
        ] {
            assert_eq!(judged(path, kind, &names), expected, "{path} {kind:?}");
        }
        let whole = NewNames {
            open_in: vec!["/p".into()],
            ..self::names()
        };
        assert!(!judged("/p/.envrc", file, &whole) && judged("/p/.git/commondir", file, &whole));
    }

    #[test]
    fn a_rule_opens_what_it_names() {
        let names = NewNames {
            roots: vec!["/p".into()],
            opened: vec!["/p/.vscode/settings.json".into(), "/p/.idea/run".into()],
            ..NewNames::default()
        };
        let (file, directory) = (NewKind::File, NewKind::Directory);
        for (path, kind, expected) in [
            ("/p/.vscode/settings.json", file, false),
            ("/p/.vscode/tasks.json", file, true),
            ("/p/a/.vscode/settings.json", file, true),
            ("/p/.idea", directory, false),
            ("/p/.idea/run", directory, false),
            ("/p/.idea/run/x", file, false),
            ("/p/.idea/x", file, true),
            ("/p/.idea", NewKind::Link, true),
        ] {
            assert_eq!(judged(path, kind, &names), expected, "{path} {kind:?}");
        }
    }
}
