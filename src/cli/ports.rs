//! `aca ports`: which ports of a running session lead over the wall, what listens inside, and the change of both.

use super::flags::{PortsArgs, PortsCommand};
use super::rules::{client_failure, refuse_inside, write};
use crate::config::Places;
use crate::control::protocol::{OpenPort, PortsAsked, PortsState};
use crate::control::{Answer, ClientError, Request, Session, client};
use crate::facts::{Ambient, Project};
use crate::failure::{Failure, FailureKind};
use crate::policy::{HostPort, PortError, PortKind, Published};
use crate::ui::sanitize;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// How long a session may take: its first process is asked as well.
const WITHIN: Duration = Duration::from_secs(15);

/// Asks the session, and prints what is open then.
///
/// # Errors
/// There is no such session, or it says no.
pub fn execute(args: &PortsArgs) -> Result<ExitCode, Failure> {
    let asked = asked(args)?;
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    refuse_inside(&ambient)?;
    let control = Places::new(&ambient.environment, &ambient.home, &ambient.directory).control();
    let project = Project::find(&ambient.directory, &ambient.home).map(|project| project.root);
    let session =
        client::find(&control, args.session.as_deref(), project.ok().as_deref()).map_err(client_failure)?;
    let request = Request::Ports(asked);
    let answer = client::ask_within(&control, &session.id, &request, WITHIN).map_err(client_failure)?;
    let Answer::Ports(state) = answer else {
        return Err(client_failure(ClientError::Answer(session.id)));
    };
    let text = if args.json {
        let json =
            serde_json::to_string(&state).map_err(|error| Failure::new(FailureKind::Internal, error))?;
        format!("{json}\n")
    } else {
        match args.command {
            None => listed(&session, &state),
            Some(_) => state.open.iter().map(|port| format!("{}\n", led(port))).collect(),
        }
    };
    write(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What the words ask for.
fn asked(args: &PortsArgs) -> Result<PortsAsked, Failure> {
    let wrong = |error: PortError| Failure::new(FailureKind::Usage, error);
    Ok(match &args.command {
        None => PortsAsked::List,
        Some(PortsCommand::Add { host: true, port }) => {
            PortsAsked::HostPort(port.parse::<HostPort>().map_err(wrong)?)
        }
        Some(PortsCommand::Add { host: false, port }) => {
            PortsAsked::Publish(port.parse::<Published>().map_err(wrong)?)
        }
        Some(PortsCommand::Remove { host: true, port }) => PortsAsked::CloseHostPort(*port),
        Some(PortsCommand::Remove { host: false, port }) => PortsAsked::ClosePublished(*port),
    })
}

fn listed(session: &Session, state: &PortsState) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a String can't fail.
        let _infallible = writeln!(text, "{}", sanitize::line_within(&line, 400));
    };
    line(format!(
        "session {}: {} in {}",
        session.id,
        session.status.agent,
        session.status.project.display()
    ));
    for port in &state.open {
        line(format!("  open     {} ({})", led(port), port.origin));
    }
    let reached = |port: u16| {
        let mut open = state.open.iter();
        open.any(|open| open.kind == PortKind::Published && open.inside == port)
    };
    match &state.listening {
        None => line("  what listens inside isn't told by this kernel".into()),
        Some(listening) => {
            for listening in listening {
                let offer = if reached(listening.port()) {
                    String::new()
                } else {
                    format!("; to reach it from the host: aca ports add {}", listening.port())
                };
                line(format!("  listens  {listening} inside{offer}"));
            }
        }
    }
    if state.left_out > 0 {
        line(format!("  and {} that listen besides", state.left_out));
    }
    if state.open.is_empty() && state.listening.as_ref().is_some_and(Vec::is_empty) {
        line("  no port is open, and nothing listens inside".into());
    }
    text
}

/// Where it leads.
fn led(port: &OpenPort) -> String {
    let there = match port.address {
        Some(address) => SocketAddr::new(address, port.host).to_string(),
        None => format!("localhost:{}", port.host),
    };
    match port.kind {
        PortKind::HostPort => format!("localhost:{} inside leads to {there} of the host", port.inside),
        PortKind::Published => format!("{there} of the host leads to port {} inside", port.inside),
    }
}
