//! Does what is asked of a running session by its control socket.

use super::control::Serve;
use crate::control::protocol::{Answer, Request, Status};
use crate::proxy::Live;
use std::path::PathBuf;
use std::sync::Arc;

/// What of a session can be asked and changed.
pub struct Desk {
    /// The session's id.
    pub session: String,
    /// The agent's name.
    pub agent: String,
    /// The project's directory.
    pub project: PathBuf,
    /// The policy, and what is open under it.
    pub live: Arc<Live>,
}

impl Serve for Desk {
    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(self.status()),
        }
    }
}

impl Desk {
    fn status(&self) -> Status {
        Status {
            session: self.session.clone(),
            agent: self.agent.clone(),
            project: self.project.clone(),
            pid: std::process::id(),
            network: self.live.current().network.preset,
            connections: u64::try_from(self.live.count()).unwrap_or(u64::MAX),
        }
    }
}
