//! Which directories of the host are written inside: by this run, and by all others that go on now. What the user's own
//! programs are started from and obey may lie in none of them.
//!
//! Each run says what it lets be written in a file of its own, which it holds a lock on for as long as it goes on (flock(2)):
//! one that ended, however, holds none. A run says it before it looks at the others, so that of two that begin together each
//! sees the other. What another run could write stays one that could while this one goes on, also when that has ended: what
//! it put there is there.

use super::prepare::Prepared;
use crate::plan::Entry;
use crate::policy::{Access, Place};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, open, unlinkat};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of what one run says.
const SAID_MAX: u64 = 1 << 20;
/// How often it is said again where another run took it for what a killed one left.
const TRIES: usize = 10;

/// What is known; the run has ended for others when the value goes.
#[derive(Debug)]
pub(super) struct WrittenInside {
    directory: PathBuf,
    /// This run's own word, and the lock on it.
    own: Option<(PathBuf, OwnedFd)>,
    /// All that was ever seen.
    roots: Mutex<BTreeSet<PathBuf>>,
}

impl WrittenInside {
    /// Says what this run lets be written.
    ///
    /// # Errors
    /// It can't be said: then others would not know of it.
    pub(super) fn say(directory: PathBuf, session: &str, roots: Vec<PathBuf>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let path = directory.join(session);
        let mut said = Vec::new();
        for root in &roots {
            said.extend_from_slice(root.as_os_str().as_bytes());
            said.push(0);
        }
        let mut tries = 0;
        let held = loop {
            tries += 1;
            match write(&directory.join(format!("{session}.new")), &path, &said) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                done => break done?,
            }
        };
        let own = Self {
            directory,
            own: Some((path, held)),
            roots: Mutex::new(roots.into_iter().collect()),
        };
        // What runs left that were killed goes.
        own.now();
        Ok(own)
    }

    /// All that may be written now, and what was when this was asked before.
    pub(super) fn now(&self) -> Vec<PathBuf> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            if self.own.as_ref().is_some_and(|(own, _)| *own == path) {
                continue;
            }
            roots.extend(said(&path).unwrap_or_default());
        }
        roots.iter().cloned().collect()
    }
}

impl Drop for WrittenInside {
    fn drop(&mut self) {
        if let Some((path, _held)) = self.own.take() {
            // One that stays is locked by nobody.
            unlinkat(CWD, &path, AtFlags::empty()).ok();
        }
    }
}

/// Writes a run's word: under its name it is whole, and locked. Before that another run may take it away, which is an error.
fn write(beside: &Path, path: &Path, said: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(open(beside, flags, Mode::RUSR | Mode::WUSR)?);
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
    file.write_all(said)?;
    std::fs::rename(beside, path)?;
    Ok(file.into())
}

/// What a run that goes on says; nothing of one that has ended, whose word is taken away.
fn said(path: &Path) -> io::Result<Vec<PathBuf>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        unlinkat(CWD, path, AtFlags::empty())?;
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    file.take(SAID_MAX).read_to_end(&mut bytes)?;
    let roots = bytes.split(|byte| *byte == 0).filter(|root| !root.is_empty());
    Ok(roots.map(|root| PathBuf::from(OsStr::from_bytes(root))).collect())
}

/// Directories of the host that a run lets be written: what is there, and what the user's rules name besides.
pub(super) fn of(prepared: &Prepared) -> Vec<PathBuf> {
    let entries = prepared.plan.view.entries.iter();
    let granted = entries.filter_map(|entry| {
        let granted = if let Entry::Grant { source, .. } = entry {
            Some(source)
        } else {
            None
        };
        granted.cloned()
    });
    let rules = prepared.policy.paths.iter();
    let named = rules.filter(|rule| rule.access == Access::Write && rule.place == Place::Rule);
    granted.chain(named.map(|rule| rule.path.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_knows_what_others_write_as_long_as_they_go_on_and_then_what_they_could() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("open");
        let path = |text: &str| PathBuf::from(text);
        let first = WrittenInside::say(directory.clone(), "a", vec![path("/a")]).unwrap();
        let second = WrittenInside::say(directory.clone(), "b", vec![path("/b"), path("/c d")]).unwrap();
        let all = [path("/a"), path("/b"), path("/c d")];
        assert_eq!(second.now(), all);
        assert_eq!(first.now(), all);
        drop(second);
        assert_eq!(first.now(), all);
        // Who begins later has nothing of it, nor of one that was killed, or never came to be.
        std::fs::write(directory.join("killed"), "/k\0").unwrap();
        std::fs::write(directory.join("c.new"), "/n\0").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.join("link")).unwrap();
        let third = WrittenInside::say(directory.clone(), "c2", vec![path("/x")]).unwrap();
        assert_eq!(third.now(), [path("/a"), path("/x")]);
        assert!(std::fs::metadata(directory.join("killed")).is_err());
        assert!(std::fs::metadata(directory.join("c.new")).is_err());
        // Many that begin at once take nothing of each other's.
        let runs: Vec<_> = (0..40)
            .map(|number| {
                let directory = directory.clone();
                std::thread::spawn(move || {
                    WrittenInside::say(
                        directory,
                        &format!("n{number}"),
                        vec![PathBuf::from(format!("/{number}"))],
                    )
                    .unwrap()
                })
            })
            .collect();
        let runs: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        assert!(runs.iter().all(|run| run.now().len() == 42), "{:?}", third.now());
    }
}
