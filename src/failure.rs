//! What `aca` says when it can't go on: one shape for every failure, and the exit codes.
//!
//! Errors are made where they happen and rendered here alone: what happened, why (`cause:` for each link of the
//! chain), how to mend it (`hint:`).

use crate::{agents::AgentError, audit::LogError, config::ConfigError, presets::PresetError, ui::sanitize};
use std::{error::Error, fmt, process::ExitCode};

/// Whose fault it is, which also fixes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The command line.
    Usage,
    /// A configuration file or the value of a flag.
    Configuration,
    /// What this machine lacks or refuses.
    Machine,
    /// aca itself.
    Internal,
    /// The program exists and can't be executed.
    NotExecutable,
    /// The program isn't there.
    NotFound,
}

impl FailureKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::Usage,
        Self::Configuration,
        Self::Machine,
        Self::Internal,
        Self::NotExecutable,
        Self::NotFound,
    ];

    /// The exit code: those of `env(1)` and `timeout(1)`, so that scripts can tell aca's failures from the command's.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Usage | Self::Configuration | Self::Machine | Self::Internal => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
}

/// A failure on its way to the user.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    error: Box<dyn Error + Send + Sync>,
    excerpt: Option<String>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure of that kind; `error` and its sources are shown.
    pub fn new(kind: FailureKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            error: error.into(),
            excerpt: None,
            hints: Vec::new(),
        }
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the place in a file: lines that are shown as they are below the error.
    #[must_use]
    pub fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

impl fmt::Display for Failure {
    /// Several lines, each ended by a line feed; text that came from elsewhere is sanitised.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "error: {}", sanitize::line(&self.error.to_string()))?;
        if let Some(excerpt) = &self.excerpt {
            for line in excerpt.lines() {
                writeln!(formatter, "{}", sanitize::line(line))?;
            }
        }
        let mut cause = self.error.source();
        // A chain that is its own source would never end.
        for _ in 0..16 {
            let Some(error) = cause else { break };
            writeln!(formatter, "  cause: {}", sanitize::line(&error.to_string()))?;
            cause = error.source();
        }
        if !self.hints.is_empty() {
            writeln!(formatter)?;
        }
        for hint in &self.hints {
            writeln!(formatter, "hint: {}", sanitize::line(hint))?;
        }
        Ok(())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let (hints, excerpt) = match &error {
            ConfigError::InFile { problem, excerpt } => (problem.hints(), Some(excerpt.to_string())),
            ConfigError::InFlag { problem, .. } => (problem.hints(), None),
            ConfigError::Agent(_) => return Self::new(FailureKind::Usage, error),
            ConfigError::Preset(_) => return Self::new(FailureKind::Internal, error),
            ConfigError::Read { .. }
            | ConfigError::Directory(_)
            | ConfigError::NotAFile(_)
            | ConfigError::TooLarge { .. } => {
                (Vec::new(), None)
            }
            ConfigError::NoFile { .. } => (vec!["put a file there, or take it away".into()], None),
            ConfigError::Unsafe { .. } => (
                vec![
                    "it counts for everybody on this machine, so root must own it and the directories above, and \
                     nobody else may write there: `chown root:root` and `chmod go-w` each"
                        .into(),
                ],
                None,
            ),
            ConfigError::Trust(error) => (vec![error.hint()], None),
        };
        let failure = Self {
            hints,
            ..Self::new(FailureKind::Configuration, error)
        };
        match excerpt {
            Some(excerpt) => failure.excerpt(excerpt),
            None => failure,
        }
    }
}

impl From<PresetError> for Failure {
    fn from(error: PresetError) -> Self {
        Self::new(FailureKind::Internal, error)
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let kind = match &error {
            AgentError::Unknown { .. } => FailureKind::Usage,
            AgentError::BuiltIn { .. } => FailureKind::Internal,
        };
        Self::new(kind, error)
    }
}

impl From<LogError> for Failure {
    /// Without a log nothing runs: what can't be told later isn't done.
    fn from(error: LogError) -> Self {
        Self::new(FailureKind::Machine, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start the sandbox")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn one_shape() {
        let cause = std::io::Error::other("unshare: refused\u{1b}[2J");
        let failure = Failure::new(FailureKind::Machine, Outer(cause)).hint("see `aca doctor`");
        insta::assert_snapshot!(failure.to_string(), @r"
        error: cannot start the sandbox
          cause: unshare: refused\u{1b}[2J

        hint: see `aca doctor`
        ");
    }

    #[test]
    fn codes() {
        let codes = FailureKind::ALL.map(FailureKind::code);
        assert_eq!(codes, [125, 125, 125, 125, 126, 127]);
    }
}
