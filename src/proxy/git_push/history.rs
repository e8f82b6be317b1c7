//! History that was loaded from a server for one push, kept for the next ones: a session that works in a shallow clone would
//! load the same with each. It is aca's own, and gone with the session; what changed on the server since is loaded anew,
//! where a push needs it.

use super::judge::Loaded;
use crate::policy::Repository;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Repositories whose history is kept.
const KEPT_MAX: usize = 2;
/// For how long: less than what another session takes for left by a run that was killed (`super::super::git_ssh`).
const KEPT_FOR: Duration = Duration::from_secs(30 * 60);

/// That of one session.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    repository: Repository,
    loaded: Arc<Loaded>,
    until: Instant,
}

impl Kept {
    /// What was loaded of a repository.
    pub(super) fn get(&self, repository: &Repository) -> Option<Arc<Loaded>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|entry| entry.until > now);
        let found = all.iter().find(|entry| entry.repository == *repository)?;
        Some(Arc::clone(&found.loaded))
    }

    /// Keeps it, in the place of what was loaded before.
    pub(super) fn put(&self, repository: &Repository, loaded: Loaded) -> Arc<Loaded> {
        let loaded = Arc::new(loaded);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|entry| entry.repository != *repository);
        if all.len() >= KEPT_MAX {
            all.remove(0);
        }
        all.push(Entry {
            repository: repository.clone(),
            loaded: Arc::clone(&loaded),
            until: Instant::now() + KEPT_FOR,
        });
        loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_any_more_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let kept = Kept::default();
        let name = |number: u8| format!("git@forge:acme/{number}").parse::<Repository>().unwrap();
        let place = |number: u8| root.path().join(number.to_string());
        for number in 0..3 {
            std::fs::create_dir(place(number)).unwrap();
            let loaded = Loaded {
                stores: Vec::new(),
                remove: vec![place(number)],
            };
            kept.put(&name(number), loaded);
        }
        let is_there = |number: u8| std::fs::metadata(place(number)).is_ok();
        assert!(kept.get(&name(0)).is_none() && !is_there(0));
        assert!(kept.get(&name(2)).is_some() && is_there(1) && is_there(2));
        kept.put(&name(2), Loaded::default());
        assert!(!is_there(2));
        drop(kept);
        assert!(!is_there(1));
    }
}
