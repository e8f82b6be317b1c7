//! Does what is asked of a running session by its control socket.

use super::control::Serve;
use super::event::{AskAnswer, Emit, Event};
use super::ports::{self, Ports, PortsLocked};
use crate::control::protocol::{Answer, Ask, Decision, NewRules, Refused, Request, RulesAdded, Status};
use crate::policy::{HostPattern, Origin};
use crate::proxy::{AnswerError, ChangeError, Live, Waiting};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
            Request::Asks => asks(self.live.asks().list()),
            Request::Watch { seen } => asks(self.live.asks().watch(seen, WATCH)),
            Request::Decide { ask, decision } => match self.decide(ask, decision) {
                Ok((host, connections)) => Answer::Decided {
                    host,
                    connections: u64::try_from(connections).unwrap_or(u64::MAX),
                },
                Err(refused) => Answer::Refused(refused),
            },
            Request::Rules(new) => self.rules(&new).map_or_else(Answer::Refused, Answer::Rules),
            Request::Ports(asked) => ports::answer(self, asked).map_or_else(Answer::Refused, Answer::Ports),
        }
    }
}

/// How long whoever listens waits at once. One that is gone counts as there for as long.
const WATCH: Duration = Duration::from_secs(5);

fn asks((version, waiting): (u64, Vec<Waiting>)) -> Answer {
    let asks = waiting.into_iter().map(|waiting| {
        let program = waiting.program.map(|program| (program.pid, program.path));
        let (pid, program) = program.unzip();
        Ask {
            number: waiting.number,
            host: waiting.question.host,
            port: waiting.question.port,
            left_ms: u64::try_from(waiting.left.as_millis()).unwrap_or(u64::MAX),
            connections: u64::try_from(waiting.connections).unwrap_or(u64::MAX),
            pid,
            program,
        }
    });
    Answer::Asks {
        version,
        asks: asks.collect(),
    }
}

impl Desk {
    fn decide(&self, ask: u64, decision: Decision) -> Result<(HostPattern, usize), Refused> {
        let answer = match decision {
            Decision::Once => AskAnswer::Once,
            Decision::Session => AskAnswer::Session,
            Decision::Deny => AskAnswer::Denied,
        };
        self.live
            .answer(ask, answer, "aca approve")
            .map_err(|error| match error {
                AnswerError::Change(error) => refused(error),
                error @ AnswerError::Gone(_) => {
                    Refused::new(error.to_string(), "`aca approve --list` shows what waits")
                }
            })
    }

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
        ChangeError::Unseen(pattern) => format!(
            "start it again with `--allow '{pattern}'`, or with that in `[network] allow` of your configuration"
        ),
        ChangeError::TooMany => "write them to the configuration, and start it again".to_owned(),
    };
    Refused::new(error.to_string(), hint)
}
