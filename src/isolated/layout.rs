//! What a project's repository is made of, and whether a private one can stand in its place.
//!
//! Where one can't in all that the repository does, none does: half of a git directory would lose what is put into it.

use super::ground::{Ground, linked_tree};
use crate::facts::beneath::read_file;
use crate::facts::git_config::{CONFIG_BYTES_MAX, Setting, last, settings};
use crate::facts::git_pointer::lexical;
use crate::facts::{GitKind, Project, real};
use crate::git::object_id::ObjectFormat;
use rustix::fs::CWD;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most directories of objects, and how far one may lead to another (git's own bound is 5).
const STORES_MAX: usize = 32;
const ALTERNATE_DEPTH: usize = 5;
/// Most submodules.
pub(super) const MODULES_MAX: usize = 200;
/// Most work trees of one repository that are whole inside, and most that are looked at.
pub(super) const TREES_MAX: usize = 100;
pub(super) const NEIGHBOURS_MAX: usize = 10_000;
/// How deep the directories of submodules may lie in each other.
pub(super) const MODULES_DEPTH: usize = 8;
/// Directories of tools that keep more than a cache in the git directory: it would be lost, or be missing.
const FOREIGN: [&str; 6] = ["annex", "git-crypt", "gitbutler", "jj", "lfs", "svn"];

/// One git directory: the repository's, or a submodule's in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Where it lies beneath the repository's; empty for that itself.
    #[serde(with = "crate::policy::path_text")]
    pub(super) below: PathBuf,
    /// Its directories of objects on the host: its own first, then what that borrows from.
    #[serde(with = "crate::policy::path_text::list")]
    pub(super) stores: Vec<PathBuf>,
    /// Whether objects have names of 64 digits.
    pub(super) sha256: bool,
    /// Its work trees that are whole inside: where the files of each lie beneath the repository's.
    #[serde(with = "crate::policy::path_text::list")]
    pub(super) trees: Vec<PathBuf>,
}

impl Part {
    pub(super) const fn format(&self) -> ObjectFormat {
        if self.sha256 {
            ObjectFormat::Sha256
        } else {
            ObjectFormat::Sha1
        }
    }
}

/// A repository that a private git directory can stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The git directory on the host, which all work trees share: inside, the private one is at the same place.
    #[serde(with = "crate::policy::path_text")]
    pub(super) host: PathBuf,
    /// Where the run may write, and so have work trees.
    pub(super) ground: Ground,
    pub(super) parts: Vec<Part>,
}

/// Why none can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No work tree.
    #[error("the project is a repository without a work tree")]
    Bare,
    /// Work trees in the git directory.
    #[error("other work trees lie in its git directory")]
    Neighbours,
    /// A file can't be read.
    #[error("{} can't be read", .0.display())]
    Unreadable(PathBuf),
    /// A format or extension.
    #[error("its format or extension `{0}` is not known here")]
    Format(String),
    /// Objects that come when they are asked for.
    #[error("it is a partial clone, which fetches objects while git works")]
    Partial,
    /// Refs in tables.
    #[error("its refs are in the reftable format")]
    Reftable,
    /// A split or sparse index.
    #[error("its index is split or sparse")]
    Index,
    /// What it borrows from has more than objects.
    #[error("it borrows objects from {}, which holds something else", .0.display())]
    Borrowed(PathBuf),
    /// It borrows what it didn't before runs could write that down.
    #[error("it borrows objects from {}, which it did not before a run worked on its git directory itself", .0.display())]
    Appeared(PathBuf),
    /// Settings that could be made inside.
    #[error("your git's settings include {}, which isn't there and could be made inside", .0.display())]
    Included(PathBuf),
    /// Another tool's data.
    #[error("`{0}` keeps data of its own in the git directory")]
    Foreign(&'static str),
    /// Too much.
    #[error(
        "it has more than {STORES_MAX} directories of objects, {MODULES_MAX} submodules or {TREES_MAX} work trees"
    )]
    TooMany,
    /// A rule names a part of it.
    #[error("a rule of yours names {}, which lies in the git directory or around it", .0.display())]
    Rule(PathBuf),
    /// No git outside.
    #[error("there is no git outside to bring the work back with")]
    NoGit,
}

