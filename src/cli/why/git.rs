//! Repositories: `git fetch git@host:acme/app`, as it would be asked for through the user's ssh.

use super::Question;
use super::report::{Answer, Judged};
use crate::failure::{Failure, FailureKind};
use crate::policy::{Action, GitOperation, Repository};
use std::ffi::OsStr;

/// What git does, by its commands.
const COMMANDS: [(&str, GitOperation); 5] = [
    ("fetch", GitOperation::Fetch),
    ("clone", GitOperation::Fetch),
    ("pull", GitOperation::Fetch),
    ("ls-remote", GitOperation::Fetch),
    ("push", GitOperation::Push),
];

/// Reads what was typed; `None` where it isn't about git.
pub(super) fn asked(text: &OsStr) -> Option<Result<(GitOperation, Repository), Failure>> {
    let (command, url) = text.to_str()?.strip_prefix("git ")?.split_once(' ')?;
    let (_, operation) = COMMANDS.iter().find(|(known, _)| *known == command)?;
    let repository = url.trim().parse::<Repository>();
    Some(
        repository
            .map(|repository| (*operation, repository))
            .map_err(|error| {
                Failure::new(FailureKind::Usage, format!("`{url}`: {error}"))
                    .hint("over https a repository is a URL like any other: `aca why https://HOST/PATH`")
            }),
    )
}

/// Explains it.
pub(super) fn answer(question: &Question, operation: GitOperation, repository: Repository) -> Answer {
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
        let allowed: Vec<String> = question.policy.git.allowed().map(ToString::to_string).collect();
        if !allowed.is_empty() {
            notes.push(format!("may be fetched: {}", allowed.join(", ")));
        }
    }
    let mut answer = Answer::new("a repository", vec![judged]);
    answer.notes = notes;
    answer
}
