//! Does what is asked of a running session by its control socket.

use super::control::Serve;
use super::event::{Emit, Event};
use super::ports::{self, Ports, PortsLocked};
use crate::control::protocol::{Answer, NewRules, Refused, Request, RulesAdded, Status};
use crate::policy::Origin;
use crate::proxy::{ChangeError, Live};
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
    /// Takes what was changed.
    pub events: Arc<dyn Emit>,
    /// What changes which ports lead over the wall; `None` where the network is off.
    pub ports: Option<Arc<Ports>>,
    /// Why ports may not be opened.
    pub ports_locked: PortsLocked,
}

impl Serve for Desk {
    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(self.status()),
            Request::Rules(new) => self.rules(&new).map_or_else(Answer::Refused, Answer::Rules),
            Request::Ports(asked) => ports::answer(self, asked).map_or_else(Answer::Refused, Answer::Ports),
        }
    }
}

impl Desk {
    fn rules(&self, new: &NewRules) -> Result<RulesAdded, Refused> {
        let word = if new.allow { "allow" } else { "deny" };
        let origin = Origin::Session(format!("aca {word}"));
        let against = self
            .live
            .change(&new.hosts, new.allow, &origin)
            .map_err(refused)?;
        let cut = if new.cut { self.live.cut_denied() } else { 0 };
        let cut = u64::try_from(cut).unwrap_or(u64::MAX);
        self.events.emit(Event::RulesChanged {
            hosts: new.hosts.clone(),
            allow: new.allow,
            origin,
            cut,
        });
        Ok(RulesAdded {
            against: against
                .into_iter()
                .map(|(host, rule)| (host, rule.pattern, rule.origin))
                .collect(),
            cut,
        })
    }

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

fn refused(error: ChangeError) -> Refused {
    let hint = match &error {
        ChangeError::Off => "start it again with `--net listed`, or a wider preset".to_owned(),
        ChangeError::Locked(locked) => locked.hint.clone(),
        ChangeError::TooMany => "write them to the configuration, and start it again".to_owned(),
    };
    Refused::new(error.to_string(), hint)
}
