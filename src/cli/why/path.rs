//! Paths: what the view has there, what the policy says of it, and what the file's own permissions do.

use super::report::{Answer, Judged, PathFacts};
use super::{Question, inside, miss, names};
use crate::facts::{Foreseen, NewKind};
use crate::failure::{Failure, FailureKind};
use crate::plan::Seen;
use crate::policy::{Access, Action, Change, Origin, PathRule, Place, Verdict};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Explains a path; the exit status is about `wanted`.
pub(super) fn answer(question: &Question, path: &Path, wanted: Access) -> Result<Answer, Failure> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Failure::new(FailureKind::Usage, "a path with a NUL byte"));
    }
    let asked = Asked::new(question, path);
    let mut judged = vec![asked.judge(Access::Read), asked.judge(Access::Write)];
    if wanted == Access::Write {
        judged.reverse();
    }
    let mut answer = Answer::new("a path", judged);
    let on_host = matches!(asked.seen, Seen::Host(_));
    // Nothing in the run's own git directory is the host's.
    let is_apart = asked.rule.is_some_and(|rule| rule.place == Place::Git);
    let foreseen_now = asked
        .foreseen
        .as_ref()
        .filter(|_| !asked.there && on_host && !is_apart);
    let writable = answer
        .judged
        .iter()
        .any(|judged| judged.action == "write" && judged.allowed);
    let looked_after = asked.foreseen.as_ref().map(|(foreseen, _)| foreseen);
    answer.notes.extend(
        looked_after
            .filter(|foreseen| writable && !is_apart && (foreseen_now.is_some() || foreseen.may_come()))
            .and_then(told),
    );
    if asked.rule.is_some_and(|rule| rule.place == Place::Cache) {
        let note = "kept between runs in aca's own data directory; the host's own directory is neither seen nor changed";
        answer.notes.push(note.into());
    }
    if !asked.there && !exists(&asked.path) && on_host && asked.held_name().is_some() {
        let project = &question.prepared.looked.project.root;
        answer.notes.extend(names::note(&asked.path, project, &[]));
    }
    answer.path = Some(PathFacts {
        exists: asked.there,
        place: asked.rule.map(|rule| rule.place.words().to_owned()),
        if_it_appears: foreseen_now.map(|(foreseen, _)| word(foreseen)),
        resolved: asked.path,
    });
    Ok(answer)
}

/// A path, and all that is known of it.
struct Asked<'a> {
    question: &'a Question,
    path: PathBuf,
    seen: Seen,
    broken: Option<&'static str>,
    there: bool,
    rule: Option<&'a PathRule>,
    foreseen: Option<(Foreseen, Option<Origin>)>,
}

impl<'a> Asked<'a> {
    fn new(question: &'a Question, path: &Path) -> Self {
        let resolved = inside::resolve(&question.prepared.plan.view, path);
        let rule = PathRule::nearest(&question.policy.paths, &resolved.path);
        // These are made where they are missing.
        let made = rule.is_some_and(|rule| {
            rule.path == resolved.path
                && matches!(rule.place, Place::Cache | Place::AgentState | Place::AgentStore)
        });
        Self {
            question,
            rule,
            there: resolved.broken.is_none() && (made || there(&resolved.seen, &resolved.path)),
            foreseen: question.prepared.looked.foresee(&resolved.path),
            path: resolved.path,
            seen: resolved.seen,
            broken: resolved.broken,
        }
    }

    /// What is decided, with what would allow it: tried, so that what is advised holds.
    fn judge(&self, access: Access) -> Judged {
        let (mut judged, hint) = self.outcome(access);
        if judged.allowed || hint == Hint::None {
            return judged.with(None);
        }
        // No rule gives more than the file's own permissions do.
        let permitted = match access {
            Access::Write => may_write(&self.path),
            Access::Read | Access::Hide => inside::may_read(&self.path),
        };
        let changes = self.changes(access).into_iter().filter(|_| permitted);
        let change = self.question.that_works(changes, |changed| {
            Asked::new(changed, &self.path).outcome(access).0.allowed
        });
        judged.nearest = miss::of_path(&self.question.prepared.policy.paths, &self.path, access);
        judged.with(change.as_ref())
    }

