//! What git inside was in the middle of at the end of a run, for git outside to go on with.
//!
//! The files are read as what somebody hostile wrote ([`crate::git::under_way`]) and written anew, each directory of them
//! under another name first: whole or not at all.

use super::apply::Work;
use super::follow;
use super::host::Input;
use super::index_lock::IndexLock;
use super::place::Place;
use super::read::{Opened, Refs, names};
use super::staged::{Indexed, Staged};
use crate::facts::beneath::{open_directory, read_file};
use crate::git::index::same;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::under_way::{self, DIRECTORIES, FILE_BYTES_MAX, FILES, FILES_MAX, Files, Named, UnderWay};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Most bytes of all files.
const BYTES_MAX: usize = 16 << 20;

/// Reads what is under way in a work tree; `None` where nothing is.
///
/// # Errors
/// Why it isn't taken, in words.
pub(super) fn read(inside: &Opened) -> Result<Option<UnderWay>, String> {
    under_way::read(&files(inside)?, inside.format()).map_err(|error| error.to_string())
}

/// Whether the same is under way in both, whatever it is.
pub(super) fn is_same(one: &Opened, other: &Opened) -> bool {
    matches!((files(one), files(other)), (Ok(one), Ok(other)) if one == other)
}

fn files(inside: &Opened) -> Result<Files, String> {
    let own = inside.own();
    let mut files = Files::new();
    for name in FILES {
        take(own, name, name.to_owned(), &mut files)?;
    }
    for directory in DIRECTORIES {
        let opened = match open_directory(own, directory) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(format!("{directory} can't be read: {errno}")),
        };
        // An empty one means something to git as well.
        let listed = names(&opened).filter(|names| !names.is_empty() && names.len() <= FILES_MAX);
        let listed = listed.ok_or_else(|| format!("{directory} is not as git leaves it"))?;
        for (name, _) in listed {
            let name = name
                .to_str()
                .map_err(|_| format!("{directory} is not as git leaves it"))?;
            take(&opened, name, format!("{directory}/{name}"), &mut files)?;
        }
    }
    Ok(files)
}

fn take(directory: impl AsFd, name: &str, key: String, files: &mut Files) -> Result<(), String> {
    match read_file(directory, name, FILE_BYTES_MAX) {
        Ok(content)
            if content.len() <= FILE_BYTES_MAX
                && files.values().map(Vec::len).sum::<usize>() <= BYTES_MAX =>
        {
            files.insert(key, content);
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        Ok(_) => Err(format!("{key} is too long")),
        Err(errno) => Err(format!("{key} can't be read: {errno}")),
    }
}

/// Writes it into a git directory on the host in which nothing is under way; `beside` is a name in there that nobody else has.
///
/// # Errors
/// Of the file system.
pub(super) fn write(under_way: &UnderWay, work: &Path, beside: &Path) -> io::Result<()> {
    let files = under_way.write();
    let directory = files.iter().find_map(|(name, _)| Some(name.split_once('/')?.0));
    if let Some(directory) = directory {
        DirBuilder::new().mode(0o755).create(beside)?;
        let mut inner = files
            .iter()
            .filter_map(|(name, content)| Some((name.split_once('/')?.1, content)));
        let made = inner
            .try_for_each(|(name, content)| fs::write(beside.join(name), content))
            .and_then(|()| {
                Ok(renameat_with(
                    CWD,
                    beside,
                    CWD,
                    work.join(directory),
                    RenameFlags::NOREPLACE,
                )?)
            });
        if let Err(error) = made {
            fs::remove_dir_all(beside).ok();
            return Err(error);
        }
    }
    for (name, content) in files.iter().filter(|(name, _)| !name.contains('/')) {
        fs::write(beside, content)?;
        fs::rename(beside, work.join(name))?;
    }
    Ok(())
}

impl Work<'_> {
    /// Whether it can go on outside: all that it names is there, its branch is where it left it, and what is staged is what
    /// the session saw. Short names become whole ones, and the index is locked.
    pub(super) fn ready(
        &mut self,
        mut going: UnderWay,
        whole: bool,
        host_refs: &Refs,
        host: &Opened,
        at: &Staged<'_>,
        lock: &mut Option<IndexLock>,
    ) -> Result<UnderWay, String> {
        let said = going.said();
        let stays = |why: &str| format!("{said} is under way inside, and {why}: begin it anew outside");
        if !whole {
            return Err(stays("commits or contents that it names aren't there"));
        }
        if let UnderWay::Rebase(rebase) = &going
            && let Some(branch) = &rebase.branch
            && host_refs.get(branch) != Some(&rebase.from)
        {
            return Err(stays("the branch isn't outside where it left it"));
        }
        let short: Vec<&mut Named> = going.shortened().collect();
        self.lengthen(short).map_err(|why| stays(&why))?;
        if lock.is_none() {
            let taken = IndexLock::take(self.host_work, at.place.lock_note(at.number));
            *lock = taken.map_err(|error| stays(&error.to_string()))?;
        }
        if lock.is_none() {
            self.again = true;
            return Err(stays("git outside is at work on the index"));
        }
        let now = follow::entries(host.index(), host.format());
        let seen = follow::entries(Some(at.place.index(at.number)), host.format());
        match (now, seen) {
            (Some(now), Some(seen)) if same(&now, &seen) => Ok(going),
            _ => Err(stays("something was staged outside meanwhile")),
        }
    }

    /// Whole names of commits that are named by their beginnings.
    fn lengthen(&self, short: Vec<&mut Named>) -> Result<(), String> {
        if short.is_empty() {
            return Ok(());
        }
        let asked: String = short
            .iter()
            .filter_map(|named| match named {
                Named::Short(text) => Some(format!("{text}^{{commit}}\n")),
                Named::Whole(_) => None,
            })
            .collect();
        let said = self.call(
            &["cat-file", "--batch-check"],
            &[],
            Input::Bytes(asked.as_bytes()),
        )?;
        let unknown = || "a commit that it names isn't there".to_owned();
        let mut lines = said.split(|byte| *byte == b'\n');
        for named in short {
            let line = lines.next().unwrap_or_default();
            let mut words = line.split(|byte| *byte == b' ');
            let (id, kind) = (words.next().unwrap_or_default(), words.next());
            let format = if id.len() == 64 {
                ObjectFormat::Sha256
            } else {
                ObjectFormat::Sha1
            };
            let id = ObjectId::parse(id, format).filter(|_| kind == Some(b"commit"));
            *named = Named::Whole(id.ok_or_else(unknown)?);
        }
        Ok(())
    }

    /// Writes it, where `HEAD` and the index came.
    pub(super) fn go_on(&mut self, going: &UnderWay, indexed: Indexed, head: bool, place: &Place) -> bool {
        if indexed != Indexed::Same || !head {
            let why = format!("{} is under way inside; begin it anew outside", going.said());
            self.fail("HEAD and the index", why);
            return false;
        }
        match write(going, self.host_work, &place.beside()) {
            Ok(()) => {
                self.told_brought("what is under way", going.said());
                true
            }
            Err(error) => {
                self.fail("what is under way", error);
                false
            }
        }
    }
}
