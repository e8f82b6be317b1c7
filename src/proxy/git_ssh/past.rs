//! History that isn't in the repository inside: loaded from the server by the user's git, into a repository of aca's own
//! that is gone afterwards. Commits alone at first, and where a push needs them the trees of what branches are now.
//!
//! No git runs in what the agent writes, and none with the user's configuration of git: the place is empty, and ssh is
//! started as for everything else ([`super::words`]).

use super::super::git_push::{Loaded, Past};
use super::Ssh;
use super::child::Child;
use super::words;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ssh_words::SshRequest;
use rustix::fs::{Mode, OFlags};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long one may take.
const DEADLINE: Duration = Duration::from_secs(90);
/// How old a place is that nobody needs: two of them may be loaded, and are read for a minute each.
const LEFT: Duration = Duration::from_secs(3600);
/// Bytes of what git says that are read, and characters of it that are told.
const SAID_BYTES: u64 = 64 << 10;
const SAID_MAX: usize = 200;

/// What loads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Git outside, absolute.
    pub git: PathBuf,
    /// A directory of aca's own, where repositories are made; each is removed again.
    pub directory: PathBuf,
    /// Most bytes of a file there: git is ended that writes more.
    pub file_bytes: u64,
}

/// As many as the history of the largest known projects has, without their files.
pub const HISTORY_BYTES: u64 = 2 << 30;

/// What it takes to load from one repository.
pub(super) struct SshPast<'a> {
    pub(super) ssh: &'a Ssh,
    pub(super) request: &'a SshRequest,
}

impl Past for SshPast<'_> {
    async fn load(&self, format: ObjectFormat, wanted: Vec<ObjectId>, trees: bool) -> Result<Loaded, String> {
        let Some(history) = &self.ssh.history else {
            return Err("there is no git outside that could load it".into());
        };
        if wanted.is_empty() {
            return Err("the server has no branch to load it from".into());
        }
        let mut loaded = Loaded::default();
        let mut filters = vec![&["--filter=tree:0"][..]];
        if trees {
            filters.push(&["--filter=blob:none", "--depth=1"]);
        }
        for filter in filters {
            let place = history.place();
            make(&place, format).map_err(|error| format!("{} can't be made: {error}", place.display()))?;
            loaded.remove.push(place.clone());
            let command = self.command(history, &place, filter, &wanted);
            let fetched = timeout(DEADLINE, Box::pin(run(command, history.file_bytes))).await;
            fetched.map_err(|_| format!("it took more than {} s", DEADLINE.as_secs()))??;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let objects = rustix::fs::open(place.join("objects"), flags, Mode::empty());
            loaded.stores.push(objects.map_err(|error| error.to_string())?);
        }
        Ok(loaded)
    }
}

impl History {
    fn place(&self) -> PathBuf {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&self.directory, SystemTime::now()));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{}-{number}", std::process::id()))
    }
}

/// A place that a pack is written to, and git that reads it there.
pub(in super::super) struct Indexing {
    place: PathBuf,
    child: Child,
    most: u64,
}

impl History {
    /// Begins one, for a pack that was asked for elsewhere. The place is to be removed even where this fails.
    pub(in super::super) fn index(
        &self,
        format: ObjectFormat,
        loaded: &mut Loaded,
    ) -> Result<Indexing, String> {
        let place = self.place();
        loaded.remove.push(place.clone());
        make(&place, format).map_err(|error| format!("{} can't be made: {error}", place.display()))?;
        let mut command = Command::new(&self.git);
        command
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "index-pack",
                "--stdin",
                "--threads=1",
            ])
            .env_clear()
            .env("GIT_DIR", &place)
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1");
        let child = start(command, self.file_bytes)?;
        Ok(Indexing {
            place,
            child,
            most: self.file_bytes,
        })
    }
}

impl Indexing {
    /// The next bytes of the pack.
    pub(in super::super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (input, ..) = self.child.parts();
        let most = self.most;
        let gone = || format!("git ended before the pack did, which may have {most} bytes");
        let input = input.as_mut().ok_or_else(gone)?;
        input.write_all(bytes).await.map_err(|_| gone())
    }

