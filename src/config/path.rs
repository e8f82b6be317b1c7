//! Paths as written in files and flags: checked when read, resolved when the layers are merged.

use super::Bases;
use std::{
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// A path as written: absolute, beneath the home (`~/x`), or relative; without `..` except at the beginning of a
/// relative one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPath {
    base: Base,
    ups: usize,
    rest: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Root,
    Home,
    Relative,
}

/// Where relative paths start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the project: files.
    Project,
    /// At the current directory: flags.
    Current,
}

/// Why a text is no such path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing.
    #[error("an empty path")]
    Empty,
    /// A NUL byte.
    #[error("a path with a NUL byte")]
    Nul,
    /// A `..` that a symlink before it would make mean something else.
    #[error("`{}`: `..` can stand at the beginning of a relative path only", .0.display())]
    Parent(PathBuf),
    /// The home of someone else.
    #[error("`{}`: `~` stands for your own home only", .0.display())]
    OtherHome(PathBuf),
}

impl WrittenPath {
    /// Reads a path.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn parse(text: &OsStr) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.as_bytes().contains(&0) {
            return Err(PathError::Nul);
        }
        let written = Path::new(text);
        let mut found = Self {
            base: Base::Relative,
            ups: 0,
            rest: PathBuf::new(),
        };
        for (index, component) in written.components().enumerate() {
            match component {
                Component::RootDir => found.base = Base::Root,
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) if index == 0 && name == "~" => found.base = Base::Home,
                Component::Normal(name) if index == 0 && name.as_bytes().first() == Some(&b'~') => {
                    return Err(PathError::OtherHome(written.to_owned()));
                }
                Component::Normal(name) => found.rest.push(name),
                Component::ParentDir if found.base == Base::Relative && found.rest.as_os_str().is_empty() => {
                    found.ups += 1
                }
                Component::ParentDir => return Err(PathError::Parent(written.to_owned())),
            }
        }
        Ok(found)
    }

    /// Whether it holds `*` or `?`, which then are patterns.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.rest
            .as_os_str()
            .as_bytes()
            .iter()
            .any(|byte| matches!(byte, b'*' | b'?'))
    }

    /// The absolute path. Above the root is the root, as for the kernel.
    pub(super) fn resolve(&self, bases: Bases<'_>, start: Start) -> PathBuf {
        let base = match (self.base, start) {
            (Base::Root, _) => Path::new("/"),
            (Base::Home, _) => bases.home,
            (Base::Relative, Start::Project) => bases.project,
            (Base::Relative, Start::Current) => bases.current,
        };
        let base = base.ancestors().nth(self.ups).unwrap_or(Path::new("/"));
        // Pushing an empty path would add a slash at the end.
        if self.rest.as_os_str().is_empty() {
            base.to_owned()
        } else {
            base.join(&self.rest)
        }
    }
}

impl fmt::Display for WrittenPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Root => write!(formatter, "/{}", self.rest.display()),
            Base::Home if self.rest.as_os_str().is_empty() => write!(formatter, "~"),
            Base::Home => write!(formatter, "~/{}", self.rest.display()),
            Base::Relative if self.ups == 0 && self.rest.as_os_str().is_empty() => write!(formatter, "."),
            Base::Relative => write!(formatter, "{}{}", "../".repeat(self.ups), self.rest.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bases() -> Bases<'static> {
        Bases {
            home: Path::new("/home/u"),
            project: Path::new("/work/p"),
            current: Path::new("/work/p/sub"),
        }
    }

    fn resolved(text: &str, start: Start) -> PathBuf {
        WrittenPath::parse(OsStr::new(text))
            .unwrap()
            .resolve(bases(), start)
    }

    #[test]
    fn resolved_against_their_base() {
        for (text, start, expected) in [
            ("/etc//hosts/", Start::Project, "/etc/hosts"),
            ("/", Start::Project, "/"),
            ("~", Start::Project, "/home/u"),
            ("~/x/./y", Start::Current, "/home/u/x/y"),
            ("x", Start::Project, "/work/p/x"),
            ("x", Start::Current, "/work/p/sub/x"),
            (".", Start::Current, "/work/p/sub"),
            ("../x", Start::Current, "/work/p/x"),
            ("../../../../../x", Start::Current, "/x"),
            ("a/~", Start::Project, "/work/p/a/~"),
            ("./~x", Start::Project, "/work/p/~x"),
        ] {
            assert_eq!(resolved(text, start), Path::new(expected), "{text}");
        }
    }

    #[test]
    fn refused_where_the_meaning_would_hang_on_links() {
        for text in ["", "a/../b", "/..", "/a/..", "~/..", "~root/x", "a\0b", "../a/.."] {
            assert!(WrittenPath::parse(OsStr::new(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_pass() {
        let path = WrittenPath::parse(OsStr::from_bytes(b"/a/\xff"))
            .unwrap()
            .resolve(bases(), Start::Current);
        assert_eq!(path.as_os_str().as_bytes(), b"/a/\xff");
    }

    proptest! {
        #[test]
        fn never_a_dot_component(text in "[a~./*]{0,12}") {
            if let Ok(written) = WrittenPath::parse(OsStr::new(&text)) {
                let path = written.resolve(bases(), Start::Current);
                prop_assert!(path.is_absolute());
                prop_assert!(path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_))));
                let exact: PathBuf = path.components().collect();
                prop_assert_eq!(exact.as_os_str(), path.as_os_str());
            }
        }
    }
}
