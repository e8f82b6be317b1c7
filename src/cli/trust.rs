//! `aca trust`: shows what a project's file would make wider, and trusts that exact content if the user says so.

use super::config::line;
use super::flags::TrustArgs;
use super::project::project_failure;
use crate::agents;
use crate::config::trust::{Standing, Store};
use crate::config::{
    self, Bases, ConfigError, Layers, Places, ProjectFile, Said, Trust, narrow::Below, narrow::Split,
};
use crate::facts::{Ambient, Project, real};
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, Answer, sanitize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Does it: exit code 0 when the file is trusted in the end, or needs no trust; 1 when it isn't.
///
/// # Errors
/// A file that is wrong or that an administrator forbids, and a store that can't be used.
pub fn execute(args: &TrustArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    // The store isn't seen in there either: this only says so.
    if ambient.variable("ACA").is_some() {
        return Err(Failure::new(
            FailureKind::Usage,
            "trust is given outside: this is the inside of a run",
        )
        .hint("leave the run; where there is none, `env -u ACA aca trust`"));
    }
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    if args.list {
        return list(&places);
    }
    let start = args
        .directory
        .as_ref()
        .map_or_else(|| ambient.directory.clone(), |path| ambient.directory.join(path));
    let found = Project::find(&start, &ambient.home);
    if args.revoke {
        // One that is gone can be revoked by its name.
        let root = found.map_or_else(
            |_| real(&start).unwrap_or_else(|_| start.components().collect()),
            |project| project.root,
        );
        return revoke(&places, &root);
    }
    let project = found.map_err(project_failure)?;
    let Some(file) = config::load_projects(&places, &project.root)? else {
        return Err(Failure::new(
            FailureKind::Usage,
            format!(
                "there is no {} in {}",
                config::PROJECT_FILE,
                project.root.display()
            ),
        ));
    };
    let bases = Bases {
        home: &ambient.home,
        project: &project.root,
        current: &ambient.directory,
    };
    let (tightens, waits) = sides(&places, &file, bases)?;
    write(&overview(&file, &tightens, &waits))?;
    if file.standing == Standing::Trusted {
        return say("trusted already\n", ExitCode::SUCCESS);
    }
    if waits.is_empty() {
        return say(
            "nothing in it needs trust: what it makes narrower counts already\n",
            ExitCode::SUCCESS,
        );
    }
    let trusted = args.yes
        || match ui::ask("trust this content?").map_err(|error| Failure::new(FailureKind::Machine, error))? {
            Answer::Yes => true,
            Answer::No => false,
            Answer::Nobody => {
                ui::write_error("aca: nobody is there to be asked; `aca trust --yes` trusts it\n");
                false
            }
        };
    if !trusted {
        return say("not trusted\n", ExitCode::FAILURE);
    }
    let (digest, now) = (file.digest.clone(), jiff::Timestamp::now());
    Store::change(&places.trust_store(), |store| {
        store.trust(&project.root, digest, now)
    })
    .map_err(ConfigError::from)?;
    say("trusted\n", ExitCode::SUCCESS)
}

/// What the file makes narrower and what it would make wider, by what holds without it. All of it must be allowed where
/// it counts: else trusting it would only keep every run from starting.
fn sides(
    places: &Places,
    file: &ProjectFile,
    bases: Bases<'_>,
) -> Result<(Vec<Said>, Vec<Said>), ConfigError> {
    let mut layers = Layers {
        administrator: config::load_administrators()?,
        user: config::load(places, None)?,
        ..Layers::default()
    };
    let mut believed = file.layer.clone();
    believed.trust = Trust::Full;
    let (mut tightens, mut waits) = (Vec::new(), Vec::new());
    let top = [(agents::GENERIC, String::new(), &file.layer.settings)];
    let sections = file
        .layer
        .agents
        .iter()
        .map(|(name, settings)| (name.as_str(), format!("agents.{name}"), settings));
    for (agent, table, settings) in top.into_iter().chain(sections) {
        let agent = agents::load(agent)?;
        layers.project = None;
        let below = config::merge(&agent, &layers, bases)?.policy;
        let split = Split::new(
            settings,
            Below {
                preset: below.network.preset,
                home: below.home,
                unlisted: below.git.unlisted,
                git_mode: below.git_mode,
                grants: &below.grants,
                limits: &below.limits,
                bases,
            },
        );
        tightens.extend(split.tightens.said(&table));
        waits.extend(split.waiting(&table));
        layers.project = Some(believed.clone());
        config::merge(&agent, &layers, bases)?;
    }
    Ok((tightens, waits))
}

fn overview(file: &ProjectFile, tightens: &[Said], waits: &[Said]) -> String {
    let mut text = String::new();
    let mut add = |line: &str| {
        // Writing to a String can't fail. Whoever wrote the project wrote this.
        let _infallible = writeln!(text, "{}", sanitize::line(line));
    };
    add(&format!("{}", file.layer.source.path.display()));
    add(&format!("sha256 {}", file.digest));
    if file.standing == Standing::Changed {
        add("another content of it was trusted");
    }
    for (said, head) in [
        (tightens, "makes narrower, which counts without trust:"),
        (waits, "would make wider, once it is trusted:"),
    ] {
        if !said.is_empty() {
            add(head);
        }
        for said in said {
            add(&format!("  {}", line(said)));
        }
    }
    text
}

fn list(places: &Places) -> Result<ExitCode, Failure> {
    let store = Store::read(&places.trust_store()).map_err(ConfigError::from)?;
    let mut text = String::new();
    for project in store.projects() {
        let file = project.path.join(config::PROJECT_FILE);
        let now = match config::projects_digest(&project.path) {
            Some(digest) if digest == project.sha256 => "as it was",
            Some(_) => "changed",
            None => "not there",
        };
        let path = sanitize::line(&file.to_string_lossy()).into_owned();
        let _infallible = writeln!(text, "{path}  # since {}, {now}", project.since);
    }
    write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn revoke(places: &Places, root: &Path) -> Result<ExitCode, Failure> {
    let was = Store::change(&places.trust_store(), |store| store.revoke(root)).map_err(ConfigError::from)?;
    let file: PathBuf = root.join(config::PROJECT_FILE);
    let path = sanitize::line(&file.to_string_lossy()).into_owned();
    if was {
        say(&format!("{path} is trusted no more\n"), ExitCode::SUCCESS)
    } else {
        say(&format!("{path} was not trusted\n"), ExitCode::FAILURE)
    }
}

fn say(text: &str, code: ExitCode) -> Result<ExitCode, Failure> {
    write(text)?;
    Ok(code)
}

fn write(text: &str) -> Result<(), Failure> {
    ui::write_out(text).map_err(|error| Failure::new(FailureKind::Machine, error))
}
