//! Brings the objects over: the confined process ([`super::export`]) writes a pack, git outside reads it.

use super::export::{EXPORT_WORD, Expected, NO_ROOM, Room, Wanted, list};
use super::host::{HostGit, Input};
use super::layout::Part;
use super::read::Opened;
use crate::facts::beneath::open_root;
use crate::git::object_id::ObjectId;
use crate::launch::Channel;
use crate::sys::process::{Orphan, bind_to_caller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// From this number on objects stay in their pack (git's own `fetch.unpackLimit`).
const UNPACK_MAX: u32 = 100;
/// How long the process may look for what is wanted.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The groups of which something is missing, or is of another kind.
    pub(super) incomplete: BTreeSet<usize>,
    /// Those for which there was no room.
    pub(super) no_room: BTreeSet<usize>,
}

impl Fetched {
    /// Whether all of a group is there.
    pub(super) fn is_whole(&self, group: usize) -> bool {
        !self.incomplete.contains(&group) && !self.no_room.contains(&group)
    }

    /// Why it isn't.
    pub(super) fn why(&self, group: usize) -> &'static str {
        if self.no_room.contains(&group) {
            "it is more than one run may bring"
        } else {
            "objects that it leads to aren't there, or aren't what their names say"
        }
    }
}

/// What belongs together: all of it comes, or nothing.
pub(super) type Group = Vec<(ObjectId, Expected)>;

/// The process, which ends with this value.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Has the host's store get all that the groups lead to. The first `commits` groups are commits or tags: those are held
/// against what the host has, as git does after a fetch.
pub(super) fn fetch(
    git: &HostGit,
    host_dir: &Path,
    inside: &Opened,
    part: &Part,
    (wanted, commits): (&[Group], usize),
    room: &Cell<Room>,
) -> Result<Fetched, String> {
    let (exporter, mut pipe) = start(inside, part, wanted, room.get()).map_err(|error| error.to_string())?;
    let mut fetched = Fetched::default();
    for _ in 0..number(&mut pipe)? {
        let said = number(&mut pipe)?;
        let group = usize::try_from(said & !NO_ROOM).ok();
        let group = group.filter(|group| *group < wanted.len());
        if said & NO_ROOM == 0 {
            fetched.incomplete.extend(group);
        } else {
            fetched.no_room.extend(group);
        }
    }
    let bytes = u64::from(number(&mut pipe)?) << 10;
    let count = number(&mut pipe)?;
    if count > 0 {
        let call: &[&str] = if count < UNPACK_MAX {
            &["unpack-objects", "-q", "--strict"]
        } else {
            &["index-pack", "--stdin", "--strict"]
        };
        let words: Vec<&OsStr> = call.iter().map(OsStr::new).collect();
        let what = call.first().copied().unwrap_or_default();
        let answer = git.call(host_dir, &words, &[], Input::Pipe(pipe.into()));
        answer.map_err(|error| error.to_string())?.checked(what)?;
    }
    drop(exporter);
    room.set(room.get().less(count, bytes));
    check(
        git,
        host_dir,
        wanted.get(..commits).unwrap_or_default(),
        &mut fetched,
    )?;
    Ok(fetched)
}

fn start(inside: &Opened, part: &Part, wanted: &[Group], room: Room) -> std::io::Result<(Exporter, File)> {
    let (ours, theirs) = Channel::pair().map_err(std::io::Error::other)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // By the descriptor of what runs: nobody can have put another program at its path.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(EXPORT_WORD)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(writer)
        .stderr(Stdio::null());
    bind_to_caller(&mut command, Orphan::Killed);
    let exporter = Exporter(command.spawn()?);
    // What was given to it is its own now: the pipe has to end with it.
    drop(command);
    let numbered = wanted
        .iter()
        .zip(0_u32..)
        .flat_map(|(group, number)| group.iter().map(move |(id, expected)| (*id, *expected, number)));
    let wanted = list(numbered);
    let mut memory: File = memfd_create("aca-wanted", MemfdFlags::CLOEXEC)?.into();
    memory.write_all(&wanted)?;
    let objects = inside.objects()?;
    let stores: Result<Vec<_>, _> = part.stores.iter().map(|store| open_root(store)).collect();
    let stores = stores?;
    let descriptors: Vec<BorrowedFd<'_>> = [memory.as_fd(), objects.as_fd()]
        .into_iter()
        .chain(stores.iter().map(AsFd::as_fd))
        .collect();
    let question = Wanted {
        sha256: part.sha256,
        length: u64::try_from(wanted.len()).unwrap_or(u64::MAX),
        room,
    };
    ours.send(&question, &descriptors)
        .map_err(std::io::Error::other)?;
    Ok((exporter, reader.into()))
}

/// The next number that the process says.
fn number(pipe: &mut File) -> Result<u32, String> {
    let patience = Timespec::try_from(PATIENCE).ok();
    let mut waiting = [PollFd::new(pipe, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut waiting, patience.as_ref()));
    if ready.map_err(|errno| errno.to_string())? == 0 {
        return Err("looking up the objects took too long".into());
    }
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes)
        .map_err(|_| "the process that reads the objects broke off".to_owned())?;
    Ok(u32::from_le_bytes(bytes))
}

/// Whether all that a commit leads to is there: an object that the host has needn't be whole where no ref leads to it.
fn check(git: &HostGit, host_dir: &Path, commits: &[Group], fetched: &mut Fetched) -> Result<(), String> {
    let connected = |ids: &str| {
        let words = ["rev-list", "--objects", "--stdin", "--not", "--all", "--quiet"].map(OsStr::new);
        let answer = git.call(host_dir, &words, &[], Input::Bytes(ids.as_bytes()));
        answer
            .map(|answer| answer.code == Some(0))
            .map_err(|error| error.to_string())
    };
    let whole: Vec<(usize, String)> = commits
        .iter()
        .enumerate()
        .filter(|(number, _)| fetched.is_whole(*number))
        .map(|(number, ids)| (number, ids.iter().map(|(id, _)| format!("{id}\n")).collect()))
        .collect();
    let all: String = whole.iter().map(|(_, ids)| ids.as_str()).collect();
    if all.is_empty() || connected(&all)? {
        return Ok(());
    }
    for (number, ids) in whole {
        if !connected(&ids)? {
            fetched.incomplete.insert(number);
        }
    }
    Ok(())
}
