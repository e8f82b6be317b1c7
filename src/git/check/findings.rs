//! What was found, as the process tells it that read hostile bytes. It may be under their control: what it says is read
//! strictly, and its texts are made plain.

use super::super::ancestry::Ancestry;
use super::super::object_id::ObjectId;
use super::super::pack::PackError;
use super::super::ref_name::{RefName, hides};
use super::question::Question;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most problems that are told one by one.
pub const PROBLEMS_MAX: usize = 50;
/// Most bytes of an answer.
pub const ANSWER_MAX: usize = 256 << 10;
/// Most characters of a text in it.
const TEXT_MAX: usize = 200;

/// The answer to a [`Question`]: findings, or why the pack isn't taken at all.
pub type Answer = Result<Findings, PackError>;

/// What a push holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// For each command of the question, whether what the ref was is behind what it becomes. `None` where it is made or
    /// goes.
    pub commands: Vec<Option<Ancestry>>,
    /// What speaks against it. Empty, and only then, nothing that was asked about does.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: u32,
    /// Objects in the pack.
    pub objects: u32,
    /// Commits among them.
    pub commits: u32,
}

/// Something that speaks against a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// A commit has other contents at a protected path than any branch of the server's that vouches.
    Protected {
        /// The pattern that protects it.
        pattern: String,
        /// The path as it is in the commit; the fixed part of the pattern where the commit doesn't have it.
        path: String,
        /// The commit.
        commit: ObjectId,
        /// The ref, where the commit is its new tip.
        name: Option<RefName>,
    },
    /// Something that looks like a secret, or is one that aca holds.
    Secret {
        /// What kind.
        rule: String,
        /// The object that has it.
        object: ObjectId,
        /// Where that is in the first tree that has it; `None` for messages, and for what no tree in the pack has.
        path: Option<String>,
    },
    /// A tree with a name that some system takes for git's own directory, that leads out of the tree, or that isn't
    /// written as git writes it.
    TreeName {
        /// The tree.
        object: ObjectId,
    },
    /// `.gitmodules` is a symbolic link.
    ModulesLink {
        /// The tree.
        object: ObjectId,
    },
    /// A commit or a tag that git would not have written so.
    Malformed {
        /// Which.
        object: ObjectId,
    },
    /// A ref shall become what is no commit, nor a tag of one.
    NoCommit {
        /// The ref.
        name: RefName,
        /// The object.
        object: ObjectId,
    },
    /// A ref shall become an object that is neither in the pack nor in the repository nor a tip of the server's.
    Missing {
        /// The ref.
        name: RefName,
        /// The object.
        object: ObjectId,
    },
    /// More commits in one push than the policy has.
    TooManyCommits {
        /// How many.
        commits: u32,
        /// The bound.
        most: u32,
    },
    /// A protected path couldn't be compared: a tree of the commit, or of every tip that could vouch for it, isn't there.
    Unproven {
        /// The pattern.
        pattern: String,
        /// The commit.
        commit: ObjectId,
        /// What isn't there.
        lacking: ObjectId,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected {
                pattern,
                path,
                commit,
                name,
            } => {
                write!(to, "commit {}", short(commit))?;
                if let Some(name) = name {
                    write!(to, ", the new tip of {name},")?;
                }
                write!(
                    to,
                    " has {path} as no branch of the server has it, those that agents push aside, and {pattern} is protected; \
                     if it is from before that changed there, rebase onto what the server has now"
                )
            }
            Self::Secret { rule, object, path } => match path {
                Some(path) => write!(to, "{path} ({}) holds {rule}", short(object)),
                None => write!(to, "object {} holds {rule}", short(object)),
            },
            Self::TreeName { object } => write!(
                to,
                "tree {} isn't one as git writes it: a name in it means git's own directory, or leads out",
                short(object)
            ),
            Self::ModulesLink { object } => {
                write!(to, "tree {}: .gitmodules is a symbolic link", short(object))
            }
            Self::Malformed { object } => write!(to, "object {} isn't one as git writes it", short(object)),
            Self::NoCommit { name, object } => {
                write!(to, "{name} would become {}, which is no commit", short(object))
            }
            Self::Missing { name, object } => write!(
                to,
                "{name} would become {}, which is neither in the push nor in the repository here",
                short(object)
            ),
            Self::TooManyCommits { commits, most } => {
                write!(to, "{commits} commits in one push, {most} are allowed")
            }
            Self::Unproven {
                pattern,
                commit,
                lacking,
            } => write!(
                to,
                "whether {pattern} in commit {} is as on the server can't be told, since {} isn't here; `git fetch` what \
                 the server has, and push again",
                short(commit),
                short(lacking)
            ),
        }
    }
}

