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
}

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
            let fetched = timeout(DEADLINE, Box::pin(run(command))).await;
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
        let child = Child::of(command).map_err(|error| format!("git can't be started: {error}"))?;
        Ok(Indexing { place, child })
    }
}

impl Indexing {
    /// The next bytes of the pack.
    pub(in super::super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (input, ..) = self.child.parts();
        let gone = || "git ended before the pack did".to_owned();
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
async fn run(command: Command) -> Result<(), String> {
    let mut child = Child::of(command).map_err(|error| format!("git can't be started: {error}"))?;
    ended(&mut child).await
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
