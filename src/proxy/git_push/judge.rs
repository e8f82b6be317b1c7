//! Whether a push may go: every ref by the policy, then what it holds. One no is a no to all of it.

use super::history::Kept;
use super::own::{Own, Whose};
use super::receive::{Pack, Spool, SpoolError};
use crate::broker::Broker;
use crate::git::advertisement::PushAdvertisement;
use crate::git::ancestry::Ancestry;
use crate::git::check::{
    Asked, FINGERPRINTS_MAX, Findings, Fingerprint, Key, Problem, Question, standard_limits,
};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::push::{Change, Command, Push};
use crate::git::ref_name::RefName;
use crate::git::report::Refusal;
use crate::policy::{Action, Deny, Origin, Policy, PushBounds, RefChange, Repository, Verdict};
use crate::proxy::git_check::{Looking, Refused as NotChecked, check};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Most tips of the server's that a push is held against.
const TIPS_MAX: usize = 20_000;
/// Most tips that missing history is loaded from.
const LOADED_TIPS_MAX: usize = 64;
/// Findings that are told, and patterns that are named.
const TOLD_MAX: usize = 8;

/// So many has a secret at most, and all that are held fit in a question.
const FINGERPRINTS_EACH: usize = 10;
const _: () = assert!(crate::broker::KEPT_MAX * FINGERPRINTS_EACH <= FINGERPRINTS_MAX);

/// A push, and what it is judged by.
pub(super) struct Case<'a> {
    pub(super) policy: &'a Policy,
    pub(super) repository: &'a Repository,
    pub(super) server: &'a PushAdvertisement,
    pub(super) format: ObjectFormat,
    pub(super) push: &'a Push,
    pub(super) own: &'a Own,
    pub(super) history: &'a Kept,
    pub(super) bounds: &'a PushBounds,
    /// Whose secrets are looked for.
    pub(super) secrets: &'a Broker,
}

/// A no.
#[derive(Debug)]
pub(in super::super) struct Refused {
    /// For git.
    pub(in super::super) refusal: Refusal,
    /// For the log: the first of the reasons.
    pub(in super::super) deny: Deny,
    /// What was found in it, one a line.
    pub(in super::super) findings: Vec<String>,
}

/// Loads history that isn't here, from the server.
pub(in super::super) trait Past: Send {
    /// The commits of `wanted` and all behind them, and where it is asked for the trees of `wanted`; or why it can't.
    fn load(
        &self,
        format: ObjectFormat,
        wanted: Vec<ObjectId>,
        trees: bool,
    ) -> impl Future<Output = Result<Loaded, String>> + Send;
}

/// What was loaded; gone with the value.
#[derive(Debug, Default)]
pub(in super::super) struct Loaded {
    /// Directories of objects.
    pub(in super::super) stores: Vec<OwnedFd>,
    /// What is removed afterwards.
    pub(in super::super) remove: Vec<PathBuf>,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        for path in &self.remove {
            // What can't be removed is aca's own, and in nobody's way.
            std::fs::remove_dir_all(path).ok();
        }
    }
}

/// What is left to find out of each command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// That it goes forward.
    Forward,
}