/// The first digits, as git shows a name.
fn short(id: &ObjectId) -> String {
    id.to_string().chars().take(10).collect()
}

/// An answer that isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It isn't of the form, or longer than one can be.
    #[error("it is no answer")]
    Form,
    /// It answers something else.
    #[error("it doesn't fit what was asked")]
    Question,
}

/// Reads what the process said to `question`.
///
/// # Errors
/// [`AnswerError`]; the push is refused then.
pub fn read_answer(bytes: &[u8], question: &Question) -> Result<Answer, AnswerError> {
    if bytes.len() > ANSWER_MAX {
        return Err(AnswerError::Form);
    }
    let (answer, rest) = postcard::take_from_bytes::<Answer>(bytes).map_err(|_| AnswerError::Form)?;
    if !rest.is_empty() {
        return Err(AnswerError::Form);
    }
    let mut findings = match answer {
        Ok(findings) => findings,
        Err(fault) if question.has_pack => return Ok(Err(fault)),
        Err(_) => return Err(AnswerError::Question),
    };
    let fits = findings.commands.len() == question.commands.len()
        && findings
            .commands
            .iter()
            .zip(&question.commands)
            .all(|(said, asked)| said.is_some() == (asked.old.is_some() && asked.new.is_some()))
        && findings.problems.len() <= PROBLEMS_MAX
        && (findings.more == 0 || !findings.problems.is_empty())
        && findings.commits <= findings.objects
        && findings.objects <= question.limits.objects
        && (question.has_pack || findings.objects == 0)
        && findings
            .problems
            .iter()
            .all(|problem| is_about(problem, question));
    if !fits {
        return Err(AnswerError::Question);
    }
    for problem in &mut findings.problems {
        make_plain(problem);
    }
    Ok(Ok(findings))
}

/// Whether a problem speaks of what was asked.
fn is_about(problem: &Problem, question: &Question) -> bool {
    let objects = match problem {
        Problem::Protected { commit, .. } => vec![commit],
        Problem::Secret { object, .. }
        | Problem::TreeName { object }
        | Problem::ModulesLink { object }
        | Problem::Malformed { object }
        | Problem::NoCommit { object, .. }
        | Problem::Missing { object, .. } => vec![object],
        Problem::TooManyCommits { .. } => Vec::new(),
        Problem::Unproven { commit, lacking, .. } => vec![commit, lacking],
    };
    let name = match problem {
        Problem::Protected { name, .. } => name.as_ref(),
        Problem::NoCommit { name, .. } | Problem::Missing { name, .. } => Some(name),
        Problem::Secret { .. }
        | Problem::TreeName { .. }
        | Problem::ModulesLink { .. }
        | Problem::Malformed { .. }
        | Problem::TooManyCommits { .. }
        | Problem::Unproven { .. } => None,
    };
    objects.iter().all(|object| object.format() == question.format)
        && name.is_none_or(|name| question.commands.iter().any(|asked| asked.name == *name))
}

fn make_plain(problem: &mut Problem) {
    match problem {
        Problem::Protected { pattern, path, .. } => {
            *pattern = plain(pattern);
            *path = plain(path);
        }
        Problem::Secret { rule, path, .. } => {
            *rule = plain(rule);
            *path = path.as_deref().map(plain);
        }
        Problem::Unproven { pattern, .. } => *pattern = plain(pattern),
        Problem::TreeName { .. }
        | Problem::ModulesLink { .. }
        | Problem::Malformed { .. }
        | Problem::NoCommit { .. }
        | Problem::Missing { .. }
        | Problem::TooManyCommits { .. } => {}
    }
}

