//! Writes hosts into the user's configuration file. All else in it stays as it is: comments, order, spelling.
//!
//! The file is replaced as a whole, by a new one that was written beside it: whoever reads sees the one or the other. Where
//! a link leads to it, the link stays and its target is written in place. That may lie in a project (a repository of
//! settings), whose other files a run may write: a file beside it could be exchanged from inside before it gets its name,
//! and what keeps a run from a file goes when another one takes its place. The directory that links lead from is covered in
//! every run.

use super::{ConfigError, FileKind, excerpt::Source, schema};
use crate::policy::HostPattern;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, fallocate, fchmod, flock, fsync, openat,
    renameat, unlinkat,
};
use rustix::io::Errno;
use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// How many links may lead to the file, one after the other.
const LINKS_MAX: usize = 16;
/// Largest file that is edited: larger ones aren't read either.
const MAX_BYTES: u64 = 1 << 20;
/// How often a file that changed meanwhile is edited again.
const TRIES: usize = 5;
/// How long another one that saves is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether that one is done.
const LOOK: Duration = Duration::from_millis(20);

/// Which list a host goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `[network] allow`.
    Allow,
    /// `[network] deny`.
    Deny,
}

impl List {
    const fn key(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Why the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It isn't right as it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something else stands where the list would.
    #[error("`{key}` in {} is no {wanted}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Somebody else writes it all the time.
    #[error("{} changes all the time", .0.display())]
    Busy(PathBuf),
    /// Somebody else has it locked.
    #[error("another program holds a lock (flock) on {}", .0.display())]
    Locked(PathBuf),
    /// A call failed.
    #[error("{call} {}", path.display())]
    Call {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Adds hosts to a list of the file, which is made where it is missing. Tells where it is, and whether it changed.
///
/// # Errors
/// See [`EditError`].
pub fn save(place: &Path, list: List, hosts: &[HostPattern]) -> Result<(PathBuf, bool), EditError> {
    let path = target(place)?;
    let is_linked = path != place;
    let directory = make_directory(&path)?;
    // Two that save at once do it one after the other.
    let _locked = if is_linked {
        lock(make_directory(place)?, place)?
    } else {
        lock(
            directory
                .as_fd()
                .try_clone_to_owned()
                .map_err(|source| call("dup", &path, source))?,
            place,
        )?
    };
    for _ in 0..TRIES {
        let before = read(&path)?;
        let text = before.as_ref().map_or("", |(text, _)| text.as_str());
        let Some(after) = with_hosts(&path, text, list, hosts)? else {
            return Ok((path, false));
        };
        // What was written must be readable: else the next run would not start.
        schema::read(
            Source {
                path: path.clone(),
                text: after.clone(),
            },
            FileKind::User,
        )?;
        let written = if is_linked {
            write_in_place(&path, before.as_ref().map(|(text, _)| text.as_str()), &after)?
        } else {
            replace(&directory, &path, before.as_ref(), &after)?
        };
        if written {
            return Ok((path, true));
        }
    }
    Err(EditError::Busy(path))
}

/// The directory of a file, made where it is missing.
fn make_directory(path: &Path) -> Result<OwnedFd, EditError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| call("mkdir", directory, source))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, directory, flags, Mode::empty()).map_err(|errno| call("open", directory, errno.into()))
}

/// Locks the directory for as long as the value is there. Where there are no locks, the comparison before each write is
/// left.
fn lock(directory: OwnedFd, path: &Path) -> Result<OwnedFd, EditError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() > deadline => {
                return Err(EditError::Locked(path.parent().unwrap_or(path).to_owned()));
            }
            Err(Errno::WOULDBLOCK) => std::thread::park_timeout(LOOK),
            Err(Errno::INTR) => {}
            Ok(()) | Err(_) => return Ok(directory),
        }
    }
}

