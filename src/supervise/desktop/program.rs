//! Which notify-send(1) is run, and with what.
//!
//! What a sandbox may write belongs to the user who runs it. So a program is taken only where that user can replace
//! neither it nor anything on the way to it: no sandbox of theirs, this one or an earlier one, can have put it there.
//! Its path is resolved once, before anything inside runs.

use crate::sys::process::tie;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{Metadata, symlink_metadata};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

const NAME: &str = "notify-send";
/// Where it may be besides the directories of `PATH`.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
/// Directories of `PATH` that are looked at, and links on the way to one program (path_resolution(7)).
const DIRECTORIES_MAX: usize = 100;
const LINKS_MAX: usize = 40;
/// What it needs to find the session's bus, and to understand its arguments. Nothing else of aca's environment, much of
/// which a program inside is given as well.
const VARIABLES: [&str; 9] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "HOME",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
];
/// Bits of a mode: a directory in which only owners remove what is theirs (sticky), and a program.
const STICKY: u32 = 0o1000;
const EXECUTABLE: u32 = 0o111;

/// A notify-send(1) that nobody inside made.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Program {
    /// The first one of `PATH` and of the system's places that may be taken; `None` also where there is no desktop.
    pub(super) fn find() -> Option<Self> {
        let environment: Vec<_> = VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?)))
            .collect();
        let bus = environment.first().map(|(name, _)| *name);
        if bus != VARIABLES.first().copied() {
            return None;
        }
        let user = rustix::process::geteuid();
        // Root can replace everything: then what is the system's own must do.
        let listed = match user.is_root() {
            true => OsString::new(),
            false => std::env::var_os("PATH").unwrap_or_default(),
        };
        let listed = std::env::split_paths(&listed).take(DIRECTORIES_MAX);
        let user = (!user.is_root()).then(|| user.as_raw());
        let path = listed
            .filter(|directory| directory.is_absolute())
            .chain(PLACES.map(PathBuf::from))
            .find_map(|directory| settle(&directory.join(NAME), user))?;
        Some(Self { path, environment })
    }

    /// A command that holds nothing of ours, and ends with us.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Not of the terminal's group: its signals are for the program inside.
            .process_group(0);
        tie(&mut command);
        command
    }
}

/// Where a path really leads, if that is a program, and that user can change nothing about it.
fn settle(path: &Path, user: Option<u32>) -> Option<PathBuf> {
    let (mut at, mut directory) = (PathBuf::from("/"), symlink_metadata("/").ok()?);
    let mut left: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            directory = symlink_metadata(&at).ok()?;
            continue;
        }
        let next = at.join(&name);
        let metadata = symlink_metadata(&next).ok()?;
        if user.is_some_and(|user| is_replaceable(&at, &directory, &metadata, user)) {
            return None;
        }
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            let target = std::fs::read_link(&next).ok()?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                directory = symlink_metadata("/").ok()?;
            }
            for name in names(&target).into_iter().rev() {
                left.push_front(name);
            }
            continue;
        }
        (at, directory) = (next, metadata);
    }
    let is_program = directory.is_file() && directory.mode() & EXECUTABLE != 0;
    let is_theirs = user.is_some_and(|user| directory.uid() == user || is_writable(&at));
    (is_program && !is_theirs).then_some(at)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// Whether a user can put something else in the place of an entry.
fn is_replaceable(at: &Path, directory: &Metadata, entry: &Metadata, user: u32) -> bool {
    // Owners give themselves what they lack.
    if directory.uid() == user || entry.uid() == user {
        return true;
    }
    directory.mode() & STICKY == 0 && is_writable(at)
}

fn is_writable(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_its_user_can_replace_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let own = symlink_metadata(place.path()).unwrap().uid();
        let program = place.path().join(NAME);
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        assert_eq!(settle(&program, None), None, "it is no program");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let link = place.path().join("link");
        symlink("./x/../notify-send", &link).unwrap();
        std::fs::create_dir(place.path().join("x")).unwrap();
        let real = settle(&program, None).unwrap();
        assert_eq!(settle(&link, None), Some(real));
        assert_eq!(settle(&program, Some(own)), None);
        // A link in there to what is nobody's but the system's.
        let shell = place.path().join("shell");
        symlink("/bin/sh", &shell).unwrap();
        assert_eq!(settle(&shell, Some(own)), None);
        assert!(settle(&shell, None).is_some());
        symlink("loop", place.path().join("loop")).unwrap();
        assert_eq!(settle(&place.path().join("loop"), None), None);
        assert_eq!(settle(Path::new("/bin"), None), None, "a directory");
    }
}