impl Case<'_> {
    /// By the names alone, before anything else is read.
    pub(super) fn names(&self) -> Result<(), Box<Refused>> {
        let mut denied = Vec::new();
        for command in &self.push.commands {
            denied.push(self.need(command).err());
        }
        if denied.iter().all(Option::is_none) {
            return Ok(());
        }
        Err(self.refused(denied, Vec::new()))
    }

    fn need(&self, command: &Command) -> Result<Need, Box<Deny>> {
        let there = self.server.get(&command.name);
        let (old, change) = match command.change {
            Change::Create(_) => (None, RefChange::Create),
            Change::Update { old, .. } => (Some(old), RefChange::Update),
            Change::Delete(old) => (
                Some(old),
                RefChange::Delete {
                    own: self.is_own(command, old),
                },
            ),
        };
        // The server compares too, when it takes it; what is told here is what it would say.
        if there != old {
            return Err(said("fetch first: it is elsewhere on the server"));
        }
        if let (RefChange::Update, Some(old)) = (change, old) {
            let own = self.is_own(command, old);
            if self.decide(command, RefChange::Force { own }).is_ok() {
                return Ok(Need::Nothing);
            }
            return self.decide(command, change).map(|()| Need::Forward);
        }
        self.decide(command, change).map(|()| Need::Nothing)
    }

    fn is_own(&self, command: &Command, old: ObjectId) -> bool {
        self.own.is(self.repository, &command.name, old)
    }

    fn decide(&self, command: &Command, change: RefChange) -> Result<(), Box<Deny>> {
        let action = Action::Push {
            repository: self.repository.clone(),
            name: command.name.clone(),
            change,
        };
        match self.policy.decide(&action) {
            Verdict::Allow(_) => Ok(()),
            Verdict::Deny(deny) => Err(Box::new(deny)),
        }
    }

    /// Starts the look into what it holds, while its pack comes in.
    pub(super) fn look(
        &self,
        spool: Option<&Spool>,
        stores: &[OwnedFd],
    ) -> Result<(Question, Looking), Box<Refused>> {
        let question = self.question(spool.is_some(), new_key())?;
        let pack = spool.map(Spool::reader).transpose();
        let pack = pack.map_err(|error| self.not_looked(&error))?;
        let looking = Looking::start(None, &question, pack.as_ref().map(AsFd::as_fd), stores);
        let looking = looking.map_err(|refused| self.not_checked(&refused))?;
        Ok((question, looking))
    }

    /// By what it holds. History that isn't here is loaded once.
    pub(super) async fn contents(
        &self,
        (question, looking): (Question, Looking),
        pack: Option<&Pack>,
        stores: Vec<OwnedFd>,
        past: &impl Past,
    ) -> Result<(), Box<Refused>> {
        let found = Box::pin(looking.findings(&question)).await;
        let mut findings = found.map_err(|refused| self.not_checked(&refused))?;
        // However slowly a pack comes: what aca got to hold meanwhile isn't pushed either.
        let now = self.question(pack.is_some(), question.key)?;
        if now != question {
            findings = self.ask(&now, pack, &all(&stores, &[])).await?;
        }
        let question = now;
        let lacks = self.lacks(&findings);
        if lacks == Lacks::Nothing {
            return self.judge(&findings, None);
        }
        if let Some(loaded) = self.history.get(self.repository) {
            let findings = self.ask(&question, pack, &all(&stores, &loaded.stores)).await?;
            if self.lacks(&findings) == Lacks::Nothing {
                return self.judge(&findings, None);
            }
        }
        match past.load(self.format, self.wanted(), lacks == Lacks::Trees).await {
            Ok(loaded) => {
                let loaded = self.history.put(self.repository, loaded);
                let findings = self.ask(&question, pack, &all(&stores, &loaded.stores)).await?;
                self.judge(&findings, None)
            }
            Err(why) => self.judge(&findings, Some(&why)),
        }
    }

    async fn ask(
        &self,
        question: &Question,
        pack: Option<&Pack>,
        stores: &[&OwnedFd],
    ) -> Result<Findings, Box<Refused>> {
        let files = || -> io::Result<(Option<OwnedFd>, Vec<OwnedFd>)> {
            let pack = pack.map(Pack::file).transpose()?;
            let stores: io::Result<Vec<OwnedFd>> = stores.iter().map(|store| store.try_clone()).collect();
            Ok((pack, stores?))
        };
        let (pack, stores) = files().map_err(|error| self.not_looked(&error))?;
        let findings = Box::pin(check(question, pack, stores)).await;
        findings.map_err(|refused| self.not_checked(&refused))
    }

    fn not_looked(&self, error: &io::Error) -> Box<Refused> {
        self.all(&format!("it can't be looked into: {error}"))
    }

    fn not_checked(&self, refused: &NotChecked) -> Box<Refused> {
        match refused {
            NotChecked::Pack(fault) => self.unpack(&fault.to_string()),
            NotChecked::Check(error) => self.all(&error.to_string()),
        }
    }

    fn question(&self, has_pack: bool, key: Key) -> Result<Question, Box<Refused>> {
        let (limits, spend) = standard_limits(self.bounds.max_pack);
        let commands = self.push.commands.iter().map(|command| {
            let (old, new) = match command.change {
                Change::Create(new) => (None, Some(new)),
                Change::Update { old, new } => (Some(old), Some(new)),
                Change::Delete(old) => (Some(old), None),
            };
            Asked {
                name: command.name.clone(),
                old,
                new,
            }
        });
        let held = self.secrets.held();
        let fingerprints: Vec<Fingerprint> = held
            .iter()
            .flat_map(|held| Fingerprint::of(held.secret().expose(), key))
            .collect();
        if fingerprints.len() > FINGERPRINTS_MAX {
            let why = "aca holds more credentials than a push can be searched for: wait a quarter of an hour";
            return Err(self.all(why));
        }
        Ok(Question {
            format: self.format,
            commands: commands.collect(),
            known: self.tips(|_, id| Some(id), TIPS_MAX),
            protected_tips: self.vouching(),
            protect: self
                .bounds
                .protect
                .iter()
                .map(|path| path.pattern().clone())
                .collect(),
            limits,
            spend,
            commits_max: self.bounds.max_commits,
            scan: self.bounds.scan_secrets,
            fingerprints,
            key,
            has_pack,
        })
    }

    /// Tips of the server's: those that the push is about first, then default branches.
    fn tips(&self, meant: impl Fn(&RefName, ObjectId) -> Option<ObjectId>, most: usize) -> Vec<ObjectId> {
        let mut all: Vec<(u8, ObjectId)> = self
            .server
            .refs()
            .filter_map(|(name, id)| Some((name, meant(name, id)?)))
            .map(|(name, id)| {
                let is_pushed = self.push.commands.iter().any(|command| command.name == *name);
                let rank = match (is_pushed, self.policy.git.is_default_branch(name)) {
                    (true, _) => 0,
                    (false, true) => 1,
                    (false, false) => 2,
                };
                (rank, id)
            })
            .collect();
        all.sort_unstable();
        let mut seen = HashSet::new();
        all.retain(|(_, id)| seen.insert(*id));
        all.into_iter().map(|(_, id)| id).take(most).collect()
    }

    /// What vouches for protected paths: branches that agents don't push, each as others than this session left it. Else
    /// what an agent pushed once, somewhere where it might, would vouch for what it pushes next. A push of one branch alone is
    /// vouched for by what that branch is, too: there it stays what it was.
    fn vouching(&self) -> Vec<ObjectId> {
        let one = match self.push.commands.as_slice() {
            [
                Command {
                    name,
                    change: Change::Update { old, .. },
                },
            ] => name.branch().is_some().then_some(*old),
            _ => None,
        };
        let others = |name: &RefName, id: ObjectId| {
            name.branch()?;
            match self.own.whose(self.repository, name, id) {
                Whose::Moved(before) => Some(before),
                Whose::Created | Whose::Unknown => None,
                Whose::Others => (!self.policy.git.is_of_agents(self.repository, name)).then_some(id),
            }
        };
        let mut all: Vec<ObjectId> = one.into_iter().collect();
        all.extend(self.tips(others, TIPS_MAX));
        all
    }

    /// What is loaded where history lacks.
    fn wanted(&self) -> Vec<ObjectId> {
        self.tips(|name, id| name.branch().map(|_| id), LOADED_TIPS_MAX)
    }

    fn lacks(&self, findings: &Findings) -> Lacks {
        let unproven = |problem: &Problem| matches!(problem, Problem::Unproven { .. });
        let lacks_trees = !findings.problems.is_empty() && findings.problems.iter().all(unproven);
        let unknown = self
            .push
            .commands
            .iter()
            .zip(&findings.commands)
            .any(|(command, found)| {
                *found == Some(Ancestry::Unknown) && self.need(command) == Ok(Need::Forward)
            });
        match (lacks_trees, unknown) {
            (true, _) => Lacks::Trees,
            (false, true) if findings.problems.is_empty() => Lacks::Commits,
            (false, _) => Lacks::Nothing,
        }
    }

    fn judge(&self, findings: &Findings, not_loaded: Option<&str>) -> Result<(), Box<Refused>> {
        let mut denied = Vec::new();
        for (command, found) in self.push.commands.iter().zip(&findings.commands) {
            denied.push(match (self.need(command), found) {
                (Err(deny), _) => Some(deny),
                (Ok(Need::Nothing), _) | (Ok(Need::Forward), Some(Ancestry::Behind)) => None,
                (Ok(Need::Forward), Some(Ancestry::NotBehind)) => {
                    self.decide(command, RefChange::Force { own: false }).err()
                }
                (Ok(Need::Forward), Some(Ancestry::Unknown) | None) => Some(unproven(not_loaded)),
            });
        }
        let mut lines: Vec<String> = findings.problems.iter().map(ToString::to_string).collect();
        if let Some(first) = findings.problems.first() {
            for (command, deny) in self.push.commands.iter().zip(&mut denied) {
                let about = match first {
                    Problem::Missing { name, .. } | Problem::NoCommit { name, .. } => *name == command.name,
                    Problem::Protected { .. }
                    | Problem::Secret { .. }
                    | Problem::TreeName { .. }
                    | Problem::ModulesLink { .. }
                    | Problem::Malformed { .. }
                    | Problem::TooManyCommits { .. }
                    | Problem::Unproven { .. } => true,
                };
                if deny.is_none() && about {
                    *deny = Some(said(kind(first)));
                }
            }
            let more = usize::try_from(findings.more).unwrap_or(usize::MAX);
            let more = more.saturating_add(lines.len().saturating_sub(TOLD_MAX));
            lines.truncate(TOLD_MAX);
            if more > 0 {
                lines.push(format!("and {more} more"));
            }
            if let Some(why) = not_loaded {
                lines.push(format!("what lacks could not be loaded from the server: {why}"));
            }
        }
        if denied.iter().all(Option::is_none) && findings.problems.is_empty() {
            return Ok(());
        }
        Err(self.refused(denied, lines))
    }

    /// What a pack's end or its bounds say.
    pub(super) fn spooled(&self, error: &SpoolError) -> Box<Refused> {
        self.unpack(&error.to_string())
    }

    fn unpack(&self, why: &str) -> Box<Refused> {
        let mut refused = self.all(&format!("the pack is refused: {why}"));
        refused.refusal.unpack = Some(format!("aca: {why}"));
        refused
    }

    /// One reason for all.
    fn all(&self, why: &str) -> Box<Refused> {
        let denied = self.push.commands.iter().map(|_| Some(said(why)));
        self.refused(denied.collect(), Vec::new())
    }

    /// A refusal in git's words; one reason at least is there.
    fn refused(&self, denied: Vec<Option<Box<Deny>>>, findings: Vec<String>) -> Box<Refused> {
        let first = denied.iter().flatten().next().cloned();
        let first = first.unwrap_or_else(|| said("another part of the push is refused"));
        let mut lines = vec![
            "aca: the push is refused by the sandbox's policy; nothing was sent to the server.".to_owned(),
        ];
        lines.extend(findings.iter().map(|finding| format!("aca: {finding}")));
        let refs = self.policy.git.pushed_refs(self.repository);
        let by_policy = denied
            .iter()
            .flatten()
            .any(|deny| deny.allow_with.is_some() || deny.rule.is_some());
        if findings.is_empty() && !refs.is_empty() {
            let named: Vec<&str> = refs.iter().take(TOLD_MAX).map(String::as_str).collect();
            let more = if refs.len() > TOLD_MAX { ", …" } else { "" };
            lines.push(format!("aca: may be pushed: {}{more}", named.join(", ")));
        }
        if by_policy && let Some(flag) = &first.allow_with {
            lines.push(format!("aca: to allow it, outside: `aca run {flag} …`"));
            if let Some(line) = &first.allow_line {
                let line = line.replace('\n', "; ");
                lines.push(format!("aca: or in the configuration: {line}"));
            }
        }
        let reason = |deny: &Deny| format!("aca policy: {}", deny.reason);
        Box::new(Refused {
            refusal: Refusal {
                unpack: None,
                reasons: denied.iter().map(|deny| deny.as_deref().map(reason)).collect(),
                lines,
            },
            deny: *first,
            findings,
        })
    }
}