/// Puts a new file in the place of the one that was read. `false` when that isn't what it was.
fn replace(
    directory: &OwnedFd,
    path: &Path,
    before: Option<&(String, u32)>,
    after: &str,
) -> Result<bool, EditError> {
    let mode = before.map_or(0o600, |(_, mode)| *mode);
    let name = path.file_name().unwrap_or_default();
    let beside = format!(".config.toml.aca-{}", std::process::id());
    let written = write_new(directory, &beside, after, mode).map_err(|source| call("write", path, source));
    let replaced = written.and_then(|()| {
        if read(path)?.as_ref() != before {
            return Ok(false);
        }
        renameat(directory, &beside, directory, name).map_err(|errno| call("rename", path, errno.into()))?;
        // The name has to last as well.
        fsync(directory).map_err(|errno| call("fsync", path, errno.into()))?;
        Ok(true)
    });
    if !matches!(replaced, Ok(true)) {
        unlinkat(directory, &beside, AtFlags::empty()).ok();
    }
    replaced
}

/// Writes the text to the file that is there. `false` when it isn't what was read.
fn write_in_place(path: &Path, before: Option<&str>, after: &str) -> Result<bool, EditError> {
    let failed = |source| call("write", path, source);
    let safe = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = match before {
        Some(_) => OFlags::RDWR,
        None => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
    };
    let file = match openat(CWD, path, how | safe, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::EXIST | Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(call("open", path, errno.into())),
    };
    if text_of(&file, path)?.0 != before.unwrap_or_default() {
        return Ok(false);
    }
    // A disk that is full says so before anything is lost. Zeros at the end are no TOML: whoever reads meanwhile refuses.
    let room = u64::try_from(after.len()).unwrap_or(u64::MAX);
    // Not every file system can.
    if let Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) =
        fallocate(&file, FallocateFlags::empty(), 0, room)
    {
        return Err(failed(errno.into()));
    }
    file.write_all_at(after.as_bytes(), 0)
        .and_then(|()| file.set_len(room))
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(true)
}

/// The text with the hosts in that list; `None` when they stand there already. `path` is for messages.
///
/// # Errors
/// A text that isn't TOML, or that holds something else there.
pub fn with_hosts(
    path: &Path,
    text: &str,
    list: List,
    hosts: &[HostPattern],
) -> Result<Option<String>, EditError> {
    // Faults are told as the reader of configurations tells them.
    schema::read(
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        },
        FileKind::User,
    )?;
    let form = |key: &str, wanted| EditError::Form {
        path: path.to_owned(),
        key: key.to_owned(),
        wanted,
    };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|_| form("network", "TOML that can be edited"))?;
    let key = format!("network.{}", list.key());
    let network = document
        .entry("network")
        .or_insert_with(|| Item::Table(Table::new()));
    let network = network
        .as_table_like_mut()
        .ok_or_else(|| form("network", "table"))?;
    let entries = network
        .entry(list.key())
        .or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let entries = entries.as_array_mut().ok_or_else(|| form(&key, "list"))?;
    let mut changed = false;
    for host in hosts {
        let stands = |entry: &Value| {
            entry
                .as_str()
                .is_some_and(|text| text.parse::<HostPattern>().is_ok_and(|known| known == *host))
        };
        if !entries.iter().any(stands) {
            add(entries, &host.to_string());
            changed = true;
        }
    }
    Ok(changed.then(|| document.to_string()))
}

