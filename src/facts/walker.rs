//! The walk itself: lists a directory, holds its names against the patterns, goes into those beneath.

use super::beneath::{changed_ns, now_ns, open_directory, open_root, open_without_links, read_file, status};
use super::found::{Alias, Found, FoundKind, RepositoryKind, Target, UserFound, Walk};
use super::link_way::way_of;
use super::matcher::{Class, Entry, Matcher, Scope, State, Step, fits};
use super::notes::{BareMarks, found_kind, identity, push_reported};
use super::object::has_blob;
use super::paths::Kind;
use super::walk::{DEPTH_MAX, MASKS_MAX, NAMES_MAX, Purpose, WalkError, call};
use crate::presets::{CONTENT_BYTES_MAX, RunsWhen, TreeRule};
use rustix::fs::{FileType, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Bytes that are asked for at once (getdents64(2)).
const LIST_BYTES: usize = 64 << 10;

/// Largest file that is compared with the history, and most files: those beyond are masked.
const HISTORY_BYTES_MAX: i64 = 128 << 10;
const HISTORY_FILES_MAX: usize = 512;

fn open_objects(path: &Path) -> Option<OwnedFd> {
    open_without_links(path)
        .ok()
        .and_then(|objects| open_directory(&objects, c".").ok())
}

/// How the names of a directory are looked at.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) scope: Scope,
    pub(super) states: Vec<State>,
    /// It lies in a protected directory: all its files are watched.
    pub(super) inside: Option<Inside>,
    pub(super) depth: usize,
}

/// What a protected directory says of the files in it.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) why: String,
    pub(super) runs_when: Option<RunsWhen>,
}

impl Context {
    pub(super) fn root(matcher: &Matcher) -> Self {
        Self {
            scope: Scope::Everything,
            states: matcher.root_states(),
            inside: None,
            depth: 0,
        }
    }

    fn below(&self, states: Vec<State>) -> Self {
        Self {
            scope: self.scope,
            states,
            inside: self.inside.clone(),
            depth: self.depth + 1,
        }
    }

    /// From here on only patterns of the user's count.
    fn close(&mut self, matcher: &Matcher) {
        self.scope = Scope::States;
        self.states = matcher.user_states(&self.states);
        self.inside = None;
    }

    /// Where no pattern is half-way.
    pub(super) fn plain_below(&self) -> Self {
        self.below(Vec::new())
    }
}

/// A directory that is to be walked when the listing of its parent is done.
pub(super) struct Child {
    pub(super) name: CString,
    /// `None` is the plain case.
    pub(super) context: Option<Context>,
}

/// One name, while it is looked at.
pub(super) struct Name<'a> {
    pub(super) parent: &'a OwnedFd,
    pub(super) name: &'a CStr,
    pub(super) status: Stat,
    pub(super) kind: FoundKind,
    pub(super) target: Option<Target>,
}

impl Name<'_> {
    /// What a rule takes it for: a link is what it leads to, and a link out of the project is a file.
    fn is_directory(&self) -> bool {
        match (self.kind, &self.target) {
            (FoundKind::Symlink, Some(target)) => target.kind == Kind::Directory,
            (kind, _) => kind == FoundKind::Directory,
        }
    }
}

