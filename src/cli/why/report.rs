//! The answer, for people and as JSON.

use crate::failure::{Failure, FailureKind};
use crate::policy::{Change, Origin, Verdict};
use crate::ui::sanitize;
use serde::Serialize;

/// Version of the JSON form.
const ANSWER_VERSION: u32 = 1;
/// Width of the column of words.
const WORD: usize = 10;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    /// Version of this form.
    version: u32,
    /// As typed.
    pub(super) asked: String,
    /// What it was taken for.
    pub(super) taken_for: &'static str,
    /// What the exit status says.
    pub(super) allowed: bool,
    /// Each action by itself.
    pub(super) judged: Vec<Judged>,
    /// What more there is to know.
    pub(super) notes: Vec<String>,
    /// For a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<PathFacts>,
    /// For a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<CommandFacts>,
    /// For an event of a session: its line in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<serde_json::Value>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Judged {
    /// What is done.
    pub(super) action: &'static str,
    /// To what.
    pub(super) what: String,
    /// Whether it may.
    pub(super) allowed: bool,
    /// The rule that decided, as it reads.
    pub(super) rule: Option<String>,
    /// Where it is written.
    pub(super) origin: String,
    /// Why.
    pub(super) reason: String,
    /// The rule that came closest to allowing it.
    pub(super) nearest: Option<Miss>,
    /// The narrowest flag that allows it.
    pub(super) allow_with: Option<String>,
    /// The same as lines of the configuration file.
    pub(super) allow_line: Option<String>,
    /// No flag wins over the rule, which is the user's: it has to go.
    pub(super) remove_rule: bool,
    /// Whether a rule of the user's decided.
    #[serde(skip)]
    users: bool,
}

/// A rule that came close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Miss {
    /// The rule as it reads.
    pub(super) rule: String,
    /// Where it is written.
    pub(super) origin: String,
    /// What makes the difference.
    pub(super) difference: String,
}

/// What a path is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PathFacts {
    /// Where it leads inside, without links.
    #[serde(with = "crate::policy::path_text")]
    pub(super) resolved: std::path::PathBuf,
    /// Whether it is there when the run starts.
    pub(super) exists: bool,
    /// What that part of the view is.
    pub(super) place: Option<String>,
    /// What would become of it if it appeared, where it isn't there.
    pub(super) if_it_appears: Option<&'static str>,
}

/// What a command is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CommandFacts {
    /// The program, where one is found inside.
    pub(super) found: Option<String>,
    /// The agent that it starts, if aca knows it.
    pub(super) agent: Option<&'static str>,
}

impl Answer {
    /// An answer that rests on `judged`, the first of which the exit status is about.
    pub(super) fn new(taken_for: &'static str, judged: Vec<Judged>) -> Self {
        Self {
            version: ANSWER_VERSION,
            asked: String::new(),
            taken_for,
            allowed: judged.first().is_none_or(|first| first.allowed),
            judged,
            notes: Vec::new(),
            path: None,
            command: None,
            event: None,
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| Failure::new(FailureKind::Internal, error))?;
        text.push('\n');
        Ok(text)
    }

    /// For people; what came from elsewhere is sanitised.
    pub(super) fn text(&self) -> String {
        let mut lines = Lines::default();
        lines.add("", &format!("{} ({})", self.asked, self.taken_for));
        if let Some(path) = &self.path {
            let resolved = path.resolved.display().to_string();
            if resolved != self.asked {
                lines.add("leads to", &resolved);
            }
            let place = path.place.as_deref().unwrap_or("nothing that is shown inside");
            let there = if path.exists {
                ""
            } else {
                "; not there when the run starts"
            };
            lines.add("is", &format!("{place}{there}"));
        }
        if let Some(command) = &self.command {
            let found = command.found.as_deref().unwrap_or("not found inside");
            lines.add("program", found);
            if let Some(agent) = command.agent {
                lines.add(
                    "agent",
                    &format!("{agent}: `aca run {agent}` gives it its state and its hosts"),
                );
            }
        }
        for judged in &self.judged {
            judged.lines(&mut lines);
        }
        for note in &self.notes {
            lines.add("note", note);
        }
        lines.0
    }
}

impl Judged {
    /// As the policy says it.
    pub(super) fn new(action: &'static str, what: impl Into<String>, verdict: &Verdict) -> Self {
        let what = what.into();
        match verdict {
            Verdict::Allow(allow) => Self {
                action,
                what,
                allowed: true,
                rule: allow.rule.clone(),
                origin: allow.origin.to_string(),
                reason: allow.reason.clone(),
                nearest: None,
                allow_with: None,
                allow_line: None,
                remove_rule: false,
                users: is_users(&allow.origin),
            },
            Verdict::Deny(deny) => Self {
                action,
                what,
                allowed: false,
                rule: deny.rule.clone(),
                origin: deny.origin.to_string(),
                reason: deny.reason.to_string(),
                nearest: None,
                allow_with: deny.allow_with.clone(),
                allow_line: deny.allow_line.as_deref().map(str::to_owned),
                remove_rule: deny.allow_with.is_none() && is_users(&deny.origin),
                users: is_users(&deny.origin),
            },
        }
    }

    /// Denied by something else than a rule of the policy.
    pub(super) fn denied(self, origin: &str, reason: impl Into<String>) -> Self {
        Self {
            rule: None,
            origin: origin.to_owned(),
            users: false,
            ..self.denied_there(reason)
        }
    }

    /// Denied by the rule that decided, which allows something else.
    pub(super) fn denied_there(mut self, reason: impl Into<String>) -> Self {
        self.allowed = false;
        self.reason = reason.into();
        self.remove_rule = false;
        self
    }

    /// With what would allow it.
    pub(super) fn with(mut self, change: Option<&Change>) -> Self {
        self.allow_with = change.map(Change::flag);
        self.allow_line = change.and_then(Change::line);
        self.remove_rule = !self.allowed && self.users && change.is_none();
        self
    }

    fn lines(&self, lines: &mut Lines) {
        let verdict = if self.allowed { "allowed" } else { "DENIED" };
        lines.add(self.action, &format!("{verdict}: {}", self.reason));
        let by = match &self.rule {
            Some(rule) => format!("by `{rule}` ({})", self.origin),
            None => format!("by {}", self.origin),
        };
        lines.add("", &by);
        if let Some(miss) = &self.nearest {
            lines.add(
                "nearest",
                &format!("`{}` ({}): {}", miss.rule, miss.origin, miss.difference),
            );
        }
        if self.remove_rule {
            lines.add("to allow", "take that rule away: no flag wins over it");
        }
        if let Some(flag) = &self.allow_with {
            lines.add("to allow", flag);
        }
        if let Some(line) = &self.allow_line {
            for (index, line) in line.lines().enumerate() {
                lines.add(if index == 0 { "or write" } else { "" }, line);
            }
        }
    }
}

const fn is_users(origin: &Origin) -> bool {
    match origin {
        Origin::File { .. } | Origin::Flag(_) | Origin::Session(_) => true,
        Origin::BuiltIn(_) => false,
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, word: &str, text: &str) {
        if self.0.is_empty() {
            self.0.push_str(&format!("{}\n", sanitize::line(text)));
        } else {
            self.0
                .push_str(&format!("  {word:WORD$}{}\n", sanitize::line(text)));
        }
    }
}
