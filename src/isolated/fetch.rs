//! Brings the objects over: the confined process ([`super::export`]) writes a pack, git outside reads it.

use super::export::{EXPORT_WORD, Wanted, list};
use super::host::{HostGit, Input};
use super::layout::Part;
use super::read::Opened;
use crate::facts::beneath::open_root;
use crate::git::object_id::ObjectId;
use crate::launch::Channel;
use crate::sys::process::bind_to_caller;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
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
pub(super) struct Fetched {
    /// The groups of which something is missing.
    pub(super) incomplete: BTreeSet<usize>,
}

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
    wanted: &[Vec<ObjectId>],
    commits: usize,
) -> Result<Fetched, String> {
    let (exporter, mut pipe) = start(inside, part, wanted).map_err(|error| error.to_string())?;
    let mut incomplete = BTreeSet::new();
    for _ in 0..number(&mut pipe)? {
        let group = number(&mut pipe)?;
        incomplete.extend(usize::try_from(group).ok().filter(|group| *group < wanted.len()));
    }
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
    check(
        git,
        host_dir,
        wanted.get(..commits).unwrap_or_default(),
        &mut incomplete,
    )?;
    Ok(Fetched { incomplete })
}

fn start(inside: &Opened, part: &Part, wanted: &[Vec<ObjectId>]) -> std::io::Result<(Exporter, File)> {
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
    bind_to_caller(&mut command);
    let exporter = Exporter(command.spawn()?);
    // What was given to it is its own now: the pipe has to end with it.
    drop(command);
    let numbered = wanted
        .iter()
        .zip(0_u32..)
        .flat_map(|(group, number)| group.iter().map(move |id| (*id, number)));
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
fn check(
    git: &HostGit,
    host_dir: &Path,
    commits: &[Vec<ObjectId>],
    incomplete: &mut BTreeSet<usize>,
) -> Result<(), String> {
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
        .filter(|(number, _)| !incomplete.contains(number))
        .map(|(number, ids)| (number, ids.iter().map(|id| format!("{id}\n")).collect()))
        .collect();
    let all: String = whole.iter().map(|(_, ids)| ids.as_str()).collect();
    if all.is_empty() || connected(&all)? {
        return Ok(());
    }
    for (number, ids) in whole {
        if !connected(&ids)? {
            incomplete.insert(number);
        }
    }
    Ok(())
}
