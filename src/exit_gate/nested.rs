//! Repositories that a run made in the project: whether git outside would start something of theirs.
//!
//! Git enters a repository that lies in another one by itself, where a commit or the index has it as a submodule: `git
//! status` of the outer one runs `git status` in it, and that obeys the configuration there (`core.fsmonitor`, filters,
//! `include`). So one that isn't plain is put away at the end of the run, before anybody has looked. A plain one, as `git
//! clone` and `git init` make them, stays, and is told like other files that run later: its hooks run only when somebody
//! works in it.
//!
//! What is plain is a list, and so is the form of the file: two who read one configuration differently would be a way
//! around it.

use super::mend::{MendError, parent};
use crate::facts::beneath::{open_directory, read_file, status};
use crate::facts::git_config::{CONFIG_BYTES_MAX, Setting, settings};
use crate::facts::git_pointer::{lexical, pointed_at};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Longest file that names a git directory.
const POINTER_BYTES_MAX: usize = 8192;

/// Settings that start nothing and lead nowhere, whatever their value is (git-config(1)).
const PLAIN: &[(&str, &[&str])] = &[
    ("advice", &["*"]),
    (
        "branch",
        &["merge", "rebase", "remote", "pushremote", "description"],
    ),
    ("color", &["*"]),
    ("commit", &["gpgsign"]),
    (
        "core",
        &[
            "abbrev",
            "autocrlf",
            "bare",
            "bigfilethreshold",
            "compression",
            "eol",
            "filemode",
            "ignorecase",
            "logallrefupdates",
            "longpaths",
            "loosecompression",
            "precomposeunicode",
            "protecthfs",
            "protectntfs",
            "quotepath",
            "repositoryformatversion",
            "safecrlf",
            "sharedrepository",
            "sparsecheckout",
            "sparsecheckoutcone",
            "symlinks",
            "trustctime",
            "untrackedcache",
        ],
    ),
    (
        "extensions",
        &[
            "noop",
            "objectformat",
            "preciousobjects",
            "relativeworktrees",
            "worktreeconfig",
        ],
    ),
    ("gc", &["auto", "autodetach", "autopacklimit"]),
    ("lfs", &["repositoryformatversion", "access", "locksverify"]),
    ("maintenance", &["auto", "strategy"]),
    ("merge", &["conflictstyle", "ff"]),
    ("pull", &["ff", "rebase"]),
    ("push", &["autosetupremote", "default", "followtags"]),
    ("rebase", &["autosquash", "autostash", "updaterefs"]),
    (
        "remote",
        &[
            "fetch",
            "followremotehead",
            "prune",
            "push",
            "pushurl",
            "tagopt",
            "url",
        ],
    ),
    (
        "submodule",
        &[
            "active",
            "branch",
            "fetchrecursesubmodules",
            "ignore",
            "recurse",
            "url",
        ],
    ),
    ("tag", &["gpgsign"]),
    ("user", &["email", "name", "useconfigonly"]),
];
/// Settings that are plain with one value: what Git LFS writes, and what switches something off.
const PLAIN_VALUES: &[(&str, &str, &str)] = &[
    ("core", "fsmonitor", "false"),
    ("filter", "clean", "git-lfs clean -- %f"),
    ("filter", "process", "git-lfs filter-process"),
    ("filter", "required", "true"),
    ("filter", "smudge", "git-lfs smudge -- %f"),
    ("index", "sparse", "false"),
    ("submodule", "update", "checkout"),
    ("submodule", "update", "none"),
];

/// What git outside would obey of the repository whose `.git` is at `path` beneath `root`, in words; nothing where it is
/// plain, or gone. `trusted` is a git directory that nothing inside could write.
#[must_use]
pub fn obeyed(root: &Path, path: &Path, trusted: Option<&Path>) -> Option<String> {
    let (directory, name) = match parent(root, path) {
        Ok(found) => found,
        // Git doesn't enter by itself what a link leads to.
        Err(MendError::Directory {
            source: Errno::NOENT | Errno::LOOP | Errno::NOTDIR,
            ..
        }) => return None,
        Err(error) => return Some(format!("it can't be looked at: {error}")),
    };
    let kind = match status(&directory, name) {
        Ok(found) => FileType::from_raw_mode(found.st_mode),
        Err(Errno::NOENT) => return None,
        Err(errno) => return Some(format!("it can't be looked at: {errno}")),
    };
    let tree = root.join(path.parent().unwrap_or(Path::new("")));
    let looked = match kind {
        FileType::Directory => open_directory(&directory, name)
            .map_err(unreadable)
            .and_then(|opened| git_directory(&opened, &tree.join(name), &tree, false)),
        FileType::RegularFile => pointer(root, &directory, name, &tree, trusted),
        FileType::Symlink => Err("it is a link to another place".into()),
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Err("it is no file".into()),
    };
    looked.err()
}

fn unreadable(errno: Errno) -> String {
    format!("its git directory can't be read: {errno}")
}

