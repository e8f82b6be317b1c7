//! `aca why`: explains one decision, by the same rules as the run that it asks about, without starting anything.

mod command;
mod explain;
mod git;
mod host;
mod inside;
mod miss;
mod names;
mod path;
pub mod push;
mod report;
mod session;
mod target;

use super::flags::{RunArgs, WhyArgs};
use super::prepare::{Prepared, begin, prepare};
use crate::facts::Ambient;
use crate::failure::{Failure, FailureKind};
use crate::policy::{Action, Change, Policy, Verdict};
use crate::ui;
use report::Answer;
use std::process::ExitCode;
use target::Target;

/// Tells: exit code 0 when it is allowed, 1 when it is denied.
///
/// # Errors
/// What would keep the run from starting, and a question that isn't understood.
pub fn execute(args: &WhyArgs) -> Result<ExitCode, Failure> {
    let answer = answer(args)?;
    let text = if args.json { answer.json()? } else { answer.text() };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::from(u8::from(!answer.allowed)))
}

fn answer(args: &WhyArgs) -> Result<Answer, Failure> {
    if let Some(session) = &args.session {
        return session::answer(args, session);
    }
    if !args.command.is_empty() {
        if let Some(word) = args.target.first() {
            return Err(too_many(word));
        }
        return command::answer(&Question::new(args, args.command.clone())?, &args.command);
    }
    let [text] = args.target.as_slice() else {
        return Err(match args.target.get(1) {
            Some(word) => too_many(word),
            None => Failure::new(FailureKind::Usage, "`aca why` needs something to explain")
                .hint("`aca why PATH`, `aca why HOST:PORT`, `aca why 'git fetch URL'`, `aca why -- COMMAND`, `aca why --session last`"),
        });
    };
    if let Some(asked) = git::asked(text) {
        let asked = asked?;
        let question = Question::new(args, vec!["true".into()])?;
        let mut answer = git::answer(&question, asked);
        answer.asked = text.to_string_lossy().into_owned();
        return Ok(answer);
    }
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let read = target::read(text, &ambient.directory, &ambient.home)?;
    let question = Question::new(args, vec!["true".into()])?;
    let mut answer = match &read.target {
        Target::Path(path) => path::answer(&question, path, args.wanted)?,
        Target::Host(host) => host::answer(&question, host),
    };
    answer.asked = text.to_string_lossy().into_owned();
    answer.taken_for = read.taken_for;
    let doubt = read.doubt.filter(|_| !answer.allowed);
    answer.notes.splice(0..0, read.notes.into_iter().chain(doubt));
    Ok(answer)
}

fn too_many(word: &std::ffi::OsStr) -> Failure {
    Failure::new(
        FailureKind::Usage,
        format!(
            "`aca why` explains one thing; `{}` is one more",
            word.to_string_lossy()
        ),
    )
    .hint("a command stands after `--`")
}

/// The run that is asked about.
pub(super) struct Question {
    args: RunArgs,
    prepared: Prepared,
    /// The policy as it holds in the view.
    policy: Policy,
}

impl Question {
    fn new(args: &WhyArgs, words: Vec<std::ffi::OsString>) -> Result<Self, Failure> {
        Self::of_run(RunArgs {
            flags: args.flags.clone(),
            words,
            after_separator: false,
        })
    }

    fn of_run(args: RunArgs) -> Result<Self, Failure> {
        let prepared = prepare(&args, begin(&args)?)?;
        let policy = prepared.plan.effective(&prepared.policy);
        Ok(Self {
            args,
            prepared,
            policy,
        })
    }

    /// The first of `changes` that really helps: what is advised is tried first, on the same run with that flag.
    fn that_works(
        &self,
        changes: impl IntoIterator<Item = Change>,
        helps: impl Fn(&Self) -> bool,
    ) -> Option<Change> {
        changes
            .into_iter()
            .find(|change| self.with(change).is_some_and(|changed| helps(&changed)))
    }

    /// The same run with a change; `None` when there is no such run.
    fn with(&self, change: &Change) -> Option<Self> {
        let words = ["aca".into(), "run".into()]
            .into_iter()
            .chain(change.words())
            .chain(["--".into(), "true".into()]);
        let super::Parsed::Args(parsed) = super::parse(&words.collect::<Vec<_>>()).ok()? else {
            return None;
        };
        let super::Command::Run(more) = parsed.command else {
            return None;
        };
        let mut args = self.args.clone();
        args.flags.allow.extend(more.flags.allow);
        args.flags.git_fetch.extend(more.flags.git_fetch);
        args.flags.git_push.extend(more.flags.git_push);
        args.flags.read.extend(more.flags.read);
        args.flags.write.extend(more.flags.write);
        args.flags.open_names_in.extend(more.flags.open_names_in);
        args.flags.host_port.extend(more.flags.host_port);
        args.flags.net = more.flags.net.or(args.flags.net);
        Self::of_run(args).ok()
    }

    fn allows(&self, action: &Action) -> bool {
        matches!(self.policy.decide(action), Verdict::Allow(_))
    }
}
