//! Lists of paths with a precedence of their own become rules of which the longest path wins.
//!
//! Of each path that any list names the other sandbox's answer is worked out; between two such paths nothing changes. So a
//! rule for each of them whose answer differs from what holds above it says the same as the lists, whatever their
//! precedence. What the file names but aca keeps closed anyway (secrets, what the host runs later) gets no rule: a rule
//! that names it would open it.

use super::{Entry, Imported, Left, Loss, Setting, Surroundings};
use crate::config::path::WrittenPath;
use crate::policy::{Access, Component, Home, Origin, PathPattern};
use crate::presets::{self, PresetError, TreeRule, TreeRules};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The key.
    pub(super) key: String,
    /// Its place.
    pub(super) origin: Origin,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Absolute, without `.` and `..`; a pattern's too.
    pub(super) path: PathBuf,
    /// What it matches in the project, where it is a pattern.
    pub(super) pattern: Option<PathPattern>,
    /// From where it was written.
    pub(super) base: Base,
    /// Where it was written.
    pub(super) place: Place,
}

/// What a path is relative to, as it was written: so it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Absolute.
    Root,
    /// `~`.
    Home,
    /// The current directory.
    Current,
}

/// The lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// Can't be read, unless an entry of [`Self::allow_read`] is as deep or deeper.
    pub(super) deny_read: Vec<Named>,
    /// Can be read all the same.
    pub(super) allow_read: Vec<Named>,
    /// Can be written, unless an entry of [`Self::deny_write`] holds it, from above too.
    pub(super) allow_write: Vec<Named>,
    /// Can't be written.
    pub(super) deny_write: Vec<Named>,
    /// Can't be read, whatever the other lists say.
    pub(super) closed: Vec<Named>,
}

/// What holds where no list says anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ground {
    /// The home that is seen.
    pub(super) home: Home,
    /// Whether the project can be written where no entry says so.
    pub(super) project: Access,
    /// The key that all of it stands under.
    pub(super) place: Place,
}

/// Adds the rules to `imported`.
///
/// # Errors
/// Built-in data is wrong.
pub(super) fn add(
    lists: Lists,
    ground: &Ground,
    surroundings: &Surroundings<'_>,
    imported: &mut Imported,
) -> Result<(), PresetError> {
    let secrets = presets::home_secrets()?
        .hide
        .iter()
        .flat_map(|row| &row.paths)
        .map(|path| path.within(surroundings.home))
        .collect();
    let mut translation = Translation {
        lists,
        ground,
        surroundings,
        secrets,
        tree: presets::tree_rules()?,
        home: ground.home,
        rules: BTreeMap::new(),
        imported,
    };
    translation.keep_masks();
    translation.drop_what_cannot_be_granted();
    translation.home();
    translation.points();
    translation.patterns();
    Ok(())
}

struct Translation<'a> {
    lists: Lists,
    ground: &'a Ground,
    surroundings: &'a Surroundings<'a>,
    /// Logins and keys of the home.
    secrets: Vec<PathBuf>,
    tree: TreeRules,
    home: Home,
    /// The rules so far.
    rules: BTreeMap<PathBuf, Access>,
    imported: &'a mut Imported,
}

