//! Repositories: `git fetch git@host:acme/app`, as it would be asked for through the user's ssh.

use super::Question;
use super::report::{Answer, Judged};
use crate::failure::{Failure, FailureKind};
use crate::git::ref_name::{RefName, RefNameError};
use crate::policy::{Action, GitOperation, RefChange, Repository};
use std::ffi::OsStr;

/// What git does, by its commands.
const COMMANDS: [(&str, GitOperation); 5] = [
    ("fetch", GitOperation::Fetch),
    ("clone", GitOperation::Fetch),
    ("pull", GitOperation::Fetch),
    ("ls-remote", GitOperation::Fetch),
    ("push", GitOperation::Push),
];

/// What is asked about.
pub(super) struct Asked {
    operation: GitOperation,
    repository: Repository,
    /// A ref of it that is pushed to.
    name: Option<RefName>,
}

/// Reads what was typed; `None` where it isn't about git.
pub(super) fn asked(text: &OsStr) -> Option<Result<Asked, Failure>> {
    let (command, rest) = text.to_str()?.strip_prefix("git ")?.split_once(' ')?;
    let (_, operation) = COMMANDS.iter().find(|(known, _)| *known == command)?;
    let (url, name) = match rest.trim().split_once(' ') {
        Some((url, name)) if *operation == GitOperation::Push => (url, Some(name.trim())),
        Some(_) | None => (rest.trim(), None),
    };
    let repository = url.parse::<Repository>().map_err(|error| {
        Failure::new(FailureKind::Usage, format!("`{url}`: {error}"))
            .hint("over https a repository is a URL like any other: `aca why https://HOST/PATH`")
    });
    Some(repository.and_then(|repository| {
        Ok(Asked {
            operation: *operation,
            repository,
            name: name.map(ref_name).transpose()?,
        })
    }))
}

/// A branch, or any ref by its full name.
pub(super) fn ref_name(text: &str) -> Result<RefName, Failure> {
    let full = if text.starts_with("refs/") {
        text.to_owned()
    } else {
        format!("refs/heads/{text}")
    };
    full.parse().map_err(|error: RefNameError| {
        Failure::new(FailureKind::Usage, format!("`{text}` is no ref: {error}"))
            .hint("a branch such as `agent/x`, or a full name such as `refs/tags/v1`")
    })
}

/// Explains it.
pub(super) fn answer(question: &Question, asked: Asked) -> Answer {
    let Asked {
        operation,
        repository,
        name,
    } = asked;
    if let Some(name) = name {
        return push(question, &repository, &name);
    }
    let what = format!("{} {repository}", operation.word());
    let action = Action::Git {
        operation,
        repository,
    };
    let mut judged = Judged::new("git", what, &question.policy.decide(&action));
    let mut notes = Vec::new();
    if judged.allowed {
        notes.push("the host is the one that your own ssh outside knows by that name".to_owned());
    } else {
        let change = question.that_works(question.policy.remedy(&action), |changed| changed.allows(&action));
        judged = judged.with(change.as_ref());
        let git = &question.policy.git;
        let (what, allowed): (_, Vec<String>) = match operation {
            GitOperation::Fetch => ("fetched", git.allowed().map(ToString::to_string).collect()),
            GitOperation::Push => ("pushed to", git.pushed().map(ToString::to_string).collect()),
        };
        if !allowed.is_empty() {
            notes.push(format!("may be {what}: {}", allowed.join(", ")));
        }
    }
    let mut answer = Answer::new("a repository", vec![judged]);
    answer.notes = notes;
    answer
}

/// Every way in which a ref may change.
const CHANGES: [(&str, RefChange, &str); 6] = [
    ("create", RefChange::Create, ""),
    ("update", RefChange::Update, ""),
    (
        "force",
        RefChange::Force { own: true },
        " (where the run itself created it)",
    ),
    ("force", RefChange::Force { own: false }, " (where it didn't)"),
    (
        "delete",
        RefChange::Delete { own: true },
        " (where the run itself created it)",
    ),
    ("delete", RefChange::Delete { own: false }, " (where it didn't)"),
];

pub(super) fn push(question: &Question, repository: &Repository, name: &RefName) -> Answer {
    let mut judged: Vec<Judged> = CHANGES
        .into_iter()
        .map(|(word, change, whose)| {
            let action = Action::Push {
                repository: repository.clone(),
                name: name.clone(),
                change,
            };
            let what = format!("{}{whose}", name.short());
            let mut judged = Judged::new(word, what, &question.policy.decide(&action));
            judged.reason.push_str(whose);
            judged
        })
        .collect();
    // Once is enough, and where no rule lets it none has to go.
    let denied = judged.iter_mut().filter(|judged| !judged.allowed);
    for (index, denied) in denied.enumerate() {
        denied.allow_line = denied.allow_line.take().filter(|_| index == 0);
        denied.remove_rule &= denied.rule.is_some();
    }
    let is_pushed = judged.iter().take(2).any(|judged| judged.allowed);
    let mut answer = Answer::new("a push", judged);
    answer.allowed = is_pushed;
    let git = &question.policy.git;
    let refs = git.pushed_refs(repository);
    if !refs.is_empty() {
        answer
            .notes
            .push(format!("may be pushed there: {}", refs.join(", ")));
    }
    if let Some(bounds) = git.push_bounds(repository) {
        answer.notes.push(format!(
            "a push has at most {} bytes and {} new commits; {} paths are protected, and secrets are {}",
            bounds.max_pack,
            bounds.max_commits,
            bounds.protect.len(),
            if bounds.scan_secrets {
                "searched for"
            } else {
                "not searched for"
            }
        ));
    }
    answer
}