    /// To its end; the objects are there then.
    pub(in super::super) async fn finish(mut self, loaded: &mut Loaded) -> Result<(), String> {
        ended(&mut self.child).await?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let objects = rustix::fs::open(self.place.join("objects"), flags, Mode::empty());
        loaded.stores.push(objects.map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl SshPast<'_> {
    fn command(&self, history: &History, place: &Path, filter: &[&str], wanted: &[ObjectId]) -> Command {
        let mut command = Command::new(&history.git);
        let settings = [
            "core.hooksPath=/dev/null",
            "core.askPass=",
            "credential.helper=",
            "fetch.recurseSubmodules=no",
            "gc.auto=0",
            "maintenance.auto=false",
            "protocol.version=2",
            "protocol.allow=never",
            "protocol.ssh.allow=always",
        ];
        for setting in settings {
            command.args(["-c", setting]);
        }
        command
            .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"])
            .args(filter)
            .args(["--", &words::url(self.request)])
            .args(wanted.iter().map(ToString::to_string))
            .env_clear()
            .envs(self.ssh.environment.iter().map(|(name, value)| (name, value)))
            .env("GIT_DIR", place)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_SSH_VARIANT", "ssh")
            .env(
                "GIT_SSH_COMMAND",
                words::command_line(&self.ssh.program, self.request),
            );
        command
    }
}

/// Removes what a run left that was killed in the middle: whatever is older than any push takes.
fn sweep(directory: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        // Of the link itself, where somebody put one.
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.map(|time| now.duration_since(time).unwrap_or_default());
        if age.is_ok_and(|age| age > LEFT) {
            // What can't be removed is in nobody's way.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// An empty repository (gitrepository-layout(5)).
fn make(place: &Path, format: ObjectFormat) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(place.join("objects"))?;
    builder.create(place.join("refs"))?;
    std::fs::write(place.join("HEAD"), "ref: refs/heads/none\n")?;
    let version = match format {
        ObjectFormat::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n".to_owned(),
        ObjectFormat::Sha256 => {
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
                .to_owned()
        }
    };
    std::fs::write(place.join("config"), version)
}

/// Runs git to its end; ended with all that it started when this is let go.
async fn run(command: Command, most: u64) -> Result<(), String> {
    let mut child = start(command, most)?;
    ended(&mut child).await
}

/// Starts git, which is killed, as is what it starts, once it writes a file of more bytes (setrlimit(2), `RLIMIT_FSIZE`).
fn start(command: Command, most: u64) -> Result<Child, String> {
    let failed = |error: io::Error| format!("git can't be started: {error}");
    let child = Child::of(command).map_err(failed)?;
    child.bound_files(most).map_err(failed)?;
    Ok(child)
}

async fn ended(child: &mut Child) -> Result<(), String> {
    let (input, output, errors, mut exit) = child.parts();
    *input = None;
    let (mut said, mut nothing) = (Vec::new(), Vec::new());
    let mut errors = errors.take(SAID_BYTES);
    let mut output = output.take(SAID_BYTES);
    let read = async { tokio::try_join!(errors.read_to_end(&mut said), output.read_to_end(&mut nothing)) };
    let (_, code) = tokio::join!(read, exit.wait());
    match code {
        Ok(0) => Ok(()),
        Ok(_) | Err(_) => {
            let text = String::from_utf8_lossy(&said);
            let line = text
                .lines()
                .rfind(|line| !line.trim().is_empty())
                .unwrap_or("git failed");
            Err(line
                .chars()
                .filter(|one| !one.is_control())
                .take(SAID_MAX)
                .collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pack of one object that can't be made smaller.
    fn pack(bytes: u32) -> Vec<u8> {
        use sha1::{Digest, Sha1};
        use std::io::Write;
        let content: Vec<u8> = (0..bytes / 4)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        let (mut size, mut kind) = (bytes >> 4, 0x30 | u8::try_from(bytes & 15).unwrap());
        while size > 0 {
            pack.push(kind | 0x80);
            kind = u8::try_from(size & 0x7f).unwrap();
            size >>= 7;
        }
        pack.push(kind);
        let mut packed = flate2::write::ZlibEncoder::new(pack, flate2::Compression::none());
        packed.write_all(&content).unwrap();
        let mut pack = packed.finish().unwrap();
        let sum = Sha1::digest(&pack);
        pack.extend_from_slice(&sum);
        pack
    }

    #[tokio::test]
    async fn what_grows_too_large_while_it_is_loaded_is_ended() {
        let path = std::env::var_os("PATH").unwrap();
        let mut all = std::env::split_paths(&path).map(|directory| directory.join("git"));
        let Some(git) = all.find(|git| std::fs::metadata(git).is_ok()) else {
            return;
        };
        let root = tempfile::tempdir().unwrap();
        for (file_bytes, is_good) in [(1 << 20, true), (100_000, false)] {
            let history = History {
                git: git.clone(),
                directory: root.path().join("history"),
                file_bytes,
            };
            let mut loaded = Loaded::default();
            let mut indexing = history.index(ObjectFormat::Sha1, &mut loaded).unwrap();
            let ended = match indexing.write(&pack(400_000)).await {
                Ok(()) => indexing.finish(&mut loaded).await,
                Err(why) => Err(why),
            };
            assert_eq!(ended.is_ok(), is_good, "{ended:?}");
            assert_eq!(loaded.stores.len(), usize::from(is_good));
        }
        assert_eq!(std::fs::read_dir(root.path().join("history")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_uses_stays() {
        let root = tempfile::tempdir().unwrap();
        let (directory, apart) = (root.path().join("history"), root.path().join("apart"));
        for path in [&directory.join("1-0/objects"), &apart.join("kept")] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::os::unix::fs::symlink(&apart, directory.join("2-0")).unwrap();
        let now = SystemTime::now();
        sweep(&directory, now);
        assert!(std::fs::metadata(directory.join("1-0")).is_ok());
        sweep(&directory, now + LEFT + Duration::from_secs(60));
        assert!(std::fs::metadata(directory.join("1-0")).is_err());
        assert!(std::fs::metadata(apart.join("kept")).is_ok());
    }
}
