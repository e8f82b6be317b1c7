//! Where a path leads inside: names are looked up as a program there would, link by link, in the view instead of the
//! host's tree.

use crate::plan::{Seen, View};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Most links on the way (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Without links and `..`.
    pub(super) path: PathBuf,
    /// What is found there.
    pub(super) seen: Seen,
    /// Why it leads nowhere.
    pub(super) broken: Option<&'static str>,
}

/// Follows `path` inside.
pub(super) fn resolve(view: &View, path: &Path) -> Resolved {
    let mut here = PathBuf::from("/");
    let mut seen = Seen::Made;
    let mut links = 0;
    let mut waiting: Vec<OsString> = parts(path);
    while let Some(name) = waiting.pop() {
        if name == ".." {
            if !is_passed(&seen) {
                return Resolved {
                    path: here,
                    seen,
                    broken: Some("a directory on the way is not there inside"),
                };
            }
            here.pop();
            seen = view.seen(&here);
            continue;
        }
        let next = here.join(&name);
        seen = view.seen(&next);
        let target = match &seen {
            Seen::Link(target) => Some(target.clone()),
            Seen::Host(host) => std::fs::read_link(host).ok(),
            Seen::Made | Seen::Covered | Seen::Kernel | Seen::Empty | Seen::Absent => None,
        };
        match target {
            Some(target) if links < LINKS_MAX => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                waiting.extend(parts(&target));
                seen = view.seen(&here);
            }
            Some(_) => {
                return Resolved {
                    path: next,
                    seen,
                    broken: Some("symbolic links on the way lead in a circle"),
                };
            }
            None => here = next,
        }
    }
    Resolved {
        path: here,
        seen,
        broken: None,
    }
}

/// Whether `..` leads out of it: a directory that is there.
fn is_passed(seen: &Seen) -> bool {
    match seen {
        Seen::Host(host) => is_directory(host),
        Seen::Made | Seen::Covered | Seen::Kernel => true,
        Seen::Link(_) | Seen::Empty | Seen::Absent => false,
    }
}

/// The names of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Whether the permissions of a file of the host let the user read it. Inside nobody has a capability, so for root the
/// bits alone count.
pub(super) fn may_read(path: &Path) -> bool {
    let list = if is_directory(path) {
        Access::EXEC_OK
    } else {
        Access::empty()
    };
    may(path, Access::READ_OK | list)
}

/// Whether they let the user write it, or make something in it.
pub(super) fn may_write(path: &Path) -> bool {
    let enter = if is_directory(path) {
        Access::EXEC_OK
    } else {
        Access::empty()
    };
    may(path, Access::WRITE_OK | enter)
}

/// Whether they let the user execute it, and it is a file.
pub(super) fn may_execute(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) && may(path, Access::EXEC_OK)
}

fn is_directory(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn may(path: &Path, wanted: Access) -> bool {
    if accessat(CWD, path, wanted, AtFlags::EACCESS).is_err() {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    let shift = if metadata.uid() == 0 {
        6
    } else if metadata.gid() == rustix::process::getegid().as_raw() {
        3
    } else {
        0
    };
    (metadata.mode() >> shift) & wanted.bits() == wanted.bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Entry, Kind};
    use crate::policy::{Origin, Place};
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_those_inside() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("host");
        std::fs::create_dir_all(host.join("sub")).unwrap();
        for (at, target) in [
            ("up", "../inner"),
            ("out", "/elsewhere/x"),
            ("round", "round"),
            ("sub/back", ".."),
        ] {
            symlink(target, host.join(at)).unwrap();
        }
        let origin = Origin::BuiltIn("t".into());
        let view = View {
            entries: vec![
                Entry::Scratch {
                    at: "/s".into(),
                    size_bytes: 1,
                    mode: 0o700,
                    place: Place::Private,
                    origin: origin.clone(),
                },
                Entry::Show {
                    source: host,
                    at: "/s/p".into(),
                    kind: Kind::Directory,
                    why: String::new(),
                    place: Place::System,
                    origin,
                },
                Entry::Link {
                    at: "/s/l".into(),
                    target: "p/sub".into(),
                },
            ],
        };
        for (asked, leads) in [
            ("/s/p/up/x", "/s/inner/x"),
            ("/s/p/out", "/elsewhere/x"),
            ("/s/l", "/s/p/sub"),
            ("/s/l/back/up", "/s/inner"),
            ("/s/l/..", "/s/p"),
            ("/../..", "/"),
        ] {
            let resolved = resolve(&view, Path::new(asked));
            assert_eq!(
                (resolved.path.as_path(), resolved.broken),
                (Path::new(leads), None),
                "{asked}"
            );
        }
        for broken in ["/s/p/round", "/s/p/none/../x", "/s/inner/../p", "/elsewhere/.."] {
            assert!(resolve(&view, Path::new(broken)).broken.is_some(), "{broken}");
        }
        assert_eq!(resolve(&view, Path::new("/elsewhere")).seen, Seen::Absent);
        assert_eq!(resolve(&view, Path::new("/s/inner")).seen, Seen::Empty);
    }
}
