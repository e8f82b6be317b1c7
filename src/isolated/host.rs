//! Git outside, on the host's own git directory: which program it is, and how it is started.
//!
//! Nothing inside writes that directory while it is private, so its configuration is the user's. What is asked of git
//! touches no work tree, which is the agent's. Hooks are off all the same: none was meant to run at an import.

use crate::facts::{Ambient, links_on_the_way, real};
use crate::sys::process::{Orphan, bind_to_caller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, SeekFrom, access, memfd_create, seek};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Settings of every call.
const SETTINGS: [(&str, &str); 9] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.filesRefLockTimeout", "2000"),
    ("core.packedRefsTimeout", "2000"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.alternateRefsCommand", "true"),
    ("fetch.fsckObjects", "true"),
    ("receive.autogc", "false"),
];
/// Commands that make a lock, and are done with it soon: they wait for nobody.
const LOCKING: [&str; 3] = ["update-ref", "symbolic-ref", "config"];
/// Most bytes that are read of what git prints.
const OUTPUT_MAX: u64 = 64 << 20;
/// Longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same once it was asked to end.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Git outside.
#[derive(Debug, Clone)]
pub struct HostGit {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    /// Open in what goes on when this process has ended.
    at_work: Option<Arc<OwnedFd>>,
}

/// What a call gave.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    pub(super) out: Vec<u8>,
    pub(super) err: String,
}

impl Answer {
    /// The reason, in git's words, where it failed.
    pub(super) fn checked(self, what: &str) -> Result<Vec<u8>, String> {
        if self.code == Some(0) {
            return Ok(self.out);
        }
        let line = self.err.lines().last().unwrap_or("it was killed").trim();
        Err(format!("git {what}: {line}"))
    }
}

/// What git reads.
pub(super) enum Input<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Pipe(OwnedFd),
}

impl HostGit {
    /// The first git of the search path that doesn't lie in `open`, the directories that are written inside, and that no
    /// link in there leads to.
    #[must_use]
    pub fn find(ambient: &Ambient, open: &[PathBuf]) -> Option<Self> {
        let is_open = |path: &Path| {
            let lies = |path: &Path| open.iter().any(|root| path.starts_with(root));
            lies(path)
                || real(path).is_ok_and(|real| lies(&real))
                || links_on_the_way(path).iter().any(|link| lies(link))
        };
        let listed = ambient.environment.iter().find(|(name, _)| name == "PATH");
        let listed = listed.map_or_else(|| "/usr/bin:/bin".into(), |(_, value)| value.clone());
        let directories: Vec<PathBuf> = std::env::split_paths(&listed)
            .filter(|directory| directory.is_absolute() && !is_open(directory))
            .collect();
        let program = directories
            .iter()
            .map(|directory| directory.join("git"))
            .find(|path| {
                let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
                is_file && access(path, Access::EXEC_OK).is_ok() && !is_open(path)
            })?;
        let mut environment: Vec<(OsString, OsString)> = [
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        environment.push(("PATH".into(), std::env::join_paths(&directories).ok()?));
        environment.push(("HOME".into(), ambient.home.clone().into()));
        Some(Self {
            program,
            environment,
            at_work: None,
        })
    }

    /// With a descriptor whose lock whoever comes next waits for.
    #[must_use]
    pub(super) fn holding(self, at_work: OwnedFd) -> Self {
        Self {
            at_work: Some(Arc::new(at_work)),
            ..self
        }
    }

    /// Calls git on a git directory; `more` are variables besides. The calling thread must outlive the call.
    pub(super) fn call(
        &self,
        git_dir: &Path,
        arguments: &[&OsStr],
        more: &[(&str, &str)],
        input: Input<'_>,
    ) -> io::Result<Answer> {
        let mut command = Command::new(&self.program);
        for (key, value) in SETTINGS {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        let (out, err) = (memory()?, memory()?);
        let (out_end, err_end) = (out.try_clone()?, err.try_clone()?);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .env("GIT_DIR", git_dir)
            // Not the one that the configuration names: git would begin there, or not at all where it is gone.
            .env("GIT_WORK_TREE", "/")
            .current_dir("/")
            .stdin(match input {
                Input::Nothing => Stdio::null(),
                Input::Bytes(bytes) => {
                    let mut file = memory()?;
                    file.write_all(bytes)?;
                    seek(&file, SeekFrom::Start(0))?;
                    file.into()
                }
                Input::Pipe(pipe) => pipe.into(),
            })
            .stdout(out_end)
            .stderr(err_end);
        let locks = arguments
            .first()
            .is_some_and(|word| LOCKING.iter().any(|own| word == own));
        let orphan = match &self.at_work {
            // Killed, it would leave its lock behind, and nothing could ever move that ref again. A signal that it takes its
            // locks away at comes too early just after it has made the first.
            Some(at_work) if locks => Orphan::Finishes(at_work.as_raw_fd()),
            _ => Orphan::Asked,
        };
        bind_to_caller(&mut command, orphan);
        let mut child = command.spawn()?;
        // What was given to it is its own now: a pipe has to end when the other end does.
        drop(command);
        let ended = Pid::from_child(&child);
        let in_time = wait(ended, PATIENCE);
        if !in_time {
            kill_process(ended, Signal::TERM).ok();
            if !wait(ended, LAST_PATIENCE) {
                child.kill().ok();
            }
        }
        let status = child.wait()?;
        Ok(Answer {
            code: status.code().filter(|_| in_time),
            out: content(out)?,
            err: String::from_utf8_lossy(&content(err)?).into_owned(),
        })
    }
}

/// Whether a process ends in time.
pub(super) fn wait(process: Pid, patience: Duration) -> bool {
    let Ok(descriptor) = pidfd_open(process, PidfdFlags::empty()) else {
        // Older kernels have none: then it is waited for.
        return true;
    };
    let patience = Timespec::try_from(patience).ok();
    let mut waiting = [PollFd::new(&descriptor, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut waiting, patience.as_ref())).is_ok_and(|count| count > 0)
}

fn memory() -> io::Result<File> {
    Ok(memfd_create("aca-git", MemfdFlags::CLOEXEC)?.into())
}

fn content(file: File) -> io::Result<Vec<u8>> {
    seek(&file, SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