    fn outcome(&self, access: Access) -> (Judged, Hint) {
        let word = if access == Access::Write { "write" } else { "read" };
        let verdict = self.question.policy.decide(&self.action(access));
        let judged = Judged::new(word, self.path.display().to_string(), &verdict);
        if let Some(reason) = self.broken {
            return (judged.denied("view", reason), Hint::None);
        }
        let overruled = match verdict {
            Verdict::Allow(_) => self.overruled(access),
            Verdict::Deny(_) => None,
        };
        match overruled {
            None => (judged, Hint::Change),
            Some(Overruled::There(reason)) => (judged.denied_there(reason), Hint::Change),
            Some(Overruled::By(origin, reason)) => (judged.denied(&origin, reason), Hint::None),
        }
    }

    fn action(&self, access: Access) -> Action {
        let path = self.path.clone();
        match access {
            Access::Write => Action::Write { path },
            Access::Read | Access::Hide => Action::Read { path },
        }
    }

    /// What might allow it, the narrowest first. A rule can only name what is there on the host.
    fn changes(&self, access: Access) -> Vec<Change> {
        let own = match access {
            Access::Write => Change::write(&self.path),
            Access::Read | Access::Hide => Change::read(&self.path),
        };
        // A device is none on what is bound inside (mount(2), MS_NODEV).
        let on_host = std::fs::metadata(&self.path).is_ok_and(|found| !is_device(found.file_type()))
            || (access == Access::Write && !exists(&self.path) && self.held_name().is_some());
        // Of what isn't there, the protected or hidden directory around it may be.
        let around = self
            .rule
            .filter(|rule| rule.path != Path::new("/"))
            .and_then(|rule| match access {
                Access::Write => Change::write(&rule.path),
                Access::Read | Access::Hide => Change::read(&rule.path),
            });
        let fits = self.rule.is_some_and(|rule| {
            matches!(
                rule.place,
                Place::Protected(_) | Place::Pattern | Place::Secret | Place::Rule
            )
        });
        own.filter(|_| on_host)
            .into_iter()
            .chain(
                self.question
                    .policy
                    .remedy(&self.action(access))
                    .filter(|_| on_host),
            )
            .chain(around.filter(|_| fits))
            .collect()
    }

    /// What stands in the way though the policy doesn't.
    fn overruled(&self, access: Access) -> Option<Overruled> {
        let permissions = |what: &str| {
            let reason = format!("its permissions don't let you {what} it, inside as outside");
            Some(Overruled::By("file permissions".into(), reason))
        };
        match (&self.seen, access) {
            (Seen::Host(_), Access::Read | Access::Hide) if !self.there => self.foreseen_mask(),
            (Seen::Host(host), Access::Read | Access::Hide) if exists(host) && !inside::may_read(host) => {
                permissions("read")
            }
            (Seen::Host(host), Access::Write) if !may_write(host) => permissions("write"),
            (Seen::Host(_), Access::Write) if !self.there && !exists(&self.path) => self.held_name(),
            // What the host has at such a place is another file.
            (Seen::Empty, Access::Read | Access::Hide) if exists(&self.path) => {
                let place = self.rule.map_or("", |rule| rule.place.words());
                Some(Overruled::There(format!(
                    "what the host has there is not there inside: the place is {place}"
                )))
            }
            (Seen::Kernel, _) => self.kernel(access),
            (Seen::Host(_) | Seen::Made | Seen::Link(_) | Seen::Covered | Seen::Empty | Seen::Absent, _) => {
                None
            }
        }
    }

    /// A name that isn't made, whichever kind it is of: a rule that names it opens it.
    fn held_name(&self) -> Option<Overruled> {
        let mut names = self.question.prepared.plan.names.clone()?;
        let opens = self.question.policy.paths.iter();
        let opens = opens.filter(|rule| rule.access == Access::Write);
        names.opened.extend(opens.map(|rule| rule.path.clone()));
        let looked = &self.question.prepared.looked;
        let kinds = [NewKind::File, NewKind::Directory];
        let kept = kinds
            .iter()
            .find_map(|kind| looked.judge(&names, &self.path, *kind))?;
        let when = kept
            .runs_when
            .map_or_else(String::new, |when| format!(" when {when}"));
        Some(Overruled::There(format!(
            "it can't be made, since the host would run or trust it{when}: {}",
            kept.why
        )))
    }

