//! Paths. The rules are those of the view where a plan was made ([`crate::plan::Plan::effective`]): then what is said
//! here is what the kernel does.

use super::{Allow, Denied};
use crate::policy::{Access, Change, Origin, PathRule, Place};
use std::path::Path;

/// Whether `path` may be read, or written.
pub(super) fn decide(rules: &[PathRule], path: &Path, wanted: Access) -> Result<Allow, Box<Denied>> {
    let nearest = PathRule::nearest(rules, path);
    let allowed = nearest.is_some_and(|rule| rule.access <= wanted && rule.access != Access::Hide);
    if let Some(rule) = nearest.filter(|_| allowed) {
        return Ok(Allow {
            rule: Some(shown(rule)),
            origin: rule.origin.clone(),
            reason: rule.place.words().into(),
            by_request: false,
        });
    }
    let below =
        |rule: &&PathRule| rule.access != Access::Hide && rule.path != path && rule.path.starts_with(path);
    let hidden = nearest.is_none_or(|rule| rule.access == Access::Hide);
    // The stage makes directories on the way to what is shown; they hold nothing else.
    if wanted == Access::Read
        && hidden
        && let Some(rule) = rules
            .iter()
            .filter(below)
            .min_by_key(|rule| (&rule.path, &rule.origin))
    {
        return Ok(Allow {
            rule: Some(shown(rule)),
            origin: rule.origin.clone(),
            reason: "a directory on the way to what is shown, with nothing else in it".into(),
            by_request: false,
        });
    }
    let Some(rule) = nearest else {
        let change = match wanted {
            Access::Write => Change::write(path),
            Access::Read | Access::Hide => Change::read(path),
        };
        return Err(Denied::new(
            None,
            Origin::BuiltIn("view".into()),
            "it is not there inside: nothing that is shown holds it",
            change,
        ));
    };
    Err(Denied::new(
        Some(shown(rule)),
        rule.origin.clone(),
        reason(rule, wanted),
        change(rule, path, wanted),
    ))
}

fn shown(rule: &PathRule) -> String {
    let word = match rule.access {
        Access::Write => "write",
        Access::Read => "read",
        Access::Hide => "hide",
    };
    format!("{word} {}", rule.path.display())
}

fn reason(rule: &PathRule, wanted: Access) -> String {
    match (rule.access, &rule.place) {
        (Access::Hide, Place::Secret) => "a secret: its content is not there inside".into(),
        (Access::Hide, Place::Own) => "aca's own configuration and state are never seen inside".into(),
        (Access::Hide, Place::System) => "only root may read it outside, so nobody does inside".into(),
        (Access::Hide, _) => "hidden by a rule".into(),
        (Access::Read | Access::Write, Place::Protected(when)) => {
            format!("it stays as it is, since the host would run or trust it: {when}")
        }
        (Access::Read | Access::Write, Place::Rule | Place::Pattern) => "a rule makes it read-only".into(),
        (Access::Read | Access::Write, place) => {
            let what = if wanted == Access::Write {
                "can't be written"
            } else {
                "can't be read"
            };
            format!("it {what}: {}", place.words())
        }
    }
}

/// The narrowest rule that wins over `rule`. One flag can't win over another on the same path, and some places are open
/// to nobody.
fn change(rule: &PathRule, path: &Path, wanted: Access) -> Option<Change> {
    let same = path == rule.path;
    match (&rule.place, &rule.origin) {
        (Place::Own | Place::Kernel, _) => None,
        (Place::Rule, Origin::Flag(_)) if same => None,
        _ => grant(path, wanted),
    }
}

fn grant(path: &Path, wanted: Access) -> Option<Change> {
    match wanted {
        Access::Write => Change::write(path),
        Access::Read | Access::Hide => Change::read(path),
    }
}
