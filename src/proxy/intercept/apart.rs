//! Connections to the server for requests that go with the user's credential, and for nothing else.
//!
//! What a client inside asks for itself and what is asked in the user's name never share a connection: a server, or what
//! stands before it, that takes the end of one request for the beginning of the next would put the client's words behind
//! the user's name. Each repository has its own; they end with the client's connection, and none is ever another's.

use super::exchange::{Outgoing, Shared};
use std::sync::{Arc, Mutex, PoisonError};

/// Most that are kept for one connection of a client's: one more than a push with its history needs.
const KEPT_MAX: usize = 4;

/// Those that one connection of a client's has, by the path of the repository; the one that was used last stands last.
#[derive(Default)]
pub(super) struct Apart(Mutex<Vec<(String, Arc<Outgoing>)>>);

impl Apart {
    /// The connection for a repository: as it is, or a new one where there is none that the server takes requests by.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connection(&self, shared: &Shared, path: &str) -> Result<Arc<Outgoing>, String> {
        if let Some(kept) = self.kept(path)
            && kept.is_open().await
        {
            return Ok(kept);
        }
        let made = Arc::new(shared.again.connect(&shared.judge, &shared.tasks).await?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| other != path);
        if all.len() >= KEPT_MAX {
            // Whoever still uses it has it as long as it takes.
            all.remove(0);
        }
        all.push((path.to_owned(), Arc::clone(&made)));
        Ok(made)
    }

    fn kept(&self, path: &str) -> Option<Arc<Outgoing>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, _)| other == path)?;
        let found = all.remove(at);
        let kept = Arc::clone(&found.1);
        all.push(found);
        Some(kept)
    }

    /// Lets one go that the server has ended.
    pub(super) fn forget(&self, ended: &Arc<Outgoing>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, kept)| !Arc::ptr_eq(kept, ended));
    }
}