/// Directories of objects, in the order in which they are asked.
fn all<'a>(own: &'a [OwnedFd], loaded: &'a [OwnedFd]) -> Vec<&'a OwnedFd> {
    own.iter().chain(loaded).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    Commits,
    Trees,
}

/// A reason that is no rule's.
fn said(why: &str) -> Box<Deny> {
    Box::new(Deny {
        rule: None,
        origin: Origin::BuiltIn("git".into()),
        reason: why.into(),
        allow_with: None,
        allow_line: None,
        quiet: false,
    })
}

fn new_key() -> Key {
    let mut random = [0; 16];
    // Predictable, it would only tell less of what it should hide from a process that is ours.
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).ok();
    Key::new(random)
}

fn unproven(not_loaded: Option<&str>) -> Box<Deny> {
    let advice = "`git fetch` the branch inside first, and push again";
    said(&match not_loaded {
        Some(why) => format!("it can't be proved that this is a fast-forward ({why}): {advice}"),
        None => format!("it can't be proved that this is a fast-forward: {advice}"),
    })
}

/// What was found, in few words: the rest stands in the lines above.
const fn kind(problem: &Problem) -> &'static str {
    match problem {
        Problem::Protected { .. } => "it changes a protected path",
        Problem::Secret { .. } => "it holds what looks like a secret",
        Problem::TreeName { .. } | Problem::ModulesLink { .. } | Problem::Malformed { .. } => {
            "it holds what git itself doesn't write"
        }
        Problem::NoCommit { .. } => "that is no commit",
        Problem::Missing { .. } => "its object isn't there",
        Problem::TooManyCommits { .. } => "it has too many new commits",
        Problem::Unproven { .. } => "whether protected paths are as on the server can't be told",
    }
}
