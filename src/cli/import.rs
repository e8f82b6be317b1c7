//! `aca import`: the settings of another sandbox as a configuration file of ours.

use super::flags::{Dialect, ImportArgs, ImportFlags};
use super::project::project_failure;
use crate::config::ConfigError;
use crate::config::import::{self, ClaudeFile, Imported, Left, Loss, Scope, Surroundings};
use crate::facts::{self, Ambient, Project};
use crate::failure::{Failure, FailureKind};
use crate::policy::Origin;
use crate::presets;
use crate::ui::{self, sanitize};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints the configuration, or writes it to a new file; exit status 1, and nothing of that, when a restriction can't be
/// carried over.
///
/// # Errors
/// Files that can't be read or aren't right, and an output that is there already.
pub fn execute(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    // Where there is no project, relative paths are those of this directory.
    let found = Project::find(&ambient.directory, &ambient.home);
    let (how, needs_project) = match &args.dialect {
        Dialect::Claude { project, how, .. } => (how, *project),
        Dialect::Srt { how, .. } => (how, false),
    };
    let (project, extra) = match found {
        Ok(project) => (project.root, project.extra_writable),
        Err(error) if needs_project => return Err(project_failure(error)),
        Err(_) => (ambient.directory.clone(), Vec::new()),
    };
    let place = (project.as_path(), extra.as_slice());
    let (imported, title) = with_surroundings(&ambient, place, |surroundings| match &args.dialect {
        Dialect::Srt { file, .. } => {
            let source = import::read_source(ambient.directory.join(file))?;
            let title = format!("sandbox-runtime's settings in {}", source.path.display());
            Ok((import::srt(&source, surroundings)?, title))
        }
        Dialect::Claude { files, project, .. } => {
            let files = claude_files(files, *project, surroundings)?;
            let names: Vec<String> = files
                .iter()
                .map(|file| file.source.path.display().to_string())
                .collect();
            let title = format!("Claude Code's settings in {}", names.join(", "));
            Ok((import::claude(&files, surroundings)?, title))
        }
    })?;
    told(&imported);
    if needs_project {
        note_grants(&imported, &project);
    }
    let lost = imported.lost_restrictions().count();
    if lost > 0 && !how.lenient {
        ui::write_error(&format!(
            "error: {lost} {} can't be carried over, so nothing is written\n\n\
             hint: `--lenient` goes on without\n",
            if lost == 1 { "restriction" } else { "restrictions" }
        ));
        return Ok(ExitCode::FAILURE);
    }
    let text = import::toml(&imported, &format!("From {title}, by `aca import`."))?;
    write(how, &ambient, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// The files that are asked for. Of those that are looked for a missing one is fine, unless it is the only one.
fn claude_files(
    named: &[PathBuf],
    project: bool,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<ClaudeFile>, ConfigError> {
    let own = surroundings.home.join(".claude/settings.json");
    let of_project = |path: &Path| path.starts_with(surroundings.project.join(".claude"));
    let mut files = Vec::new();
    for path in named {
        let source = import::read_source(surroundings.current.join(path))?;
        let scope = if of_project(&source.path) {
            Scope::Project
        } else {
            Scope::User
        };
        files.push(ClaudeFile { source, scope });
    }
    let mut sought = Vec::new();
    if named.is_empty() {
        sought.push((own, Scope::User));
    }
    if project {
        for name in ["settings.json", "settings.local.json"] {
            sought.push((surroundings.project.join(".claude").join(name), Scope::Project));
        }
    }
    let mut missing = None;
    for (path, scope) in sought {
        match import::read_source(path) {
            Ok(source) => files.push(ClaudeFile { source, scope }),
            Err(ConfigError::Read { path, source }) if source.kind() == std::io::ErrorKind::NotFound => {
                missing.get_or_insert(ConfigError::Read { path, source });
            }
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if files.is_empty() => Err(error),
        Some(_) | None => Ok(files),
    }
}

/// Does something with what of this machine settings are about; `project` is its root, and what is writable with it.
pub(super) fn with_surroundings<T>(
    ambient: &Ambient,
    (project, extra): (&Path, &[PathBuf]),
    import: impl FnOnce(&Surroundings<'_>) -> Result<T, ConfigError>,
) -> Result<T, Failure> {
    let look = |path: &Path| facts::real(path).ok();
    let is_there = |path: &PathBuf| look(path).is_some_and(|real| real == *path);
    let system = presets::system()?.show.into_iter().map(|shown| shown.path);
    let (tools, elsewhere): (Vec<PathBuf>, Vec<PathBuf>) = presets::toolchains()?
        .read_paths(&ambient.home, &ambient.environment)
        .into_iter()
        .filter(is_there)
        .partition(|path| path.starts_with(&ambient.home));
    let visible = system
        .filter(is_there)
        .chain(elsewhere)
        .chain([PathBuf::from("/sys")])
        .collect();
    Ok(import(&Surroundings {
        home: &ambient.home,
        current: &ambient.directory,
        project,
        extra,
        look: &look,
        visible,
        tools,
    })?)
}

/// Lists what isn't carried over, the weightiest first.
fn told(imported: &Imported) {
    let mut left: Vec<&Left> = imported.left.iter().collect();
    left.sort_by_key(|left| left.loss);
    for left in left {
        let loss = match left.loss {
            Loss::Restriction => "RESTRICTION LOST",
            Loss::Permission => "not carried over",
            Loss::Nothing => "not needed",
        };
        let line = format!("{loss}: {} ({}): {}", left.what, left.origin, left.why);
        ui::write_error(&format!("{}\n", sanitize::line(&line)));
        if let Some(instead) = &left.instead {
            ui::write_error(&format!("  hint: {}\n", sanitize::line(instead)));
        }
    }
}

/// What a project's own files allow was chosen by whoever wrote the project.
fn note_grants(imported: &Imported, project: &Path) {
    let own = imported.entries.iter().filter(|entry| {
        let of_project = matches!(&entry.origin, Origin::File { path, .. } if path.starts_with(project));
        of_project && entry.setting.allows()
    });
    match own.count() {
        0 => {}
        count => ui::write_error(&format!(
            "note: the project's own files allow something in {count} of these entries: read those before you use them\n"
        )),
    }
}

fn write(how: &ImportFlags, ambient: &Ambient, text: &str) -> Result<(), Failure> {
    let Some(path) = &how.output else {
        return ui::write_out(text).map_err(|error| Failure::new(FailureKind::Machine, error));
    };
    let path = ambient.directory.join(path);
    let failed = |error: std::io::Error| {
        let there = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failure = Failure::new(
            FailureKind::Machine,
            Output {
                path: path.clone(),
                source: error,
            },
        );
        if there {
            failure.hint("what is there is never written over: choose another name, or move it away")
        } else {
            failure
        }
    };
    // O_EXCL: neither a file nor a link that is there is used (open(2)).
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct Output {
    path: PathBuf,
    source: std::io::Error,
}