/// A file that names the git directory (gitrepository-layout(5)).
fn pointer(
    root: &Path,
    directory: &OwnedFd,
    name: &OsStr,
    tree: &Path,
    trusted: Option<&Path>,
) -> Result<(), String> {
    let text = read_file(directory, name, POINTER_BYTES_MAX).map_err(unreadable)?;
    // What git doesn't take for one is no way to anywhere.
    if !text.starts_with(b"gitdir:") {
        return Ok(());
    }
    let named = pointed_at(tree, &text).ok_or("what it names is no path")?;
    if trusted.is_some_and(|trusted| named.starts_with(trusted)) {
        return Ok(());
    }
    let opened = inside(root, &named)?;
    git_directory(&opened, &named, tree, true)?;
    let common = match read_file(&opened, c"commondir", POINTER_BYTES_MAX) {
        Ok(text) => text,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(unreadable(errno)),
    };
    let line = common.strip_suffix(b"\n").unwrap_or(&common);
    let common = lexical(&named, line).ok_or("its `commondir` is no path")?;
    if trusted.is_some_and(|trusted| common == trusted) {
        return Ok(());
    }
    git_directory(&inside(root, &common)?, &common, tree, false)
}

/// A git directory in the project.
fn inside(root: &Path, named: &Path) -> Result<OwnedFd, String> {
    let elsewhere = || "it names a git directory elsewhere".to_owned();
    let below = named.strip_prefix(root).map_err(|_| elsewhere())?;
    let (directory, name) = parent(root, below).map_err(|_| elsewhere())?;
    open_directory(directory, name).map_err(|_| elsewhere())
}

/// `at` is its path, `tree` its work tree's; `linked` is one that may share another one's.
fn git_directory(opened: &OwnedFd, at: &Path, tree: &Path, linked: bool) -> Result<(), String> {
    if !linked && status(opened, c"commondir").is_ok() {
        return Err("its `commondir` leads to another git directory".into());
    }
    for name in ["config", "config.worktree"] {
        match read_file(opened.as_fd(), name, CONFIG_BYTES_MAX) {
            Ok(text) => config(&text, at, tree)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(unreadable(errno)),
        }
    }
    match status(opened, c"hooks").map(|found| FileType::from_raw_mode(found.st_mode)) {
        Err(Errno::NOENT) => return Ok(()),
        Ok(FileType::Directory) => {}
        Ok(_) | Err(_) => return Err("its `hooks` lead elsewhere".into()),
    }
    let hooks = open_directory(opened, c"hooks").map_err(unreadable)?;
    // The one hook that a mere look runs: it writes the index (githooks(5)).
    if status(&hooks, c"post-index-change").is_ok() {
        return Err("its hook `post-index-change` runs when git looks at it".into());
    }
    Ok(())
}

fn config(text: &[u8], at: &Path, tree: &Path) -> Result<(), String> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err("its configuration is too long to be looked at".into());
    }
    if !text.split(|byte| *byte == b'\n').all(is_simple_line) {
        return Err("its configuration isn't in the form in which git writes it".into());
    }
    let all = settings(text);
    let odd = all.iter().find(|setting| !is_plain(setting, at, tree));
    odd.map_or(Ok(()), |odd| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = odd
            .subsection
            .iter()
            .fold(text(&odd.section), |all, name| format!("{all}.{}", text(name)));
        Err(format!(
            "its configuration sets {name}.{} to `{}`",
            text(&odd.key),
            text(&odd.value)
        ))
    })
}

/// Nothing that goes on in the next line, no heading with anything behind it, and no odd heading.
fn is_simple_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.ends_with(b"\\") || line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return false;
    }
    let Some(heading) = line.strip_prefix(b"[") else {
        return true;
    };
    let Some(heading) = heading.strip_suffix(b"]") else {
        return false;
    };
    let mut parts = heading.splitn(2, |byte| *byte == b' ');
    let section = parts.next().unwrap_or_default();
    let is_word = section
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let subsection = parts.next().is_none_or(|rest| {
        let inner = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        inner.is_some_and(|inner| !inner.iter().any(|byte| matches!(byte, b'"' | b'\\')))
    });
    is_word && !section.is_empty() && subsection
}

fn is_plain(setting: &Setting, at: &Path, tree: &Path) -> bool {
    let (section, key) = (setting.section.as_slice(), setting.key.as_slice());
    let is = |text: &str, bytes: &[u8]| text.as_bytes() == bytes;
    let listed = PLAIN
        .iter()
        .filter(|(name, _)| is(name, section))
        .flat_map(|(_, keys)| *keys)
        .any(|name| *name == "*" || is(name, key));
    let valued = PLAIN_VALUES
        .iter()
        .any(|(name, own, value)| is(name, section) && is(own, key) && is(value, &setting.value));
    // The filter is Git LFS's own where the name is: another's would be what the user has under it.
    let named = section != b"filter" || setting.subsection.as_deref() == Some(b"lfs");
    let leads_back =
        (section, key) == (b"core", b"worktree") && lexical(at, &setting.value).as_deref() == Some(tree);
    listed || (valued && named) || leads_back
}
