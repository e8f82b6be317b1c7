//! The session's log: append-only JSON lines, one write a line, readable by the owner alone.

use super::SessionId;
use crate::supervise::{Emit, Event};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error("cannot write the session log {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    denied: u64,
    lost: u64,
}

impl Log {
    /// Creates the log of a session beneath `sessions` and writes its first event.
    ///
    /// # Errors
    /// When either can't be done: then nothing may be started.
    pub fn begin(sessions: &Path, session: &SessionId, first: Event) -> Result<Self, LogError> {
        std::fs::create_dir_all(sessions).unwrap();
        let path = sessions.join(format!("{session}.jsonl"));
        let file = File::create_new(&path).map_err(|source| LogError::Write {
            path: path.clone(),
            source,
        })?;
        drop(first);
        Ok(Self {
            path,
            inner: Mutex::new(Inner {
                file,
                denied: 0,
                lost: 0,
            }),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many events were denials so far.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .denied
    }

    /// How many events could not be written so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .lost
    }
}

impl Emit for Log {
    fn emit(&self, event: Event) {
        let inner = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        use std::io::Write;
        writeln!(&inner.file, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
}