    fn foreseen_mask(&self) -> Option<Overruled> {
        let (foreseen, origin) = self.foreseen.as_ref()?;
        let origin = |built_in: &str| {
            origin
                .as_ref()
                .map_or_else(|| format!("built-in {built_in}"), ToString::to_string)
        };
        match foreseen {
            Foreseen::Masked { why } => Some(Overruled::By(
                origin("presets/secrets.toml"),
                format!("it would be masked as soon as it appears: {why}"),
            )),
            Foreseen::HiddenByUser { .. } => Some(Overruled::By(
                origin("presets/secrets.toml"),
                "it would be hidden as soon as it appears".into(),
            )),
            Foreseen::Free
            | Foreseen::LeftOut { .. }
            | Foreseen::Told { .. }
            | Foreseen::Kept { .. }
            | Foreseen::KeptByUser { .. }
            | Foreseen::MaskedIfMeant { .. } => None,
        }
    }

    /// `/proc` is the run's own, and what of it is the machine's has the permissions that it has outside.
    fn kernel(&self, access: Access) -> Option<Overruled> {
        let number = self
            .path
            .iter()
            .nth(2)
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let writes = access == Access::Write;
        let reason = if number {
            "processes have other numbers inside, and those of the host are not there"
        } else if writes && !std::fs::metadata(&self.path).is_ok_and(|found| found.is_file()) {
            "nothing can be made there"
        } else if !self.there {
            return None;
        } else if writes && !inside::may_write(&self.path) || !writes && !readable_in_proc(&self.path) {
            "its permissions don't let you, inside as outside"
        } else {
            return None;
        };
        Some(Overruled::By("view".into(), reason.into()))
    }
}

/// What stands in the way of something that the policy allows.
enum Overruled {
    /// What the rule that decided gives is something else.
    There(String),
    /// Something that no rule changes, and why.
    By(String, String),
}

/// Whether a rule could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    Change,
}

/// For root what others may not read is covered (`launch::linux::proc`).
fn readable_in_proc(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = rustix::process::geteuid().is_root();
    let open =
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir() || metadata.mode() & 0o004 != 0);
    let own = path.starts_with("/proc/self") || path.starts_with("/proc/thread-self");
    inside::may_read(path) && (!root || open || own)
}

/// Whether a file may be written, or made where it isn't there: in the nearest directory that is.
fn may_write(host: &Path) -> bool {
    if exists(host) {
        return inside::may_write(host);
    }
    host.ancestors()
        .skip(1)
        .find(|above| exists(above))
        .is_some_and(|above| {
            inside::may_write(above) && std::fs::metadata(above).is_ok_and(|found| found.is_dir())
        })
}

fn is_device(kind: std::fs::FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Whether something is there when the run starts.
fn there(seen: &Seen, path: &Path) -> bool {
    match seen {
        Seen::Host(host) => exists(host),
        Seen::Kernel => exists(path),
        Seen::Made | Seen::Link(_) | Seen::Covered => true,
        Seen::Empty | Seen::Absent => false,
    }
}

const fn word(foreseen: &Foreseen) -> &'static str {
    match foreseen {
        Foreseen::Free => "free",
        Foreseen::LeftOut { .. } => "left-out",
        Foreseen::Told { .. } => "told",
        Foreseen::Kept { .. } | Foreseen::KeptByUser { .. } => "protected",
        Foreseen::MaskedIfMeant { .. } => "masked-if-it-holds-a-secret",
        Foreseen::HiddenByUser { .. } | Foreseen::Masked { .. } => "masked",
    }
}

fn told(foreseen: &Foreseen) -> Option<String> {
    Some(match foreseen {
        Foreseen::Free => return None,
        Foreseen::LeftOut { why } => {
            format!("names in there are not looked at: {why}")
        }
        Foreseen::Told { why, runs_when } => match runs_when {
            Some(when) => format!("if it appears or changes, that is told after the run, since it takes effect when {when} ({why})"),
            None => format!("if it appears or changes, that is told after the run ({why})"),
        },
        Foreseen::Kept { why, runs_when } => {
            // Where it can't be made this isn't said.
            let when = runs_when.map_or_else(String::new, |when| format!("when {when}: "));
            format!(
                "it can be made; that is told after the run ({when}{why}), and from the next run on it stays as it is"
            )
        }
        Foreseen::KeptByUser { .. } => "a pattern makes it read-only from the next run on".into(),
        Foreseen::MaskedIfMeant { why } => format!("it is masked once it holds what looks like a secret ({why})"),
        Foreseen::HiddenByUser { .. } | Foreseen::Masked { .. } => {
            "it can be made, and is masked at once, so that it can't be read again; a rule that names it opens it once it is there".into()
        }
    })
}
