//! Commands: what the rules say of the one that `aca run` would start, and whether its program is found inside.

use super::report::{Answer, CommandFacts, Judged};
use super::{Question, inside, miss};
use crate::agents;
use crate::failure::Failure;
use crate::plan::Seen;
use crate::policy::Action;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Explains a command.
pub(super) fn answer(question: &Question, argv: &[OsString]) -> Result<Answer, Failure> {
    let shown: Vec<String> = argv
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let action = Action::Execute { argv: argv.to_vec() };
    let mut judged = Judged::new("start", shown.join(" "), &question.policy.decide(&action));
    if judged.allowed {
        judged.nearest = miss::of_command(&question.policy.commands, argv);
    }
    let mut answer = Answer::new("a command", vec![judged]);
    answer.asked = shown.join(" ");
    let program = argv.first().map(OsString::as_os_str).unwrap_or_default();
    let found = found(question, program);
    if found.is_none() {
        answer
            .notes
            .push("`aca plan` shows which directories are seen inside; `--read DIR` shows another".into());
    }
    if !question.policy.commands.is_empty() {
        answer.notes.push(
            "rules on commands are about the one that `aca run` starts; programs inside are bound by the sandbox, not by a list of names".into(),
        );
    }
    answer.command = Some(CommandFacts {
        found: found.map(|path| path.display().to_string()),
        agent: agents::name_of_command(program),
    });
    Ok(answer)
}

/// Where the program is inside, as execvp(3) looks for it.
fn found(question: &Question, program: &OsStr) -> Option<PathBuf> {
    let plan = &question.prepared.plan;
    let start = &plan.program.directory;
    if program.as_bytes().contains(&b'/') {
        return executable(question, &start.join(program));
    }
    let path = plan
        .program
        .environment
        .iter()
        .find_map(|pair| pair.strip_prefix(b"PATH="))
        .unwrap_or_default();
    path.split(|byte| *byte == b':')
        .map(|directory| start.join(Path::new(OsStr::from_bytes(directory))).join(program))
        .find_map(|place| executable(question, &place))
}

/// The place, if there is something to execute.
fn executable(question: &Question, place: &Path) -> Option<PathBuf> {
    let resolved = inside::resolve(&question.prepared.plan.view, place);
    match resolved.seen {
        Seen::Host(host) if resolved.broken.is_none() && inside::may_execute(&host) => Some(place.to_owned()),
        Seen::Host(_)
        | Seen::Made
        | Seen::Link(_)
        | Seen::Covered
        | Seen::Kernel
        | Seen::Empty
        | Seen::Absent => None,
    }
}
