//! Submodules that are got inside (`git submodule add`, `git submodule update --init`): the repository outside gets their
//! git directory.
//!
//! A new repository is made beside, with a few settings of a known form, and what was done inside is brought into it as
//! into any other; then it is renamed to its place in `modules`. Hooks and other settings stay inside.

use super::ground::relative;
use super::kept::going_in;
use super::layout::{Layout, MODULES_DEPTH, MODULES_MAX, Part, check_format};
use super::new_tree::Unready;
use super::read::{self, Opened, Refs, beneath};
use crate::facts::beneath::{open_directory, read_below, read_file, status};
use crate::facts::git_config::{CONFIG_BYTES_MAX, Setting, last, settings};
use crate::facts::git_pointer::lexical;
use crate::git::ref_files::Head;
use crate::git::ref_name::RefName;
use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Most names that are looked at in one directory of submodules.
const NAMES_MAX: usize = 10_000;
/// Longest name, and longest content of a ref.
const NAME_MAX: usize = 200;
const REF_BYTES_MAX: usize = 4096;
/// Settings that say of the file system what git found; they are the same for all repositories of a place.
const PLACE: [&str; 4] = ["filemode", "symlinks", "ignorecase", "precomposeunicode"];
/// Besides those, settings of a new repository that are made anew.
const MADE: [&str; 4] = ["repositoryformatversion", "bare", "logallrefupdates", "worktree"];

/// One that was got inside.
pub(super) struct NewPart {
    pub(super) part: Part,
    /// Its work tree, from its git directory.
    worktree: PathBuf,
    pub(super) head: Head,
    /// Settings of the inside's that need no word.
    pub(super) usual: Vec<u8>,
}

/// Git directories beneath `holder`/modules of a private git directory, and the directories that were looked at for them.
pub(super) struct Found {
    pub(super) parts: Vec<PathBuf>,
    pub(super) seen: Vec<PathBuf>,
}

/// Looks for git directories of submodules, without a link on the way.
pub(super) fn found(root: &OwnedFd, holder: &Path) -> Found {
    let mut found = Found {
        parts: Vec::new(),
        seen: Vec::new(),
    };
    let below = holder.join("modules");
    if let Ok(directory) = beneath(root.as_fd(), &below) {
        walk(&directory, &below, &mut found, 0);
    }
    found
}

fn walk(directory: &OwnedFd, below: &Path, found: &mut Found, depth: usize) {
    found.seen.push(below.to_owned());
    let names = read::names(directory).unwrap_or_default();
    for (name, kind) in names.into_iter().take(NAMES_MAX) {
        if found.parts.len() > MODULES_MAX || found.seen.len() > MODULES_MAX {
            return;
        }
        if kind != FileType::Directory {
            continue;
        }
        let Ok(inner) = open_directory(directory, name.as_c_str()) else {
            continue;
        };
        let below = below.join(OsStr::from_bytes(name.to_bytes()));
        if status(&inner, c"HEAD").is_ok() {
            found.parts.push(below);
        } else if depth < MODULES_DEPTH {
            walk(&inner, &below, found, depth + 1);
        }
    }
}

/// Reads one; `is_known` tells directories of parts and of work trees.
pub(super) fn look(
    root: &OwnedFd,
    below: &Path,
    layout: &Layout,
    is_known: &dyn Fn(&Path) -> bool,
) -> Result<NewPart, Unready> {
    check_name(below, &layout.host, is_known)?;
    let unfinished = Unready("it was never finished");
    let text = read_below(root, &below.join("config"), CONFIG_BYTES_MAX);
    let (text, _) = text.map_err(|_| unfinished)?;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(Unready("its configuration is too long"));
    }
    let settings = settings(&text);
    let sha256 = check_format(&settings).map_err(|_| Unready("its format isn't known here"))?;
    let host = layout.host.join(below);
    let tree = last(&settings, "core", "worktree").ok_or(unfinished)?;
    let tree = lexical(&host, &tree).ok_or(Unready("its work tree is no path"))?;
    if !layout.ground.takes(&tree, &host) {
        return Err(Unready(
            "its work tree lies where the run doesn't write, or the `.git` in there names another git directory",
        ));
    }
    let worktree = relative(&host, &tree);
    let is_plain = worktree
        .to_str()
        .is_some_and(|path| !path.chars().any(char::is_control));
    if !is_plain {
        return Err(Unready("the name of its work tree isn't text"));
    }
    let part = Part {
        below: below.to_owned(),
        stores: vec![host.join("objects")],
        sha256,
        trees: vec![below.to_owned()],
    };
    let inside = Opened::open(root, below, below, part.format()).map_err(|_| unfinished)?;
    let head = inside.head().ok_or(unfinished)?;
    let usual = |setting: &&Setting| match setting.section.as_slice() {
        b"core" => PLACE.iter().chain(&MADE).any(|key| setting.key == key.as_bytes()),
        b"extensions" => setting.key == b"objectformat",
        _ => false,
    };
    let usual: Vec<Setting> = settings.iter().filter(usual).cloned().collect();
    Ok(NewPart {
        part,
        worktree,
        head,
        usual: going_in(&usual),
    })
}