/// One line that shows what it holds.
fn plain(text: &str) -> String {
    let mut characters = text.chars();
    let mut out: String = characters
        .by_ref()
        .take(TEXT_MAX)
        .map(|character| {
            let odd =
                character.is_control() || (character.is_whitespace() && character != ' ') || hides(character);
            if odd { '?' } else { character }
        })
        .collect();
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Key;
    use super::super::question::{Asked, standard_limits};
    use super::*;
    use crate::git::object_id::ObjectFormat;
    use crate::git::pack::Bound;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes(&[byte; 20], ObjectFormat::Sha1)
    }

    fn question() -> Question {
        let (limits, spend) = standard_limits(1 << 20);
        let asked = |name: &str, old: Option<u8>, new: Option<u8>| Asked {
            name: name.parse().unwrap(),
            old: old.map(id),
            new: new.map(id),
        };
        Question {
            format: ObjectFormat::Sha1,
            commands: vec![
                asked("refs/heads/a", Some(1), Some(2)),
                asked("refs/heads/b", None, Some(3)),
                asked("refs/heads/c", Some(4), None),
            ],
            known: vec![id(1)],
            protected_tips: vec![id(1)],
            protect: vec![],
            limits,
            spend,
            commits_max: 10,
            scan: true,
            fingerprints: vec![],
            key: Key::new([0; 16]),
            has_pack: true,
        }
    }

    fn findings() -> Findings {
        Findings {
            commands: vec![Some(Ancestry::Behind), None, None],
            problems: vec![],
            more: 0,
            objects: 3,
            commits: 1,
        }
    }

    fn read(answer: &Answer) -> Result<Answer, AnswerError> {
        read_answer(&postcard::to_stdvec(answer).unwrap(), &question())
    }

    #[test]
    fn an_answer_is_read_as_it_was_said() {
        assert_eq!(read(&Ok(findings())), Ok(Ok(findings())));
        let fault = PackError::Limit {
            what: Bound::Objects,
            most: 5,
        };
        assert_eq!(read(&Err(fault)), Ok(Err(fault)));
        let bytes = postcard::to_stdvec(&question()).unwrap();
        assert_eq!(postcard::from_bytes::<Question>(&bytes).unwrap(), question());
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let wrong = |change: fn(&mut Findings)| {
            let mut said = findings();
            change(&mut said);
            assert_eq!(read(&Ok(said.clone())), Err(AnswerError::Question), "{said:?}");
        };
        wrong(|said| said.commands.truncate(2));
        wrong(|said| said.commands.push(None));
        wrong(|said| said.commands[0] = None);
        wrong(|said| said.commands[1] = Some(Ancestry::Behind));
        wrong(|said| said.more = 1);
        wrong(|said| said.commits = 4);
        wrong(|said| said.objects = u32::MAX);
        wrong(|said| {
            said.problems = vec![Problem::TreeName { object: id(1) }; PROBLEMS_MAX + 1];
        });
        wrong(|said| {
            let object = ObjectFormat::Sha256.zero();
            said.problems = vec![Problem::TreeName { object }];
        });
        wrong(|said| {
            let name = "refs/heads/other".parse().unwrap();
            said.problems = vec![Problem::NoCommit { name, object: id(1) }];
        });
        let mut without = question();
        without.has_pack = false;
        let said = postcard::to_stdvec::<Answer>(&Ok(findings())).unwrap();
        assert_eq!(read_answer(&said, &without), Err(AnswerError::Question));
        let said = postcard::to_stdvec::<Answer>(&Err(PackError::Base)).unwrap();
        assert_eq!(read_answer(&said, &without), Err(AnswerError::Question));
    }

    #[test]
    fn what_is_no_answer() {
        let mut bytes = postcard::to_stdvec::<Answer>(&Ok(findings())).unwrap();
        for length in 0..bytes.len() {
            assert!(read_answer(&bytes[..length], &question()).is_err(), "{length}");
        }
        bytes.push(0);
        assert_eq!(read_answer(&bytes, &question()), Err(AnswerError::Form));
        assert_eq!(
            read_answer(&vec![0; ANSWER_MAX + 1], &question()),
            Err(AnswerError::Form)
        );
        // A list of two to the sixty-third.
        assert!(read_answer(&[0, 255, 255, 255, 255, 255, 255, 255, 255, 127], &question()).is_err());
    }

    #[test]
    fn texts_are_plain_and_say_what_to_do() {
        let mut said = findings();
        said.problems = vec![Problem::Secret {
            rule: "a\u{1b}[2Jkey".to_owned(),
            object: id(7),
            path: Some(format!("a\nb\u{202e}\u{2028}{}", "x".repeat(1000))),
        }];
        let heard = read(&Ok(said)).unwrap().unwrap();
        let text = heard.problems[0].to_string();
        assert!(
            text.starts_with("a?b??xxx") && text.ends_with("holds a?[2Jkey"),
            "{text}"
        );
        assert!(text.chars().count() < 300);
        let unproven = Problem::Unproven {
            pattern: "Jenkinsfile".to_owned(),
            commit: id(7),
            lacking: id(8),
        };
        assert!(unproven.to_string().contains("`git fetch`"));
    }
}