impl Unfit {
    /// What would help.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoGit => "install git, in a directory of PATH that isn't written inside",
            Self::Appeared(_) => {
                "if that is yours, say `--read` with that directory; if not, take it out of objects/info/alternates"
            }
            Self::Included(_) => "make that file, or take the include out of the settings",
            Self::Rule(_) => "take the rule away, or say `--git-mode direct`",
            Self::Bare
            | Self::Neighbours
            | Self::Unreadable(_)
            | Self::Format(_)
            | Self::Partial
            | Self::Reftable
            | Self::Index
            | Self::Borrowed(_)
            | Self::Foreign(_)
            | Self::TooMany => "work on a plain clone of the repository, or say `--git-mode direct`",
        }
    }
}

impl Layout {
    /// Looks at the project's repository; `None` where it has none.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn look(project: &Project, ground: Ground) -> Result<Option<Self>, Unfit> {
        let Some(git) = &project.git else {
            return Ok(None);
        };
        if git.kind == GitKind::Bare {
            return Err(Unfit::Bare);
        }
        // What lies in the git directory would be hidden by the private one, the project first of all.
        if !project.neighbours.is_empty() || project.root.starts_with(&git.common_dir) {
            return Err(Unfit::Neighbours);
        }
        let own = git.git_dir.strip_prefix(&git.common_dir);
        let own = own.map_err(|_| Unfit::Unreadable(git.git_dir.clone()))?;
        let ground = ground.without(&git.common_dir);
        let mut look = Look {
            host: &git.common_dir,
            own,
            ground: &ground,
            parts: Vec::new(),
            trees: 0,
        };
        look.part(PathBuf::new())?;
        let parts = look.parts;
        Ok(Some(Self {
            host: git.common_dir.clone(),
            ground,
            parts,
        }))
    }

    /// Where the run may write.
    #[must_use]
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Where it is shown.
    #[must_use]
    pub fn at(&self) -> &Path {
        &self.host
    }

    /// The directories of objects, each once: where it is on the host, and where it is seen inside.
    #[must_use]
    pub fn stores(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut stores: Vec<(PathBuf, PathBuf)> = Vec::new();
        for store in self.parts.iter().flat_map(|part| &part.stores) {
            if !stores.iter().any(|(known, _)| known == store) {
                let at = PathBuf::from(format!("/.aca/objects/{}", stores.len()));
                stores.push((store.clone(), at));
            }
        }
        stores
    }

    /// A git directory on the host.
    pub(super) fn host_of(&self, part: &Part) -> PathBuf {
        self.host.join(&part.below)
    }
}

/// One look at a repository.
struct Look<'a> {
    host: &'a Path,
    /// Where the files of the project's own work tree are.
    own: &'a Path,
    ground: &'a Ground,
    parts: Vec<Part>,
    trees: usize,
}

