//! `aca why-push REF`: what would become of a ref that git inside pushes.

use super::super::flags::{RunArgs, RunFlags};
use super::{Question, git};
use crate::facts::{self, Ambient, Project};
use crate::failure::{Failure, FailureKind};
use crate::policy::Repository;
use crate::ui;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `aca why-push`: those of `aca run` besides.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WhyPushArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Of which repository; else of the first of the project's own remotes
    #[arg(long, value_name = "URL")]
    pub of: Option<Repository>,
    /// As for `aca run`.
    #[command(flatten)]
    pub flags: RunFlags,
    /// A branch, or a ref by its full name
    #[arg(value_name = "REF")]
    pub name: String,
}

/// Tells: exit code 0 when it can be created or goes forward, 1 when neither is allowed.
///
/// # Errors
/// What would keep the run from starting, and a project without a remote where none is named.
pub fn execute(args: &WhyPushArgs) -> Result<ExitCode, Failure> {
    let name = git::ref_name(&args.name)?;
    let run = RunArgs {
        flags: args.flags.clone(),
        words: vec!["true".into()],
        after_separator: false,
    };
    let repository = match &args.of {
        Some(repository) => repository.clone(),
        None => first_remote(&run)?,
    };
    let mut answer = git::push(&Question::of_run(run)?, &repository, &name);
    answer.asked = format!("git push {repository} {}", args.name);
    let text = if args.json { answer.json()? } else { answer.text() };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::from(u8::from(!answer.allowed)))
}

fn first_remote(run: &RunArgs) -> Result<Repository, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let start = run.flags.project.as_ref();
    let start = start.map_or_else(|| ambient.directory.clone(), |path| ambient.directory.join(path));
    let project = Project::find(&start, &ambient.home).ok();
    let urls = project.and_then(|project| Some(facts::remote_urls(project.git.as_ref()?)));
    let mut remotes = urls
        .unwrap_or_default()
        .into_iter()
        .filter_map(|url| url.parse().ok());
    remotes.next().ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            "the project has no remote that git inside could push to",
        )
        .hint("name one: `aca why-push REF --of URL`")
    })
}
