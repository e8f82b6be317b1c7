//! Brings the index back: what is staged, and that what was committed inside isn't seen as a change outside.

use super::apply::Work;
use super::import::not_brought;
use super::place::Place;
use super::read::Opened;
use crate::git::index::{self, Entry, brought, same};
use crate::git::object_id::ObjectFormat;
use crate::git::ref_files::Head;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

impl Work<'_> {
    pub(super) fn read_index(&mut self, inside: &Opened, format: ObjectFormat) -> Option<Vec<Entry>> {
        let bytes = inside.index()?;
        match index::read(&bytes, format) {
            Ok(entries) => Some(entries),
            Err(error) => {
                self.tell(not_brought(&(self.named)("index"), error));
                None
            }
        }
    }

    /// The index goes where `HEAD` is the same on both sides, and the host's is what the session saw there last. Tells
    /// whether that is done.
    pub(super) fn index(
        &mut self,
        entries: Vec<Entry>,
        inside: &Opened,
        host: &Opened,
        number: (usize, usize),
        place: &Place,
        format: ObjectFormat,
    ) -> bool {
        let commit = |opened: &Opened| match opened.head()? {
            Head::Branch(name) => Some((Some(name.clone()), opened.refs()?.get(&name).copied())),
            Head::Detached(id) => Some((None, Some(id))),
        };
        if commit(inside) != commit(host) {
            self.tell(not_brought(
                &(self.named)("index"),
                "what is checked out isn't the same inside and outside",
            ));
            return false;
        }
        let read = |bytes: Vec<u8>| {
            if bytes.is_empty() {
                Some(Vec::new())
            } else {
                index::read(&bytes, format).ok()
            }
        };
        let before = host.index().unwrap_or_default();
        let (Some(now), Some(seen)) = (read(before.clone()), read(place.index(number))) else {
            self.tell(not_brought(&(self.named)("index"), "the host's can't be read"));
            return true;
        };
        let brought = brought(entries, &now);
        if brought.unmarked > 0 {
            let why = format!(
                "{} files were marked so that git doesn't look at them; they aren't outside",
                brought.unmarked
            );
            self.tell(not_brought(&(self.named)("index: marks"), why));
        }
        if same(&brought.entries, &now) {
            return true;
        }
        if !same(&now, &seen) {
            self.tell(not_brought(
                &(self.named)("index"),
                "something was staged outside meanwhile",
            ));
            return true;
        }
        let content = index::write(&brought.entries, format);
        match self.write_index(&content, &|| host.index().unwrap_or_default() == before) {
            Ok(true) => {
                if place.set_index(number, &content).is_err() {
                    self.tell(not_brought(&(self.named)("state"), "it can't be written"));
                }
                self.told_brought("index", format!("{} files", brought.entries.len()));
                true
            }
            Ok(false) => {
                self.again = true;
                self.tell(not_brought(
                    &(self.named)("index"),
                    "git outside is at work on it",
                ));
                false
            }
            Err(error) => {
                self.tell(not_brought(&(self.named)("index"), error));
                false
            }
        }
    }

    /// As git does it: under the name of the lock, then renamed. `false` where somebody holds the lock, or has written the
    /// index since it was read.
    fn write_index(&self, content: &[u8], is_as_read: &dyn Fn() -> bool) -> std::io::Result<bool> {
        let lock = self.host_work.join("index.lock");
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&lock);
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        };
        if !is_as_read() {
            return std::fs::remove_file(&lock).map(|()| false);
        }
        let written = file
            .write_all(content)
            .and_then(|()| std::fs::rename(&lock, self.host_work.join("index")));
        if written.is_err() {
            std::fs::remove_file(&lock).ok();
        }
        written.map(|()| true)
    }
}