impl Look<'_> {
    /// A git directory, and those of the submodules that lie in it or in its work trees' directories.
    fn part(&mut self, below: PathBuf) -> Result<(), Unfit> {
        if self.parts.len() > MODULES_MAX {
            return Err(Unfit::TooMany);
        }
        let host = self.host.join(&below);
        let (mut part, settings) = part(&host, below)?;
        part.trees = self.whole(&host, &part.below, &settings);
        self.trees += part.trees.len();
        if self.trees > TREES_MAX {
            return Err(Unfit::TooMany);
        }
        for tree in &part.trees {
            check_index(&self.host.join(tree))?;
        }
        let mut holders = vec![part.below.clone()];
        holders.extend(part.trees.iter().filter(|tree| **tree != part.below).cloned());
        self.parts.push(part);
        for holder in holders {
            self.modules(&holder.join("modules"), 0)?;
        }
        Ok(())
    }

    /// The work trees that a run can write: what is done in them comes back, too.
    fn whole(&self, host: &Path, below: &Path, settings: &[Setting]) -> Vec<PathBuf> {
        let main = main_tree(host, settings).and_then(|tree| real(&tree).ok());
        let main = (self.own == below || main.is_some_and(|tree| self.ground.holds(&tree)))
            .then(|| below.to_owned());
        let worktrees = host.join("worktrees");
        let names = is_directory(&worktrees).then(|| std::fs::read_dir(&worktrees));
        let mut linked: Vec<PathBuf> = names
            .into_iter()
            .flatten()
            .flatten()
            .take(NEIGHBOURS_MAX)
            .filter_map(|entry| {
                let name = Path::new("worktrees").join(entry.ok()?.file_name());
                let (own, directory) = (below.join(&name), host.join(&name));
                let is_whole = || {
                    let tree = linked_tree(&directory).and_then(|tree| real(&tree).ok());
                    tree.is_some_and(|tree| self.ground.holds(&tree) && is_there(&tree.join(".git")))
                };
                (is_directory(&directory) && (own == self.own || is_whole())).then_some(own)
            })
            .collect();
        linked.sort_unstable();
        main.into_iter().chain(linked).collect()
    }

    /// Git directories of submodules; their names may have slashes.
    fn modules(&mut self, directory: &Path, depth: usize) -> Result<(), Unfit> {
        // A link may be what a run that wrote this directory has left, and what it leads to would be shown inside.
        let names = is_directory(&self.host.join(directory))
            .then(|| std::fs::read_dir(self.host.join(directory)).ok())
            .flatten();
        let Some(names) = names else {
            return Ok(());
        };
        if depth > MODULES_DEPTH {
            return Err(Unfit::TooMany);
        }
        for entry in names {
            let entry = entry.map_err(|_| Unfit::Unreadable(self.host.join(directory)))?;
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let below = directory.join(entry.file_name());
            if is_there(&self.host.join(&below).join("HEAD")) {
                self.part(below)?;
            } else {
                self.modules(&below, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// The work tree of a git directory that is no linked one's.
pub(super) fn main_tree(host: &Path, settings: &[Setting]) -> Option<PathBuf> {
    if let Some(tree) = last(settings, "core", "worktree") {
        return lexical(host, &tree);
    }
    let is_bare = last(settings, "core", "bare").is_some_and(|value| value == b"true");
    let above = host.parent().filter(|_| !is_bare)?;
    (host.file_name() == Some(OsStr::new(".git"))).then(|| above.to_owned())
}

/// Whether it is one, and no link to one.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn part(host: &Path, below: PathBuf) -> Result<(Part, Vec<Setting>), Unfit> {
    let unreadable = |path: PathBuf| move |_| Unfit::Unreadable(path);
    let config = host.join("config");
    let text = read_file(CWD, config.clone(), CONFIG_BYTES_MAX).map_err(unreadable(config))?;
    let settings = settings(&text);
    let sha256 = check_format(&settings)?;
    if is_there(&host.join("reftable")) {
        return Err(Unfit::Reftable);
    }
    if let Some(foreign) = FOREIGN.iter().find(|name| is_there(&host.join(name))) {
        return Err(Unfit::Foreign(foreign));
    }
    let head = host.join("HEAD");
    if !head.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Unfit::Unreadable(head));
    }
    check_index(host)?;
    // A link may be what a run that wrote this directory has left, and what it leads to would be shown inside.
    let objects = host.join("objects");
    if !objects.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Unfit::Unreadable(objects));
    }
    let mut stores = Vec::new();
    store(
        &real(&objects).map_err(|_| Unfit::Unreadable(objects))?,
        &mut stores,
        0,
    )?;
    let part = Part {
        below,
        stores,
        sha256,
        trees: Vec::new(),
    };
    Ok((part, settings))
}