pub(super) struct Walker<'a> {
    pub(super) matcher: &'a Matcher,
    pub(super) purpose: Purpose,
    pub(super) walk: Walk,
    /// The directory that is being looked at, relative to the root.
    pub(super) path: Vec<u8>,
    buffer: Vec<MaybeUninit<u8>>,
    pub(super) roaming: bool,
    pub(super) device: Option<u64>,
    /// Set while a link is followed: no second one is.
    pub(super) in_alias: bool,
    /// Directories that are looked after already: not gone into.
    pub(super) known: Option<&'a dyn Fn(&Path) -> bool>,
    /// Files that were compared with the history.
    pub(super) compared: usize,
    /// Two threads walk; shared by both.
    pub(super) two_at_work: Arc<AtomicBool>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(root: &Path, matcher: &'a Matcher, purpose: Purpose) -> Self {
        Self {
            matcher,
            purpose,
            walk: Walk {
                root: root.to_owned(),
                begun_ns: now_ns(),
                ..Walk::default()
            },
            path: Vec::new(),
            buffer: vec![MaybeUninit::uninit(); LIST_BYTES],
            roaming: matcher.has_roaming_user_patterns(),
            device: None,
            in_alias: false,
            known: None,
            compared: 0,
            two_at_work: Arc::default(),
        }
    }

    /// A link may lead to what was found by its own name as well.
    pub(super) fn finish(mut self) -> Walk {
        let lists = [
            &mut self.walk.masks,
            &mut self.walk.protected,
            &mut self.walk.watched,
            &mut self.walk.undecided,
        ];
        for list in lists {
            list.sort_by(|one, other| one.path.cmp(&other.path));
            list.dedup_by(|one, other| one.path == other.path);
        }
        // What is protected or hidden is reported as that.
        let protected = &self.walk.protected;
        self.walk.watched.retain(|found| {
            protected
                .binary_search_by(|other| other.path.cmp(&found.path))
                .is_err()
        });
        self.walk
    }

    /// Lists a directory, then goes into those in it.
    pub(super) fn directory(&mut self, directory: &OwnedFd, context: &Context) -> Result<(), WalkError> {
        self.note_directory(directory);
        let mut children: Vec<Child> = Vec::new();
        let mut marks = BareMarks::default();
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            // A link is followed in the middle of a listing, which has the other one.
            buffer = vec![MaybeUninit::uninit(); LIST_BYTES];
        }
        let listed = self.list(directory, context, &mut buffer, &mut children, &mut marks);
        self.buffer = buffer;
        listed?;
        if marks.all() && context.scope == Scope::Everything {
            self.git_directory(directory, RepositoryKind::Bare)?;
        }
        let plain = context.plain_below();
        if self.is_shared(&children) {
            return self.share(directory, &children, &plain);
        }
        for child in &children {
            self.child(directory, child, &plain)?;
        }
        Ok(())
    }

    /// Goes into one directory of a level.
    pub(super) fn child(
        &mut self,
        directory: &OwnedFd,
        child: &Child,
        plain: &Context,
    ) -> Result<(), WalkError> {
        let length = self.path.len();
        self.push(child.name.to_bytes());
        let entered = if self.known.is_some_and(|known| known(&self.here())) {
            Ok(())
        } else {
            self.enter(directory, &child.name, child.context.as_ref().unwrap_or(plain))
        };
        self.path.truncate(length);
        entered
    }

    fn list(
        &mut self,
        directory: &OwnedFd,
        context: &Context,
        buffer: &mut [MaybeUninit<u8>],
        children: &mut Vec<Child>,
        marks: &mut BareMarks,
    ) -> Result<(), WalkError> {
        let mut entries = RawDir::new(directory, buffer);
        let every_name =
            !context.states.is_empty() || context.inside.is_some() || self.purpose == Purpose::ReportModes;
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // Removed meanwhile (getdents64(2)).
                Err(Errno::NOENT) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(call("getdents64", &self.here(), errno)),
            };
            let name = entry.file_name();
            let bytes = name.to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                // Some file systems don't tell (readdir(3)).
                let Ok(status) = status(directory, name) else {
                    continue;
                };
                kind = FileType::from_raw_mode(status.st_mode);
            }
            marks.note(bytes, kind);
            if kind != FileType::Directory {
                self.walk.file_count += 1;
                if self.walk.file_count > NAMES_MAX {
                    return self.give_up(WalkError::TooManyNames);
                }
            }
            let plain = !every_name && kind != FileType::Symlink && !self.matcher.may_match(bytes);
            if !plain {
                self.name(directory, name, kind, context, children)?;
            } else if kind == FileType::Directory && self.goes_on(context.scope, &[]) {
                children.push(Child {
                    name: name.to_owned(),
                    context: None,
                });
            }
        }
        Ok(())
    }

    /// A name that a pattern may mean.
    pub(super) fn name(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        file_type: FileType,
        context: &Context,
        children: &mut Vec<Child>,
    ) -> Result<(), WalkError> {
        let bytes = name.to_bytes();
        if file_type == FileType::Symlink {
            self.note_escape(parent, name);
        }
        let step = self.matcher.step(bytes, context.scope, &context.states);
        let is_git = context.scope == Scope::Everything && bytes.eq_ignore_ascii_case(b".git");
        let quiet = step.complete.is_empty() && context.inside.is_none() && !is_git;
        if quiet && file_type == FileType::Directory {
            if self.goes_on(context.scope, &step.below) {
                let below = (!step.below.is_empty()).then(|| context.below(step.below));
                children.push(Child {
                    name: name.to_owned(),
                    context: below,
                });
            }
            return Ok(());
        }
        let wants_mode = self.purpose == Purpose::ReportModes && file_type == FileType::RegularFile;
        if quiet && !wants_mode && (file_type != FileType::Symlink || step.below.is_empty()) {
            return Ok(());
        }
        // Gone again.
        let Ok(status) = status(parent, name) else {
            return Ok(());
        };
        let kind = found_kind(&status);
        let target = if kind == FoundKind::Symlink {
            self.target(bytes)
        } else {
            None
        };
        let name = Name {
            parent,
            name,
            status,
            kind,
            target,
        };
        if wants_mode {
            self.note_mode(&name);
        }
        if is_git {
            self.dot_git(&name)?;
        }
        if let Some(inside) = &context.inside {
            let found = self.found(&name, &inside.why, inside.runs_when);
            push_reported(&mut self.walk.watched, found, &mut self.walk.truncated);
        }
        let descent = self.matches(&name, &step, context)?;
        match (kind, descent) {
            (FoundKind::Directory, Some(descent)) if !is_git => {
                children.push(Child {
                    name: name.name.to_owned(),
                    context: Some(descent),
                });
            }
            (FoundKind::Directory, Some(descent)) => {
                // The git directory itself was read by its own list; patterns of the user's may lead into it.
                let states = self.matcher.user_states(&descent.states);
                if self.roaming || !states.is_empty() {
                    let below = Context {
                        scope: Scope::States,
                        states,
                        inside: None,
                        ..descent
                    };
                    children.push(Child {
                        name: name.name.to_owned(),
                        context: Some(below),
                    });
                }
            }
            (FoundKind::Symlink, _) => self.alias(&name, &step)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the matches of one name; tells how to go on beneath it, if it is a directory to go into.
    fn matches(
        &mut self,
        name: &Name<'_>,
        step: &Step,
        context: &Context,
    ) -> Result<Option<Context>, WalkError> {
        let mut descent = context.below(step.below.clone());
        for index in &step.complete {
            let Some(entry) = self.matcher.entry(*index) else {
                continue;
            };
            let Some(row) = self.matcher.row(entry) else {
                self.user(name, entry)?;
                continue;
            };
            if !fits(row.kind, name.is_directory()) || !self.is_marked(name, row) {
                continue;
            }
            match entry.class {
                Class::Secret => {
                    if self.secret(name, row)? {
                        descent.close(self.matcher);
                    }
                }
                Class::Skip if name.kind == FoundKind::Directory => {
                    let open = self.matcher.user_states(&descent.states);
                    if !self.roaming && open.is_empty() {
                        let path = self.path_of(name.name.to_bytes());
                        self.note_skipped(path, &row.why, false);
                    }
                    descent.close(self.matcher);
                }
                Class::Protected => {
                    self.protect(name, &row.why, row.runs_when)?;
                    descent.inside = Some(Inside {
                        why: row.why.clone(),
                        runs_when: row.runs_when,
                    });
                }
                Class::Watched if !row.executable || name.status.st_mode & 0o111 != 0 => {
                    let found = self.found(name, &row.why, row.runs_when);
                    push_reported(&mut self.walk.watched, found, &mut self.walk.truncated);
                    descent.inside = Some(Inside {
                        why: row.why.clone(),
                        runs_when: row.runs_when,
                    });
                }
                Class::Skip | Class::Watched | Class::User => {}
            }
        }
        Ok(self.goes_on(descent.scope, &descent.states).then_some(descent))
    }

    /// Whether anything can match beneath a directory.
    fn goes_on(&self, scope: Scope, states: &[State]) -> bool {
        scope == Scope::Everything || self.roaming || !states.is_empty()
    }

    fn user(&mut self, name: &Name<'_>, entry: &Entry) -> Result<(), WalkError> {
        let Some(user) = self.matcher.user.get(entry.rule) else {
            return Ok(());
        };
        let found = self.found(name, &user.pattern.to_string(), None);
        if self.walk.user.len() >= MASKS_MAX {
            return self.give_up(WalkError::TooManyMasks { path: found.path });
        }
        self.walk.user.push(UserFound {
            found,
            pattern: entry.rule,
            access: user.access,
        });
        Ok(())
    }

    /// Masks a name, if its content is what the row means.
    fn secret(&mut self, name: &Name<'_>, row: &TreeRule) -> Result<bool, WalkError> {
        let found = self.found(name, &row.why, None);
        if row.wants_content() && !self.is_meant(name, row) {
            push_reported(&mut self.walk.undecided, found, &mut self.walk.truncated);
            return Ok(false);
        }
        if self.is_in_history(name) {
            // It may come to hold another content.
            push_reported(&mut self.walk.undecided, found, &mut self.walk.truncated);
            return Ok(false);
        }
        self.mask(found)?;
        Ok(true)
    }

    /// Whether the repository around a file has its very content, so that everybody inside can read it there.
    fn is_in_history(&mut self, name: &Name<'_>) -> bool {
        let small = name.status.st_size > 0 && name.status.st_size <= HISTORY_BYTES_MAX;
        if name.kind != FoundKind::File || !small || self.compared >= HISTORY_FILES_MAX {
            return false;
        }
        let here = self.here();
        let inner = here
            .ancestors()
            .find_map(|directory| open_objects(&self.walk.root.join(directory).join(".git/objects")));
        // A linked work tree has its objects elsewhere.
        let objects = inner.or_else(|| self.matcher.objects.as_deref().and_then(open_objects));
        let Some(objects) = objects else { return false };
        self.compared += 1;
        read_file(name.parent, name.name, CONTENT_BYTES_MAX)
            .is_ok_and(|content| content.len() <= CONTENT_BYTES_MAX && has_blob(&objects, &content))
    }

    fn mask(&mut self, found: Found) -> Result<(), WalkError> {
        if self.walk.masks.len() >= MASKS_MAX {
            return self.give_up(WalkError::TooManyMasks { path: found.path });
        }
        self.walk.masks.push(found);
        Ok(())
    }

    pub(super) fn protect(
        &mut self,
        name: &Name<'_>,
        why: &str,
        runs_when: Option<RunsWhen>,
    ) -> Result<(), WalkError> {
        let found = self.found(name, why, runs_when);
        if self.walk.protected.len() >= MASKS_MAX {
            return self.give_up(WalkError::TooManyProtected { path: found.path });
        }
        self.walk.protected.push(found);
        Ok(())
    }

    /// What can't be read counts as what the row means.
    fn is_meant(&self, name: &Name<'_>, row: &TreeRule) -> bool {
        let content = match (name.kind, &name.target) {
            (FoundKind::File, _) => read_file(name.parent, name.name, CONTENT_BYTES_MAX),
            (FoundKind::Symlink, Some(target)) if target.kind == Kind::File => read_file(
                rustix::fs::CWD,
                self.walk.root.join(&target.path),
                CONTENT_BYTES_MAX,
            ),
            // It leads out of the project: there is nothing to mask.
            (FoundKind::Symlink, None) => return false,
            _ => return true,
        };
        content.map_or(true, |content| row.is_meant(&content))
    }

    /// Whether the rows' marker files are there.
    fn is_marked(&self, name: &Name<'_>, row: &TreeRule) -> bool {
        if row.inside.is_empty() && row.beside.is_empty() {
            return true;
        }
        let beside = |marker: &String| status(name.parent, marker.as_str()).is_ok();
        row.beside.iter().any(beside)
            || open_directory(name.parent, name.name).is_ok_and(|inner| {
                row.inside
                    .iter()
                    .any(|marker| status(&inner, marker.as_str()).is_ok())
            })
    }

    /// A link named as the first part of a pattern, such as `.claude` for `.claude/hooks`: what it leads to is looked
    /// at as if it were there.
    fn alias(&mut self, name: &Name<'_>, step: &Step) -> Result<(), WalkError> {
        let states = self.matcher.definite_states(&step.below);
        self.note_way(name, step);
        let Some(target) = name
            .target
            .as_ref()
            .filter(|target| target.kind == Kind::Directory)
        else {
            return Ok(());
        };
        if states.is_empty() || self.in_alias {
            return Ok(());
        }
        let Some(directory) = self.open_target(target) else {
            return Ok(());
        };
        if self.walk.aliases.len() < MASKS_MAX {
            self.walk.aliases.push(Alias {
                link: self.path_of(name.name.to_bytes()),
                target: target.path.clone(),
            });
        }
        let context = Context {
            scope: Scope::States,
            states,
            inside: None,
            depth: target.path.components().count(),
        };
        let path = std::mem::replace(&mut self.path, target.path.as_os_str().as_bytes().to_vec());
        let roaming = std::mem::replace(&mut self.roaming, false);
        self.in_alias = true;
        let walked = self.directory(&directory, &context);
        self.in_alias = false;
        self.roaming = roaming;
        self.path = path;
        walked
    }

    /// A link that is protected, or may hold what is: what can be made on its way would stand for it.
    fn note_way(&mut self, name: &Name<'_>, step: &Step) {
        let protects = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.class == Class::Protected);
        let complete = step
            .complete
            .iter()
            .any(|index| protects(self.matcher.entry(*index)));
        let below = step
            .below
            .iter()
            .any(|state| protects(self.matcher.entry_of(*state)));
        if !complete && !below {
            return;
        }
        let link = self.path_of(name.name.to_bytes());
        for target in way_of(&self.walk.root, &link) {
            if self.walk.aliases.len() < MASKS_MAX {
                self.walk.aliases.push(Alias {
                    link: link.clone(),
                    target,
                });
            }
        }
    }

    /// Opens what a link was seen to lead to; `None` when it changed meanwhile.
    pub(super) fn open_target(&self, target: &Target) -> Option<OwnedFd> {
        let directory = open_root(&self.walk.root.join(&target.path)).ok()?;
        let status = rustix::fs::fstat(&directory).ok()?;
        (identity(&status) == target.identity).then_some(directory)
    }

    pub(super) fn enter(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        context: &Context,
    ) -> Result<(), WalkError> {
        if context.depth > DEPTH_MAX {
            let path = self.here();
            if self.purpose == Purpose::Protect {
                return Err(WalkError::TooDeep { path });
            }
            self.walk.truncated = true;
            self.note_skipped(path, "too deep to look into", true);
            return Ok(());
        }
        match open_directory(parent, name) {
            Ok(directory) => self.directory(&directory, context),
            // Removed, or something else now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(Errno::ACCESS | Errno::PERM) => self.unreadable(parent, name),
            Err(errno) => Err(call("openat", &self.here(), errno)),
        }
    }

    /// A directory without permission. Its owner can grant himself that, and the program inside is its owner: so the
    /// whole of it is hidden.
    fn unreadable(&mut self, parent: &OwnedFd, name: &CStr) -> Result<(), WalkError> {
        let path = self.here();
        let Ok(status) = status(parent, name) else {
            return Ok(());
        };
        let why = "it can't be looked into, so it may hold secrets";
        self.note_skipped(path.clone(), "no permission", true);
        if status.st_uid != rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        self.mask(Found {
            path,
            kind: FoundKind::Directory,
            identity: identity(&status),
            changed_ns: changed_ns(&status),
            target: None,
            why: why.into(),
            runs_when: None,
        })
    }

    /// Before a run a bound is an error; after it the report says that it isn't whole.
    fn give_up(&mut self, error: WalkError) -> Result<(), WalkError> {
        if self.purpose == Purpose::Protect || error == WalkError::TooManyNames {
            return Err(error);
        }
        self.walk.truncated = true;
        Ok(())
    }
}
