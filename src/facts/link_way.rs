//! What a symbolic link of the project's leads over that isn't settled: links on the way, which can be replaced, and in the
//! end what isn't there, which can be made. Who makes a name there makes what the first link stands for.

use rustix::fs::{FileType, lstat, readlink};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Most links that one path leads over, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The places on the way of `link`, other than itself; all relative to `root`, which is absolute and without links. The way
/// ends where it leaves `root`, and at what is there and no link.
pub(super) fn way_of(root: &Path, link: &Path) -> Vec<PathBuf> {
    let mut way = Vec::new();
    let mut here = link.parent().unwrap_or_else(|| Path::new("")).to_owned();
    // The last comes first.
    let mut ahead: Vec<OsString> = link.file_name().map(OsStr::to_owned).into_iter().collect();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            if !here.pop() {
                return way;
            }
            continue;
        }
        let place = here.join(&name);
        match lstat(root.join(&place)) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => here = place,
            // What is there and neither a directory nor a link has no text.
            Ok(_) if links < LINKS_MAX => {
                let Ok(text) = readlink(root.join(&place), Vec::new()) else {
                    return way;
                };
                if links > 0 {
                    way.push(place);
                }
                links += 1;
                let text = PathBuf::from(OsString::from_vec(text.into_bytes()));
                let Some(text) = from_here(root, &text, &mut here) else {
                    return way;
                };
                ahead.extend(text);
            }
            Ok(_) => return way,
            Err(Errno::NOENT) => {
                let mut absent = place;
                while let Some(name) = ahead.pop() {
                    if name == ".." {
                        absent.pop();
                    } else {
                        absent.push(name);
                    }
                }
                if !absent.as_os_str().is_empty() {
                    way.push(absent);
                }
                return way;
            }
            Err(_) => return way,
        }
    }
    way
}

/// The names of a link's text, the last one first; `None` where it leads out of `root`.
fn from_here(root: &Path, text: &Path, here: &mut PathBuf) -> Option<Vec<OsString>> {
    let text = if text.is_absolute() {
        here.clear();
        text.strip_prefix(root).ok()?
    } else {
        text
    };
    let names = text.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_what_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let root = super::super::paths::real(root.path()).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        for (link, text) in [
            ("plain", "a/b"),
            ("dangling", "./a/../no/where"),
            ("a/over", "../one/x"),
            ("one", "a/two"),
            ("a/two", "b"),
            ("out", "../elsewhere"),
            ("loop", "loop"),
            ("a/b/up", "../../../x"),
            ("through", "file/x"),
        ] {
            symlink(text, root.join(link)).unwrap();
        }
        symlink(root.join("one"), root.join("whole")).unwrap();
        symlink("/elsewhere", root.join("far")).unwrap();
        for (link, expected) in [
            ("plain", vec![]),
            ("dangling", vec!["no/where"]),
            ("a/over", vec!["one", "a/two", "a/b/x"]),
            ("whole", vec!["one", "a/two"]),
            ("out", vec![]),
            ("a/b/up", vec![]),
            ("far", vec![]),
            ("through", vec![]),
        ] {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(way_of(&root, Path::new(link)), expected, "{link}");
        }
        assert!(way_of(&root, Path::new("loop")).len() <= LINKS_MAX);
    }
}