/// Whether objects have names of 64 digits.
pub(super) fn check_format(settings: &[Setting]) -> Result<bool, Unfit> {
    let version = last(settings, "core", "repositoryformatversion").unwrap_or_else(|| b"0".to_vec());
    if version != b"0" && version != b"1" {
        return Err(Unfit::Format(String::from_utf8_lossy(&version).into_owned()));
    }
    let mut sha256 = false;
    for setting in settings {
        match (
            setting.section.as_slice(),
            setting.key.as_slice(),
            setting.value.as_slice(),
        ) {
            (b"extensions", b"objectformat", b"sha256") => sha256 = true,
            (b"extensions", b"objectformat", b"sha1")
            | (b"extensions", b"refstorage", b"files")
            | (b"extensions", b"noop" | b"worktreeconfig" | b"relativeworktrees" | b"preciousobjects", _) => {
            }
            (b"extensions", b"refstorage", _) => return Err(Unfit::Reftable),
            (b"extensions", b"partialclone", _) | (b"remote", b"promisor", _) => return Err(Unfit::Partial),
            (b"extensions", key, _) => {
                return Err(Unfit::Format(String::from_utf8_lossy(key).into_owned()));
            }
            (b"index", b"sparse", b"true") | (b"core", b"splitindex", b"true") => return Err(Unfit::Index),
            _ => {}
        }
    }
    Ok(sha256)
}

/// A split index has another file beside it.
fn check_index(git_dir: &Path) -> Result<(), Unfit> {
    let names = std::fs::read_dir(git_dir).map_err(|_| Unfit::Unreadable(git_dir.to_owned()))?;
    let split = |entry: std::fs::DirEntry| entry.file_name().as_bytes().starts_with(b"sharedindex.");
    if names.filter_map(Result::ok).any(split) {
        return Err(Unfit::Index);
    }
    Ok(())
}

/// A directory of objects, and those that it borrows from (gitrepository-layout(5), `objects/info/alternates`).
fn store(directory: &Path, stores: &mut Vec<PathBuf>, depth: usize) -> Result<(), Unfit> {
    if stores.iter().any(|known| known == directory) || depth > ALTERNATE_DEPTH {
        return Ok(());
    }
    if stores.len() >= STORES_MAX {
        return Err(Unfit::TooMany);
    }
    // The list may be what a run that wrote this directory has left; what it names is shown inside.
    if depth > 0 && !holds_objects_alone(directory) {
        return Err(Unfit::Borrowed(directory.to_owned()));
    }
    stores.push(directory.to_owned());
    let file = directory.join("info/alternates");
    if !is_there(&file) {
        return Ok(());
    }
    let text = read_file(CWD, file.clone(), CONFIG_BYTES_MAX).map_err(|_| Unfit::Unreadable(file))?;
    for line in text.split(|byte| *byte == b'\n') {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        // One that isn't there is passed over by git as well.
        if let Ok(path) = real(&directory.join(OsStr::from_bytes(line))) {
            store(&path, stores, depth + 1)?;
        }
    }
    Ok(())
}

/// All directories of objects that a git directory and its submodules borrow from, as far as they can be read.
pub(super) fn borrowed_by(host: &Path) -> Vec<PathBuf> {
    let mut below = vec![PathBuf::new()];
    module_directories(host, Path::new("modules"), &mut below, 0);
    let mut stores = Vec::new();
    for part in below {
        if let Ok(objects) = real(&host.join(part).join("objects")) {
            // Of what can't be shown anyway the rest needn't be known.
            store(&objects, &mut stores, 0).ok();
        }
    }
    stores.retain(|store| !store.starts_with(host));
    stores
}

fn module_directories(host: &Path, directory: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(names) = std::fs::read_dir(host.join(directory)) else {
        return;
    };
    for entry in names.filter_map(Result::ok) {
        if depth > 8 || found.len() > MODULES_MAX || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let below = directory.join(entry.file_name());
        let next = if is_there(&host.join(&below).join("HEAD")) {
            found.push(below.clone());
            below.join("modules")
        } else {
            below
        };
        module_directories(host, &next, found, depth + 1);
    }
}

/// Whether nothing but what git puts there is in a directory (gitrepository-layout(5), `objects`).
fn holds_objects_alone(directory: &Path) -> bool {
    let Ok(names) = std::fs::read_dir(directory) else {
        return false;
    };
    names.into_iter().all(|entry| {
        let Ok(entry) = entry else { return false };
        let name = entry.file_name();
        let name = name.as_bytes();
        let is_fan = name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit);
        let is_under_way = [&b"tmp_"[..], b"incoming-", b"tmp-objdir-"]
            .iter()
            .any(|begin| name.starts_with(begin));
        is_fan || is_under_way || matches!(name, b"pack" | b"info" | b"maintenance.lock")
    })
}
