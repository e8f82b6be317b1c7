//! The lock of a work tree's index on the host, or of another file, which git outside respects (git's `lockfile.h`).
//!
//! The index's is held while a branch moves that is checked out there: else the user could stage something between a look at the index
//! and the move, and `git status` would show the run's work taken back. A killed process can't take it away again; what it is
//! is written down beside the private directory before, so that the next run does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A lock that is held; it is gone with the value.
#[derive(Debug)]
pub(super) struct IndexLock {
    file: File,
    lock: PathBuf,
    target: PathBuf,
    note: PathBuf,
    renamed: bool,
}

impl IndexLock {
    /// Takes the one of the index in `work`; `None` where somebody holds it. `note` is the file that says so.
    pub(super) fn take(work: &Path, note: PathBuf) -> io::Result<Option<Self>> {
        Self::of(work.join("index"), note)
    }

    /// The same of any file.
    pub(super) fn of(target: PathBuf, note: PathBuf) -> io::Result<Option<Self>> {
        let lock = target.with_extension("lock");
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&lock);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error),
        };
        let held = Self {
            file,
            lock,
            target,
            note,
            renamed: false,
        };
        let metadata = held.file.metadata()?;
        fs::write(&held.note, format!("{} {}", metadata.dev(), metadata.ino()))?;
        Ok(Some(held))
    }

    /// Makes the file be this, and lets go.
    pub(super) fn commit(mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        fs::rename(&self.lock, &self.target)?;
        self.renamed = true;
        Ok(())
    }

    /// Takes away the lock of a file if it is the one that the note says.
    pub(super) fn recover(target: &Path, note: &Path) {
        let Ok(text) = fs::read_to_string(note) else {
            return;
        };
        let lock = target.with_extension("lock");
        let is_it = lock
            .symlink_metadata()
            .is_ok_and(|found| text == format!("{} {}", found.dev(), found.ino()));
        if is_it {
            fs::remove_file(&lock).ok();
        }
        fs::remove_file(note).ok();
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if !self.renamed {
            fs::remove_file(&self.lock).ok();
        }
        fs::remove_file(&self.note).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_a_killed_one_does_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (work, note) = (folder.path(), folder.path().join("note"));
        let (index, lock) = (work.join("index"), work.join("index.lock"));
        fs::write(&index, "old").unwrap();
        let held = IndexLock::take(work, note.clone()).unwrap().unwrap();
        assert!(IndexLock::take(work, work.join("other")).unwrap().is_none());
        drop(held);
        assert!(lock.symlink_metadata().is_err() && note.symlink_metadata().is_err());
        let held = IndexLock::take(work, note.clone()).unwrap().unwrap();
        held.commit(b"new").unwrap();
        assert_eq!(fs::read(&index).unwrap(), b"new");
        assert!(lock.symlink_metadata().is_err() && note.symlink_metadata().is_err());
        // Killed while it was held.
        let killed = || {
            let held = IndexLock::take(work, note.clone()).unwrap().unwrap();
            let (text, elsewhere) = (fs::read(&note).unwrap(), work.join("away"));
            fs::rename(&lock, &elsewhere).unwrap();
            drop(held);
            fs::rename(&elsewhere, &lock).unwrap();
            fs::write(&note, text).unwrap();
        };
        killed();
        IndexLock::recover(&index, &note);
        assert!(lock.symlink_metadata().is_err() && note.symlink_metadata().is_err());
        // One of the user's stays.
        killed();
        fs::write(work.join("mine"), "").unwrap();
        fs::rename(work.join("mine"), &lock).unwrap();
        IndexLock::recover(&index, &note);
        assert!(lock.symlink_metadata().is_ok());
    }
}