/// Adds an entry that stands as the last one does: on a line of its own where that does.
fn add(entries: &mut Array, text: &str) {
    let lines = entries
        .iter()
        .last()
        .and_then(|last| last.decor().prefix()?.as_str())
        .filter(|before| before.contains('\n'))
        // A comment before the last one is about that one.
        .and_then(|before| before.rsplit_once('\n'))
        .map(|(_, indent)| format!("\n{indent}"));
    match lines {
        Some(before) => {
            // What stands between the last one and the end, a comment maybe, stays where it is.
            let after = entries.trailing().as_str().unwrap_or_default().to_owned();
            let comment = after.rsplit_once('\n').map(|(comment, _)| comment.to_owned());
            let mut value = Value::from(text);
            let before = format!("{}{before}", comment.unwrap_or_default());
            value.decor_mut().set_prefix(before);
            if !entries.trailing_comma() {
                // A comment after the last one belongs to it, and so does its line.
                let last = entries
                    .len()
                    .checked_sub(1)
                    .and_then(|index| entries.get_mut(index));
                let suffix = last.and_then(|last| {
                    let suffix = last.decor().suffix()?.as_str()?.to_owned();
                    last.decor_mut().set_suffix("");
                    Some(suffix)
                });
                let suffix = suffix.unwrap_or_default();
                if let Some((comment, _)) = suffix.rsplit_once('\n') {
                    let prefix = value.decor().prefix().and_then(|prefix| prefix.as_str());
                    let prefix = format!("{comment}{}", prefix.unwrap_or_default());
                    value.decor_mut().set_prefix(prefix);
                }
                entries.set_trailing("\n");
            } else {
                entries.set_trailing("\n");
            }
            entries.push_formatted(value);
            entries.set_trailing_comma(true);
        }
        None => entries.push(text),
    }
}

/// Where the links lead that stand at that place. The last name need not be there.
fn target(path: &Path) -> Result<PathBuf, EditError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("/")).join(next),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(source) => return Err(call("readlink", &path, source)),
        }
    }
    Err(call("readlink", &path, Errno::LOOP.into()))
}

/// The file's text and mode; `None` where there is none.
fn read(path: &Path) -> Result<Option<(String, u32)>, EditError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => text_of(&File::from(file), path).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(call("open", path, errno.into())),
    }
}

/// Text and mode of a file that is open.
fn text_of(file: &File, path: &Path) -> Result<(String, u32), EditError> {
    let failed = |source| call("read", path, source);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let what = "no regular file";
        let path = path.to_owned();
        return Err(ConfigError::NoFile { path, what }.into());
    }
    let mut text = String::new();
    let count = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if u64::try_from(count).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok((text, metadata.permissions().mode() & 0o7777))
}

