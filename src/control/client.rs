//! Asks a running session.

use super::frame::{self, ANSWER_MAX, FrameError, REQUEST_MAX};
use super::place::{Directory, PlaceError};
use super::protocol::{Answer, Refused, Request, Status};
use crate::audit::SessionId;
use std::path::Path;
use std::time::Duration;

/// How long a session may take to answer. One that is stopped (Ctrl-Z) doesn't.
const WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The sockets can't be got at.
    #[error("cannot reach the running sessions")]
    Place(#[from] PlaceError),
    /// No session runs.
    #[error("no session is running")]
    Nobody,
    /// None that runs begins like that.
    #[error("no session that begins with `{0}` is running")]
    Unknown(String),
    /// Several could be meant.
    #[error("{} sessions could be meant: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// It ended meanwhile.
    #[error("session {0} has ended")]
    Gone(SessionId),
    /// It doesn't answer, or strangely.
    #[error("session {session} gives no answer")]
    Frame {
        /// Which.
        session: SessionId,
        /// Why.
        source: FrameError,
    },
    /// It answers something else.
    #[error("session {0} answers something else than it was asked")]
    Answer(SessionId),
    /// It says no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A session that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What it says of itself.
    pub status: Status,
}

/// The running sessions whose sockets are in that directory, oldest first. One that doesn't answer is told by the second
/// list.
///
/// # Errors
/// The directory can't be used.
pub fn running(control: &Path) -> Result<(Vec<Session>, Vec<ClientError>), ClientError> {
    let (mut sessions, mut mute) = (Vec::new(), Vec::new());
    let Some(directory) = Directory::open(control)? else {
        return Ok((sessions, mute));
    };
    for id in directory.sessions()? {
        match ask_in(&directory, &id, &Request::Status, WITHIN) {
            Ok(Answer::Status(status)) => sessions.push(Session { id, status }),
            Ok(_) => mute.push(ClientError::Answer(id)),
            Err(ClientError::Gone(_)) => {}
            Err(error) => mute.push(error),
        }
    }
    Ok((sessions, mute))
}

/// The ids of the sessions that have a socket, oldest first. Nobody is asked: some may be gone, or stopped.
///
/// # Errors
/// The directory can't be used.
pub fn ids(control: &Path) -> Result<Vec<SessionId>, ClientError> {
    match Directory::open(control)? {
        Some(directory) => Ok(directory.sessions()?),
        None => Ok(Vec::new()),
    }
}

/// The session whose id begins with `prefix`. Without one it is the only one that runs; else the only one of that project.
///
/// # Errors
/// None, or several.
pub fn find(control: &Path, prefix: Option<&str>, project: Option<&Path>) -> Result<Session, ClientError> {
    let (mut sessions, mut mute) = running(control)?;
    if let Some(prefix) = prefix {
        sessions.retain(|session| session.id.as_str().starts_with(prefix));
        if sessions.is_empty() {
            return Err(ClientError::Unknown(prefix.to_owned()));
        }
    } else if sessions.len() > 1
        && let Some(project) = project
    {
        let of_project: Vec<Session> = sessions
            .iter()
            .filter(|session| session.status.project == project)
            .cloned()
            .collect();
        if !of_project.is_empty() {
            sessions = of_project;
        }
    }
    match (sessions.len(), sessions.pop()) {
        (1, Some(session)) => Ok(session),
        (_, None) => Err(mute.pop().unwrap_or(ClientError::Nobody)),
        (_, Some(last)) => {
            sessions.push(last);
            Err(ClientError::Several(
                sessions.iter().map(|session| session.id.to_string()).collect(),
            ))
        }
    }
}

/// Asks one session, which has the usual time.
///
/// # Errors
/// See [`ClientError`]; what the session refuses is [`ClientError::Refused`].
pub fn ask(control: &Path, session: &SessionId, request: &Request) -> Result<Answer, ClientError> {
    ask_within(control, session, request, WITHIN)
}

/// Asks one session, which has so much time: for what it may wait for.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(
    control: &Path,
    session: &SessionId,
    request: &Request,
    within: Duration,
) -> Result<Answer, ClientError> {
    match Directory::open(control)? {
        Some(directory) => ask_in(&directory, session, request, within),
        None => Err(ClientError::Gone(session.clone())),
    }
}

fn ask_in(
    directory: &Directory,
    session: &SessionId,
    request: &Request,
    within: Duration,
) -> Result<Answer, ClientError> {
    let failed = |source| ClientError::Frame {
        session: session.clone(),
        source,
    };
    let mut stream = match directory.connect(session) {
        Ok(Some(stream)) => stream,
        Ok(None) => return Err(ClientError::Gone(session.clone())),
        Err(PlaceError::Full) => return Err(failed(FrameError::Late)),
        Err(error) => return Err(error.into()),
    };
    match frame::write(&mut stream, request, REQUEST_MAX, WITHIN) {
        // A session that doesn't serve this process says so without reading.
        Ok(()) | Err(FrameError::Closed) => {}
        Err(source) => return Err(failed(source)),
    }
    match frame::read(&mut stream, ANSWER_MAX, within).map_err(failed)? {
        Answer::Refused(refused) => Err(refused.into()),
        answer @ (Answer::Status(_)
        | Answer::Rules(_)
        | Answer::Asks { .. }
        | Answer::Decided { .. }
        | Answer::Ports(_)) => Ok(answer),
    }
}