impl Translation<'_> {
    /// An entry that names a secret would lift aca's own mask: it is left out.
    fn keep_masks(&mut self) {
        for list in [List::AllowRead, List::AllowWrite] {
            let (kept, masked): (Vec<Named>, Vec<Named>) = std::mem::take(self.list(list))
                .into_iter()
                .partition(|named| !self.is_secret(&named.path));
            *self.list(list) = kept;
            for named in masked {
                self.leave(
                    &named,
                    Loss::Permission,
                    "aca masks it as a secret",
                    Some("`--read` opens it for one run"),
                );
            }
        }
        let protected: (Vec<Named>, Vec<Named>) = std::mem::take(&mut self.lists.allow_write)
            .into_iter()
            .partition(|named| !self.is_protected(&named.path));
        self.lists.allow_write = protected.0;
        for named in protected.1 {
            self.leave(
                &named,
                Loss::Permission,
                "the host runs or trusts it later, so it stays as it is",
                Some("`--write` opens it for one run"),
            );
        }
    }

    /// What isn't there, is a link or holds the home can't be opened.
    fn drop_what_cannot_be_granted(&mut self) {
        for list in [List::AllowRead, List::AllowWrite] {
            for named in std::mem::take(self.list(list)) {
                match self.why_not_granted(&named, list) {
                    None => self.list(list).push(named),
                    Some((why, instead)) => self.leave(&named, Loss::Permission, &why, instead),
                }
            }
        }
    }

    fn why_not_granted(&self, named: &Named, list: List) -> Option<(String, Option<&'static str>)> {
        let path = &named.path;
        if named.pattern.is_some() {
            let instead = Some("write the paths out");
            return Some(("a pattern opens nothing in aca".into(), instead));
        }
        if self.is_of_the_sandbox(path) && (list == List::AllowWrite || path.components().count() <= 2) {
            return Some((
                "inside, this place is the sandbox's own, and the host's isn't shared".into(),
                None,
            ));
        }
        if list == List::AllowWrite && self.surroundings.home.starts_with(path) {
            let instead = Some("name the directories that must be written");
            return Some((
                "it holds the home, which is more than aca lets be written".into(),
                instead,
            ));
        }
        if list == List::AllowRead && self.surroundings.home.starts_with(path) {
            // It is read anyway, or lifts a deny of as much: which is looked at, and granted nowhere by itself.
            return None;
        }
        let Some(real) = (self.surroundings.look)(path) else {
            let instead = Some("make it first");
            return Some(("nothing is there".into(), instead));
        };
        if real != *path {
            let why = format!("a symbolic link leads from it to {}", real.display());
            return Some((why, Some("name the place itself, if that is what you mean")));
        }
        None
    }

    /// A home that can't be read as a whole is a private one, in which nothing of the host's is but what is named.
    fn home(&mut self) {
        let home = self.surroundings.home;
        let (access, place) = self.wanted(home);
        let place = place.unwrap_or_else(|| self.ground.place.clone());
        if access == Access::Hide {
            self.home = Home::Private;
        }
        self.push(Setting::Home(self.home), place);
    }

    /// A rule for each path that is named and whose answer isn't that above it.
    fn points(&mut self) {
        let named = [
            &self.lists.deny_read,
            &self.lists.allow_read,
            &self.lists.allow_write,
            &self.lists.deny_write,
            &self.lists.closed,
        ];
        let mut points: Vec<(PathBuf, Base)> = named
            .into_iter()
            .flatten()
            .filter(|named| named.pattern.is_none())
            .map(|named| (named.path.clone(), named.base))
            .collect();
        points.push((self.surroundings.project.to_owned(), Base::Current));
        points.extend(
            self.surroundings
                .extra
                .iter()
                .map(|path| (path.clone(), Base::Root)),
        );
        points.extend(
            self.surroundings
                .visible
                .iter()
                .map(|path| (path.clone(), Base::Root)),
        );
        points.extend(
            self.surroundings
                .tools
                .iter()
                .map(|path| (path.clone(), Base::Home)),
        );
        points.extend(self.secrets.iter().map(|path| (path.clone(), Base::Home)));
        points.sort_by(|left, right| {
            let depth = |point: &(PathBuf, Base)| point.0.components().count();
            depth(left).cmp(&depth(right)).then_with(|| left.0.cmp(&right.0))
        });
        points.dedup_by(|later, first| later.0 == first.0);
        for (path, base) in points {
            self.point(&path, base);
        }
    }

    fn point(&mut self, path: &Path, base: Base) {
        if self.surroundings.home.starts_with(path) {
            // The home's own answer is `home`; above it, what is seen is named by itself.
            return;
        }
        let (wanted, place) = self.wanted(path);
        let holding = self.holding(path);
        // What a pattern finds is opened again by its own name alone.
        let found = wanted != Access::Hide && self.is_found(path);
        // What a list closes is written down, also where nothing of it is seen as things are.
        let closed =
            wanted == Access::Hide && place.is_some() && self.nearest_rule(path) != Some(Access::Hide);
        if wanted == holding && !found && !closed {
            return;
        }
        let place = place.unwrap_or_else(|| self.ground.place.clone());
        let named = Named {
            path: path.to_owned(),
            pattern: None,
            base,
            place,
        };
        if wanted == Access::Hide {
            if path == self.surroundings.project {
                self.leave(
                    &named,
                    Loss::Restriction,
                    "it hides the project itself, and the command runs in there",
                    Some("run it in a directory that the file lets be read"),
                );
                return;
            }
            if ["/proc", "/dev"].iter().any(|own| path.starts_with(own)) {
                self.leave(
                    &named,
                    Loss::Restriction,
                    "aca's own is seen there, which programs need: the run's processes, and plain devices",
                    None,
                );
                return;
            }
            if !self.is_visible(path) && (self.is_of_the_sandbox(path) || !closed) {
                return;
            }
        }
        if wanted == Access::Read && (self.surroundings.look)(path).is_none() {
            self.leave(
                &named,
                Loss::Restriction,
                "nothing is there, and aca puts no placeholders on the host: the command could make it",
                Some("make it first, or deny the directory"),
            );
            return;
        }
        if wanted != Access::Hide
            && let Some(real) = (self.surroundings.look)(path)
            && real != path
        {
            // Only a deny of writing comes here: what it leads to has an answer of its own.
            self.leave(
                &named,
                Loss::Restriction,
                &format!("it is reached over a symbolic link, and is {}", real.display()),
                Some("name the place itself"),
            );
            return;
        }
        match (wanted, holding) {
            (Access::Read, Access::Write) if path != self.surroundings.project => self.keep(named),
            // By its name it would be opened although the host runs it later.
            (Access::Write, _) if found && self.is_protected(path) => self.rule(Access::Read, named),
            _ => self.rule(wanted, named),
        }
    }

    /// Makes read-only what lies in something writable: with the way to it, or what lies there could be moved away and made
    /// anew.
    fn keep(&mut self, named: Named) {
        let (path, project) = (named.path.clone(), self.surroundings.project);
        let in_project = path.starts_with(project);
        let above: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|above| {
                *above != project && !self.rules.contains_key(*above) && self.holding(above) == Access::Write
            })
            .map(Path::to_owned)
            .collect();
        // A pattern that finds just this keeps the way to it, and leaves a mask where one is.
        let exact = pattern(project, &path).ok().filter(|_| in_project);
        if exact.is_none() || !self.is_secret(&path) {
            self.rule(Access::Read, named.clone());
        }
        if let Some(exact) = exact {
            let found = Named {
                path: path.join("**"),
                pattern: Some(exact),
                ..named
            };
            self.written_rule(Access::Read, found);
            return;
        }
        for above in above {
            if self.is_protected(&above) {
                let why =
                    "a directory above it is kept as it is by itself, or isn't: that can't be told here";
                self.leave(&named, Loss::Restriction, why, Some("deny that directory"));
                continue;
            }
            self.rule(
                Access::Write,
                Named {
                    path: above,
                    ..named.clone()
                },
            );
        }
    }

    /// Whether a pattern that closes what it finds finds just this.
    fn is_found(&self, path: &Path) -> bool {
        let patterns = self
            .lists
            .deny_read
            .iter()
            .filter(|named| named.pattern.is_some());
        let depth = path.components().count();
        patterns
            .into_iter()
            .any(|named| self.depth(named, path) == Some(depth))
    }

    /// Patterns of the project: what they find is closed, whenever it appears.
    fn patterns(&mut self) {
        let closed = std::mem::take(&mut self.lists.closed);
        for named in std::mem::take(&mut self.lists.deny_read)
            .into_iter()
            .chain(closed)
        {
            if named.pattern.is_some() {
                self.written_rule(Access::Hide, named);
            }
        }
        for named in std::mem::take(&mut self.lists.deny_write) {
            if named.pattern.is_none() || self.holding(self.surroundings.project) != Access::Write {
                continue;
            }
            self.leave(
                &named,
                Loss::Restriction,
                "what it finds is made read-only, but a new file of such a name can be made",
                Some("deny the directory, or `hide` the pattern"),
            );
            self.written_rule(Access::Read, named);
        }
    }

    fn rule(&mut self, access: Access, named: Named) {
        self.rules.insert(named.path.clone(), access);
        self.written_rule(access, named);
    }

    fn written_rule(&mut self, access: Access, named: Named) {
        let written = self.written(&named);
        let parsed = |text: &OsStr| WrittenPath::parse(text).ok();
        match (parsed(named.path.as_os_str()), parsed(OsStr::new(&written))) {
            (Some(path), Some(_)) if path.is_glob() == named.pattern.is_some() => {
                let setting = Setting::Path {
                    access,
                    path,
                    written,
                };
                self.push(setting, named.place);
            }
            _ => {
                let loss = match access {
                    Access::Write => Loss::Permission,
                    Access::Read | Access::Hide => Loss::Restriction,
                };
                self.leave(
                    &named,
                    loss,
                    "aca takes `*` and `?` in a path for a pattern",
                    None,
                );
            }
        }
    }

    /// The path as it stands in a file that holds for every project.
    fn written(&self, named: &Named) -> String {
        let below = |root: &Path| {
            let rest = named.path.strip_prefix(root).ok()?;
            Some(rest.display().to_string())
        };
        match named.base {
            Base::Current => match below(self.surroundings.project).as_deref() {
                Some("") => ".".into(),
                // `~` at the beginning would mean the home.
                Some(rest) => format!("./{rest}"),
                None => named.path.display().to_string(),
            },
            Base::Home => match below(self.surroundings.home).as_deref() {
                Some("") => "~".into(),
                Some(rest) => format!("~/{rest}"),
                None => named.path.display().to_string(),
            },
            Base::Root => named.path.display().to_string(),
        }
    }

    /// What the lists say of a path, and where.
    fn wanted(&self, path: &Path) -> (Access, Option<Place>) {
        let deepest = |list: &[Named]| {
            list.iter()
                .filter_map(|named| Some((self.depth(named, path)?, named.place.clone())))
                .max_by_key(|(depth, _)| *depth)
        };
        if let Some((_, place)) = deepest(&self.lists.closed) {
            return (Access::Hide, Some(place));
        }
        let denied = deepest(&self.lists.deny_read);
        if self.secrets.iter().any(|secret| path.starts_with(secret)) {
            return (Access::Hide, denied.map(|(_, place)| place));
        }
        let allowed = deepest(&self.lists.allow_read);
        let granted = deepest(&self.lists.allow_write);
        if let Some((deny, place)) = &denied {
            let read = allowed.as_ref().is_some_and(|(allow, _)| allow >= deny);
            // What lies beneath a closed directory and can be written is put back into it.
            let written = granted.as_ref().is_some_and(|(grant, _)| grant > deny);
            if !read && !written {
                return (Access::Hide, Some(place.clone()));
            }
        }
        // A private home has nothing that isn't named: a deny of writing must not show it.
        if allowed.is_none() && granted.is_none() && self.is_absent(path) {
            return (Access::Hide, None);
        }
        let kept = deepest(&self.lists.deny_write);
        match (kept, granted) {
            (Some((_, place)), _) => (Access::Read, Some(place)),
            (None, Some((_, place))) => (Access::Write, Some(place)),
            (None, None) if self.ground.project == Access::Write && self.is_of_the_project(path) => {
                (Access::Write, None)
            }
            (None, None) => (Access::Read, allowed.map(|(_, place)| place)),
        }
    }

    /// How deep what an entry names lies, where it holds the path.
    fn depth(&self, named: &Named, path: &Path) -> Option<usize> {
        let depth = |path: &Path| path.components().count();
        match &named.pattern {
            None => path.starts_with(&named.path).then(|| depth(&named.path)),
            Some(pattern) => path
                .ancestors()
                .take_while(|above| *above != self.surroundings.project)
                .find(|above| {
                    above
                        .strip_prefix(self.surroundings.project)
                        .is_ok_and(|below| matches(pattern.components(), &names(below)))
                })
                .map(depth),
        }
    }

    /// What holds of a path with the rules so far.
    fn holding(&self, path: &Path) -> Access {
        let rule = path
            .ancestors()
            .find_map(|above| Some((above, *self.rules.get(above)?)));
        let masked = self
            .secrets
            .iter()
            .filter(|secret| path.starts_with(secret))
            .map(|secret| secret.components().count())
            .max();
        if let Some((above, access)) = rule
            && masked.is_none_or(|depth| self.home == Home::Private || above.components().count() > depth)
        {
            return access;
        }
        if self.is_of_the_project(path) {
            return Access::Write;
        }
        let tool = self.surroundings.tools.iter().any(|tool| path.starts_with(tool));
        let absent = self.home == Home::Private && path.starts_with(self.surroundings.home) && !tool;
        if absent || masked.is_some() {
            return Access::Hide;
        }
        Access::Read
    }

    /// Whether it is writable unless a rule says otherwise.
    fn is_of_the_project(&self, path: &Path) -> bool {
        let mut roots = self.surroundings.extra.iter();
        path.starts_with(self.surroundings.project) || roots.any(|root| path.starts_with(root))
    }

    /// Whether it is of the host's home where that isn't seen.
    fn is_absent(&self, path: &Path) -> bool {
        let mut tools = self.surroundings.tools.iter();
        self.home == Home::Private
            && path.starts_with(self.surroundings.home)
            && !self.is_of_the_project(path)
            && !tools.any(|tool| path.starts_with(tool))
    }

    fn nearest_rule(&self, path: &Path) -> Option<Access> {
        path.ancestors().find_map(|above| self.rules.get(above).copied())
    }

    /// Whether aca has a place of its own there, which can be read and written.
    fn is_of_the_sandbox(&self, path: &Path) -> bool {
        let own = ["/tmp", "/var/tmp", "/dev", "/proc", "/run", "/private/tmp"];
        own.iter().any(|own| path.starts_with(own))
            && !path.starts_with(self.surroundings.project)
            && !path.starts_with(self.surroundings.home)
    }

    /// Whether there is something to hide.
    fn is_visible(&self, path: &Path) -> bool {
        let seen = self
            .surroundings
            .visible
            .iter()
            .chain(&self.surroundings.tools)
            .any(|seen| path.starts_with(seen));
        seen || path.starts_with(self.surroundings.project)
            || (self.home == Home::Host && path.starts_with(self.surroundings.home))
            || self.rules.keys().any(|rule| path.starts_with(rule))
    }

    fn is_secret(&self, path: &Path) -> bool {
        self.secrets.iter().any(|secret| path.starts_with(secret))
            || self.is_in_tree(&self.tree.secrets, path)
    }

    fn is_protected(&self, path: &Path) -> bool {
        if self.is_in_tree(&self.tree.protected, path) {
            return true;
        }
        // The rows on git directories are relative to one.
        let names = names(self.within(path));
        (0..names.len()).any(|at| {
            let (above, below) = names.split_at(at);
            above.last().is_some_and(|name| name.ends_with(b".git"))
                && (1..=below.len()).any(|length| {
                    let part = below.get(..length).unwrap_or_default();
                    self.tree.git.iter().any(|row| is_meant(row, part))
                })
        })
    }

    /// The part of a path that its project, its home or the root holds.
    fn within<'p>(&self, path: &'p Path) -> &'p Path {
        let (project, home) = (self.surroundings.project, self.surroundings.home);
        path.strip_prefix(project)
            .or_else(|_| path.strip_prefix(home))
            .unwrap_or(path)
    }

    /// Whether the path, or a directory above it in the project or the home, is one of the rows'.
    fn is_in_tree(&self, rows: &[TreeRule], path: &Path) -> bool {
        let names = names(self.within(path));
        (1..=names.len()).any(|length| {
            let part = names.get(..length).unwrap_or_default();
            // Rows match at any depth.
            (0..length).any(|start| {
                let part = part.get(start..).unwrap_or_default();
                rows.iter().any(|row| is_meant(row, part))
            })
        })
    }

    fn list(&mut self, list: List) -> &mut Vec<Named> {
        match list {
            List::AllowRead => &mut self.lists.allow_read,
            List::AllowWrite => &mut self.lists.allow_write,
        }
    }

    fn push(&mut self, setting: Setting, place: Place) {
        self.imported.entries.push(Entry {
            setting,
            key: place.key,
            origin: place.origin,
        });
    }

    fn leave(&mut self, named: &Named, loss: Loss, why: &str, instead: Option<&str>) {
        self.imported.left.push(Left {
            what: format!("{} `{}`", named.place.key, named.path.display()),
            origin: named.place.origin.clone(),
            why: why.to_owned(),
            instead: instead.map(str::to_owned),
            loss,
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    AllowRead,
    AllowWrite,
}

fn names(path: &Path) -> Vec<&[u8]> {
    path.iter().map(OsStr::as_encoded_bytes).collect()
}

/// Whether one of a row's patterns means the names, and no exception does. What content it must have isn't asked: that may
/// come later.
fn is_meant(row: &TreeRule, names: &[&[u8]]) -> bool {
    row.paths
        .iter()
        .any(|pattern| matches(pattern.components(), names))
        && names
            .last()
            .is_some_and(|name| !row.except.iter().any(|except| except.matches(name)))
}

/// Whether a pattern means exactly these names.
fn matches(pattern: &[Component], names: &[&[u8]]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Component::AnyDepth, rest)), _) => {
            (0..=names.len()).any(|skipped| matches(rest, names.get(skipped..).unwrap_or_default()))
        }
        (Some((Component::Name(name), rest)), Some((found, left))) => {
            name.matches(found) && matches(rest, left)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The absolute path that a text means, `..` taken away as it reads.
pub(super) fn absolute(base: &Path, rest: &str) -> PathBuf {
    let mut path = base.to_owned();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path
}

/// A pattern in the project; why not, where it can't be one.
pub(super) fn pattern(project: &Path, path: &Path) -> Result<PathPattern, String> {
    PathPattern::beneath(project, path).map_err(|error| error.to_string())
}