fn write_new(directory: &impl AsFd, name: &str, text: &str, mode: u32) -> io::Result<()> {
    // Left by one that had this process' number and was killed.
    unlinkat(directory, name, AtFlags::empty()).ok();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
    fchmod(&new, Mode::from_raw_mode(mode))?;
    let mut new = File::from(new);
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

fn call(call: &'static str, path: &Path, source: io::Error) -> EditError {
    EditError::Call {
        call,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, symlink},
    };

    fn hosts(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn edited(text: &str, list: List, add: &[&str]) -> Option<String> {
        with_hosts(Path::new("c.toml"), text, list, &hosts(add)).unwrap()
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let allow = |text: &str| edited(text, List::Allow, &["new.test:8443"]).unwrap();
        for (before, after) in [
            ("", "[network]\nallow = [\"new.test:8443\"]\n"),
            (
                "# mine\n[files]\nread = ['~/x'] # why\n",
                "# mine\n[files]\nread = ['~/x'] # why\n\n[network]\nallow = [\"new.test:8443\"]\n",
            ),
            (
                "[network] # net\nallow = [ 'a.test' ] # a\ndeny = []\n\n[files]\n",
                "[network] # net\nallow = [ 'a.test' , \"new.test:8443\"] # a\ndeny = []\n\n[files]\n",
            ),
            (
                "[network]\nallow = [\n  'a.test', # first\n  # about b\n  \"b.test\", # second\n]\n",
                "[network]\nallow = [\n  'a.test', # first\n  # about b\n  \"b.test\", # second\n  \"new.test:8443\",\n]\n",
            ),
            (
                "[network]\nallow = [\n  'a.test',\n  'b.test' # no comma\n]\n",
                "[network]\nallow = [\n  'a.test',\n  'b.test', # no comma\n  \"new.test:8443\",\n]\n",
            ),
            (
                "[network]\nallow = [\n\t'a.test'\n]\n",
                "[network]\nallow = [\n\t'a.test',\n\t\"new.test:8443\",\n]\n",
            ),
            (
                "network = { preset = 'dev' }\n",
                "network = { preset = 'dev' , allow = [\"new.test:8443\"] }\n",
            ),
            (
                "network.preset = 'dev'\n[agents.claude.network]\nallow = ['c.test']\n",
                "network.preset = 'dev'\nnetwork.allow = [\"new.test:8443\"]\n[agents.claude.network]\nallow = ['c.test']\n",
            ),
        ] {
            assert_eq!(allow(before), after);
        }
    }

    #[test]
    fn what_stands_there_is_not_written_again() {
        let text = "[network]\nallow = ['A.test.']\n";
        assert_eq!(edited(text, List::Allow, &["a.test"]), None);
        let two = edited(text, List::Deny, &["b.test", "b.test", "c.test"]).unwrap();
        assert_eq!(
            two,
            "[network]\nallow = ['A.test.']\ndeny = [\"b.test\", \"c.test\"]\n"
        );
    }

    #[test]
    fn a_file_that_is_wrong_is_left_alone() {
        for text in [
            "network = 3",
            "[network]\nallow = 'a.test'",
            "[netwrok]\n",
            "= ",
            "x = 1",
        ] {
            let edited = with_hosts(Path::new("c.toml"), text, List::Allow, &hosts(&["a.test"]));
            assert!(edited.is_err(), "{text}");
        }
    }

    #[test]
    fn the_link_stays_the_mode_stays_and_what_is_missing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("config/aca/config.toml");
        let add = |name: &str| save(&place, List::Allow, &hosts(&[name])).unwrap();
        assert_eq!(add("a.test"), (place.clone(), true));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&place), 0o600);
        assert!(!add("a.test").1);
        let real = folder.path().join("dotfiles.toml");
        fs::rename(&place, &real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("../../dotfiles.toml", &place).unwrap();
        // A file that was open stays the one that is meant: nothing took its place.
        let same = fs::metadata(&real).unwrap().ino();
        assert!(add("b.test").1);
        assert!(fs::read_link(&place).is_ok());
        assert_eq!((mode(&real), fs::metadata(&real).unwrap().ino()), (0o640, same));
        assert_eq!(
            fs::read_to_string(&real).unwrap(),
            "[network]\nallow = [\"a.test\", \"b.test\"]\n"
        );
        // Nothing lies beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
    }

    /// A run may hold one for ever where a link leads into its project.
    #[test]
    fn a_lock_where_a_link_leads_to_holds_nothing_up_and_one_where_it_stands_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (project, own) = (folder.path().join("project"), folder.path().join("aca"));
        for directory in [&project, &own] {
            fs::create_dir(directory).unwrap();
        }
        let place = own.join("config.toml");
        fs::write(project.join("c.toml"), "").unwrap();
        symlink(project.join("c.toml"), &place).unwrap();
        let held = |path: &Path| {
            let held = File::open(path).unwrap();
            flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
            held
        };
        let inside = (held(&project), held(&project.join("c.toml")));
        assert!(save(&place, List::Allow, &hosts(&["a.test"])).unwrap().1);
        drop(inside);
        let _other = held(&own);
        let error = save(&place, List::Allow, &hosts(&["b.test"])).unwrap_err();
        assert!(matches!(error, EditError::Locked(_)), "{error}");
    }

    #[test]
    fn several_at_once_lose_nothing() {
        for linked in [false, true] {
            at_once(linked);
        }
    }

    fn at_once(linked: bool) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("config.toml");
        if linked {
            symlink("elsewhere.toml", &place).unwrap();
        }
        std::thread::scope(|scope| {
            for number in 0..8 {
                let place = &place;
                scope.spawn(move || {
                    let host = format!("n{number}.test");
                    save(place, List::Deny, &hosts(&[&host])).unwrap();
                });
            }
        });
        let text = fs::read_to_string(&place).unwrap();
        assert_eq!(text.matches(".test").count(), 8, "{text}");
    }
}
