//! `aca allow` and `aca deny`: rules for a session that runs, and for later ones where they are saved.

use super::flags::RulesArgs;
use crate::config::edit::{self, EditError, List};
use crate::config::{self, Lock, Places};
use crate::control::client::{self, ClientError};
use crate::control::protocol::{Answer, NewRules, Request, RulesAdded};
use crate::facts::{Ambient, Project};
use crate::failure::{Failure, FailureKind};
use crate::policy::HostPattern;
use crate::ui::{self, sanitize};
use std::process::ExitCode;

/// What the hosts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They may be reached.
    Allow,
    /// They may not.
    Deny {
        /// Open connections end.
        cut: bool,
    },
}

/// Adds the rules. Exit status 1 when a host that was to be allowed stays denied.
///
/// # Errors
/// No session, several, or one that refuses; a configuration that can't be written.
pub fn execute(args: &RulesArgs, effect: Effect) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    refuse_inside(&ambient)?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    let allow = effect == Effect::Allow;
    if args.save && allow {
        refuse_locked()?;
    }
    let project = Project::find(&ambient.directory, &ambient.home).ok();
    let project = project.as_ref().map(|project| project.root.as_path());
    let control = places.control();
    let found = client::find(&control, args.session.as_deref(), project);
    let mut stays = false;
    match found {
        Ok(session) => {
            let new = NewRules {
                hosts: args.hosts.clone(),
                allow,
                cut: effect == Effect::Deny { cut: true },
            };
            let answer = client::ask(&control, &session.id, &Request::Rules(new)).map_err(client_failure)?;
            let Answer::Rules(added) = answer else {
                return Err(client_failure(ClientError::Answer(session.id)));
            };
            stays = !added.against.is_empty();
            write(&told(session.id.as_str(), &args.hosts, allow, &added))?;
        }
        // What is saved counts for the next one.
        Err(ClientError::Nobody) if args.save => {}
        Err(error) => {
            let alone = matches!(error, ClientError::Nobody);
            let failure = client_failure(error);
            return Err(if alone {
                failure.hint("`--save` writes it to your configuration, for later runs")
            } else {
                failure
            });
        }
    }
    if args.save {
        let list = if allow { List::Allow } else { List::Deny };
        write(&save(&places, list, &args.hosts)?)?;
    }
    Ok(ExitCode::from(u8::from(stays)))
}

/// Writes hosts to the user's configuration, and says so.
pub(super) fn save(places: &Places, list: List, hosts: &[HostPattern]) -> Result<String, Failure> {
    let (path, changed) = edit::save(&places.config_file(), list, hosts).map_err(edit_failure)?;
    let path = sanitize::line(&path.to_string_lossy()).into_owned();
    Ok(if changed {
        format!("written to {path}\n")
    } else {
        format!("it stands in {path} already\n")
    })
}

/// Whoever is inside of a run can't get at the sessions: this only says so.
pub(super) fn refuse_inside(ambient: &Ambient) -> Result<(), Failure> {
    if ambient.variable("ACA").is_none() {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Usage,
        "rules are changed from outside: this is the inside of a run",
    )
    .hint("use another terminal"))
}

/// What an administrator locks is no more to be written than said.
pub(super) fn refuse_locked() -> Result<(), Failure> {
    let Some(file) = config::load_administrators()? else {
        return Ok(());
    };
    let Some(forbidden) = file.locked(Lock::Allow) else {
        return Ok(());
    };
    Err(Failure::new(
        FailureKind::Configuration,
        format!("`network.allow` is locked by {}", forbidden.origin),
    )
    .hint(forbidden.hint()))
}

fn told(session: &str, hosts: &[HostPattern], allow: bool, added: &RulesAdded) -> String {
    let word = if allow { "allowed" } else { "denied" };
    let mut text = format!(
        "session {session}: {word} from now on: {}\n",
        ui::event::hosts(hosts)
    );
    for (host, rule, origin) in &added.against {
        let line = format!("`{host}` stays denied: a deny wins (`{rule}`, {origin})");
        text.push_str(&format!("{}\n", sanitize::line(&line)));
    }
    match added.cut {
        0 => {}
        1 => text.push_str("1 connection was ended\n"),
        count => text.push_str(&format!("{count} connections were ended\n")),
    }
    text
}

pub(super) fn client_failure(error: ClientError) -> Failure {
    let (kind, hint) = match &error {
        ClientError::Nobody | ClientError::Gone(_) => (FailureKind::Machine, None),
        ClientError::Unknown(_) => (FailureKind::Usage, Some("`aca sessions` lists them".to_owned())),
        ClientError::Several(_) => (
            FailureKind::Usage,
            Some("name one with `--session ID`; `aca sessions` shows what each is".to_owned()),
        ),
        ClientError::Frame { .. } => (
            FailureKind::Machine,
            Some("one that is stopped (Ctrl-Z) answers once it is continued".to_owned()),
        ),
        ClientError::Answer(_) => (
            FailureKind::Machine,
            Some("use the aca that started it".to_owned()),
        ),
        ClientError::Refused(refused) => (FailureKind::Configuration, refused.hint.clone()),
        ClientError::Place(_) => (
            FailureKind::Machine,
            Some("see that the directory is yours, mode 700".to_owned()),
        ),
    };
    let failure = Failure::new(kind, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn edit_failure(error: EditError) -> Failure {
    match error {
        EditError::Config(error) => error.into(),
        error @ EditError::Form { .. } => Failure::new(FailureKind::Configuration, error)
            .hint("write it there yourself; `aca config check FILE` says whether it is right"),
        error @ (EditError::Busy(_) | EditError::Locked(_) | EditError::Call { .. }) => {
            Failure::new(FailureKind::Machine, error)
        }
    }
}

pub(super) fn write(text: &str) -> Result<(), Failure> {
    ui::write_out(text).map_err(|error| Failure::new(FailureKind::Machine, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    #[test]
    fn what_stays_denied_is_told_with_its_rule() {
        let hosts = ["a.test".parse().unwrap()];
        let origin = Origin::File {
            path: "/c\u{1b}.toml".into(),
            line: 3,
            column: 9,
        };
        let added = RulesAdded {
            against: vec![("a.test".parse().unwrap(), "*.test".parse().unwrap(), origin)],
            cut: 2,
        };
        let text = told("S", &hosts, true, &added);
        assert_eq!(
            text,
            "session S: allowed from now on: `a.test`\n\
             `a.test` stays denied: a deny wins (`*.test`, /c\\u{1b}.toml:3:9)\n2 connections were ended\n"
        );
    }
}