/// Whether a place in the host's git directory is free, nothing on the way to it is anything but what git makes there, and
/// no other name is there which some file systems take for this one.
fn check_name(below: &Path, host: &Path, is_known: &dyn Fn(&Path) -> bool) -> Result<(), Unready> {
    let mut above = PathBuf::new();
    for component in below.components() {
        let odd = Unready("its name isn't one that git gives");
        let Component::Normal(name) = component else {
            return Err(odd);
        };
        let text = name.to_str().filter(|text| is_name(text)).ok_or(odd)?;
        let here = host.join(&above);
        if is_known(&above) {
            if !matches!(text, "modules" | "worktrees") {
                return Err(odd);
            }
        } else if here.join("HEAD").symlink_metadata().is_ok() {
            return Err(Unready("it lies in another repository"));
        }
        if let Ok(metadata) = here.symlink_metadata() {
            if !metadata.is_dir() {
                return Err(Unready("something else is there outside"));
            }
            let alike = fs::read_dir(&here).into_iter().flatten().any(|entry| {
                let Ok(entry) = entry else { return true };
                let other = entry.file_name();
                other != name && other.eq_ignore_ascii_case(name)
            });
            if alike {
                return Err(Unready(
                    "outside there is one whose name differs in capital letters alone",
                ));
            }
        }
        above.push(name);
    }
    if host.join(below).symlink_metadata().is_ok() {
        return Err(Unready("something of that name is there outside"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let reserved = ["head", ".git", "git~1"];
    name.len() <= NAME_MAX
        && !name.chars().any(char::is_control)
        && !name.ends_with(".lock")
        && !name.starts_with('-')
        && !reserved
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Makes the repository, in which nothing is yet.
pub(super) fn begin(new: &NewPart, at: &Path, layout: &Layout) -> io::Result<()> {
    super::new_tree::discard(at)?;
    for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        DirBuilder::new().recursive(true).create(at.join(directory))?;
    }
    let head = match &new.head {
        Head::Branch(name) => format!("ref: {name}\n"),
        Head::Detached(_) => format!("ref: {}\n", unborn()),
    };
    fs::write(at.join("HEAD"), head)?;
    let version = u8::from(new.part.sha256);
    let mut text =
        format!("[core]\n\trepositoryformatversion = {version}\n\tbare = false\n\tlogallrefupdates = true\n");
    let of_host = read_file(CWD, layout.host.join("config"), CONFIG_BYTES_MAX).unwrap_or_default();
    let of_host = settings(&of_host);
    for key in PLACE {
        let value = last(&of_host, "core", key);
        if let Some(value) = value.filter(|value| value == b"true" || value == b"false") {
            text.push_str(&format!("\t{key} = {}\n", String::from_utf8_lossy(&value)));
        }
    }
    let tree = new
        .worktree
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    text.push_str(&format!("\tworktree = \"{tree}\"\n"));
    if new.part.sha256 {
        text.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    fs::write(at.join("config"), text)
}

/// A branch that `HEAD` stands at before it is a commit.
pub(super) const fn unborn() -> &'static str {
    "refs/heads/main"
}

/// What its remotes call their default branch (`refs/remotes/NAME/HEAD`).
pub(super) fn defaults(root: &OwnedFd, below: &Path, at: &Path, refs: &Refs) -> io::Result<()> {
    let remotes: BTreeSet<&str> = refs
        .keys()
        .filter_map(|name| name.as_str().strip_prefix("refs/remotes/")?.split('/').next())
        .collect();
    for remote in remotes {
        let name = format!("refs/remotes/{remote}/HEAD");
        let Ok((text, _)) = read_below(root, &below.join(&name), REF_BYTES_MAX) else {
            continue;
        };
        let branch = text
            .strip_prefix(b"ref: ")
            .and_then(|text| str::from_utf8(text.trim_ascii_end()).ok())
            .and_then(|text| text.parse::<RefName>().ok());
        let is_its = |branch: &RefName| {
            let own = branch.as_str().strip_prefix("refs/remotes/");
            own.is_some_and(|own| own.split('/').next() == Some(remote)) && refs.contains_key(branch)
        };
        if let Some(branch) = branch.filter(is_its) {
            let file = at.join(&name);
            if let Some(above) = file.parent() {
                DirBuilder::new().recursive(true).create(above)?;
            }
            fs::write(file, format!("ref: {branch}\n"))?;
        }
    }
    Ok(())
}

/// Puts it to its place.
pub(super) fn finish(at: &Path, layout: &Layout, below: &Path) -> io::Result<()> {
    let place = layout.host.join(below);
    if let Some(above) = place.parent() {
        DirBuilder::new().recursive(true).create(above)?;
    }
    Ok(renameat_with(CWD, at, CWD, &place, RenameFlags::NOREPLACE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path();
        for made in [
            "modules/known/modules",
            "modules/other/hooks",
            "modules/Case",
            "worktrees/w",
        ] {
            fs::create_dir_all(host.join(made)).unwrap();
        }
        for made in [
            "HEAD",
            "modules/known/HEAD",
            "modules/other/HEAD",
            "worktrees/w/HEAD",
        ] {
            fs::write(host.join(made), "").unwrap();
        }
        std::os::unix::fs::symlink("/tmp", host.join("modules/link")).unwrap();
        let known = |path: &Path| {
            ["", "modules/known", "worktrees/w"]
                .iter()
                .any(|known| path == Path::new(known))
        };
        let check = |below: &str| check_name(Path::new(below), host, &known);
        for good in [
            "modules/new",
            "modules/lib/new",
            "modules/known/modules/new",
            "worktrees/w/modules/new",
            "modules/Case/x",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "modules/known",
            "modules/known/hooks",
            "modules/known/x/y",
            "modules/other/hooks/x",
            "modules/case",
            "modules/case/x",
            "Modules/x",
            "modules/link/x",
            "modules/HEAD",
            "modules/x/head",
            "modules/.git",
            "modules/../x",
            "modules/-x",
            "modules/x.lock",
            "hooks/x",
            "worktrees/v/../x",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
