//! Repositories: what may be fetched, and what pushed.

use super::super::git::{Standing, reason};
use super::super::{
    Change, GitOperation, GitRule, NetworkPreset, Origin, Policy, PushTarget, RefChange, Repository,
};
use super::{Allow, Denied, network};
use crate::git::ref_name::RefName;

/// Whether a repository is reached at all: one that no rule names isn't.
pub(super) fn decide(
    policy: &Policy,
    operation: GitOperation,
    asked: &Repository,
) -> Result<Allow, Box<Denied>> {
    reached(policy, asked)?;
    if operation == GitOperation::Push {
        return match policy.git.standing(asked) {
            Standing::Granted(grants) => allow(asked, grants.first().map(|(rule, _)| &rule.origin)),
            Standing::No(rule) => Err(no(&rule.repository, &rule.origin)),
            Standing::Unnamed => Err(unnamed(Some(PushTarget {
                repository: asked.clone(),
                also: None,
            }))),
        };
    }
    let first = |fetch| {
        let is_meant = move |rule: &&GitRule| match fetch {
            true => rule.fetch && rule.repository.means(asked),
            false => !rule.fetch && rule.repository.may_mean(asked),
        };
        let rules = policy.git.rules.iter().filter(is_meant);
        rules.min_by_key(|rule| (&rule.origin, &rule.repository))
    };
    if let Some(rule) = first(false) {
        return Err(no(&rule.repository, &rule.origin));
    }
    match first(true) {
        Some(rule) => allow(&rule.repository, Some(&rule.origin)),
        None => Err(Denied::new(
            None,
            built_in(),
            "no rule names this repository",
            Some(Change::Fetch(asked.clone())),
        )),
    }
}

/// Whether a ref of it may change so.
pub(super) fn push(
    policy: &Policy,
    asked: &Repository,
    name: &RefName,
    change: RefChange,
) -> Result<Allow, Box<Denied>> {
    reached(policy, asked)?;
    let remedy = || PushTarget::of(asked, name, change);
    let grants = match policy.git.standing(asked) {
        Standing::Granted(grants) => grants,
        Standing::No(rule) => return Err(no(&rule.repository, &rule.origin)),
        Standing::Unnamed => return Err(unnamed(remedy())),
    };
    let mut letting = grants
        .iter()
        .filter(|(_, grant)| policy.git.lets(grant, name, change));
    if let Some((rule, _)) = letting.next() {
        return allow(&rule.repository, Some(&rule.origin));
    }
    let origin = grants
        .first()
        .map_or_else(built_in, |(rule, _)| rule.origin.clone());
    let why = reason(change, policy.git.is_default_branch(name));
    Err(Denied::new(None, origin, why, remedy().map(Change::Push)))
}

fn reached(policy: &Policy, asked: &Repository) -> Result<(), Box<Denied>> {
    let network = &policy.network;
    if network.preset == NetworkPreset::None {
        let origin = Origin::BuiltIn("network preset none".into());
        return Err(Denied::new(None, origin, "the network is off", None));
    }
    match network::denying(network, asked.host(), asked.usual_port()) {
        Some(rule) => {
            let (pattern, origin) = (rule.pattern.to_string(), rule.origin.clone());
            Err(Denied::new(Some(pattern), origin, "a rule denies its host", None))
        }
        None => Ok(()),
    }
}

fn built_in() -> Origin {
    Origin::BuiltIn("git".into())
}

fn no(repository: &Repository, origin: &Origin) -> Box<Denied> {
    Denied::new(
        Some(repository.to_string()),
        origin.clone(),
        "denied by a rule",
        None,
    )
}

fn unnamed(target: Option<PushTarget>) -> Box<Denied> {
    let why = "no rule lets it be pushed to: it is read-only from inside";
    Denied::new(None, built_in(), why, target.map(Change::Push))
}

fn allow(repository: &Repository, origin: Option<&Origin>) -> Result<Allow, Box<Denied>> {
    Ok(Allow {
        rule: Some(repository.to_string()),
        origin: origin.cloned().unwrap_or_else(built_in),
        reason: "a rule allows it".into(),
        by_request: false,
    })
}
