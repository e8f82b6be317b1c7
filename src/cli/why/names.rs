//! Which directory could be opened for names, where more than one of it is wanted: a copy of another project, a scaffold.

use crate::policy::Change;
use std::path::{Path, PathBuf};

/// The note on a name that can't be made: `others` can't be made either.
pub(super) fn note(path: &Path, project: &Path, others: &[PathBuf]) -> Option<String> {
    let (directory, why) = match repository(path, project) {
        Some(directory) => (directory, "is a repository of its own"),
        None => (shared(path, project, others)?, "had more names refused"),
    };
    let change = Change::names_in(directory)?;
    Some(format!(
        "{} {why}: `{}` lets all such names be made in it, and tells them after the run",
        directory.display(),
        change.flag()
    ))
}

/// The repository beneath the project that the path lies in, the outermost: what it is a copy of has names further down.
fn repository<'p>(path: &'p Path, project: &Path) -> Option<&'p Path> {
    beneath(path, project)
        .filter(|directory| std::fs::symlink_metadata(directory.join(".git")).is_ok())
        .last()
}

/// The directory in which another name was refused too.
fn shared<'p>(path: &'p Path, project: &Path, others: &[PathBuf]) -> Option<&'p Path> {
    let directory = holds(path, project)?;
    let another = |other: &PathBuf| other != path && holds(other, project) == Some(directory);
    others.iter().any(another).then_some(directory)
}

/// The directory that a name would count in: what lies in hidden ones, such as `.vscode`, counts where those are.
fn holds<'p>(path: &'p Path, project: &Path) -> Option<&'p Path> {
    let hidden = |directory: &&Path| {
        let below = directory.strip_prefix(project).unwrap_or(directory);
        below.iter().any(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    beneath(path, project).find(|directory| !hidden(directory))
}

/// The directories above a path that lie in the project, the nearest first.
fn beneath<'p>(path: &'p Path, project: &Path) -> impl Iterator<Item = &'p Path> {
    path.ancestors()
        .skip(1)
        .take_while(move |above| *above != project && above.starts_with(project))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_names_lie_in_is_named() {
        let project = Path::new("/nowhere/p");
        let others = [
            "/nowhere/p/app/.vscode/tasks.json",
            "/nowhere/p/app/.github/workflows/ci.yml",
            "/nowhere/p/.envrc",
            "/nowhere/p/.vscode/tasks.json",
            "/nowhere/p/lib/.envrc",
            "/nowhere/p/app/it's/.envrc",
            "/nowhere/p/app/it's/.npmrc",
        ]
        .map(PathBuf::from);
        let said = |path: &str| {
            let note = note(Path::new(path), project, &others)?;
            Some(note.split('`').nth(1)?.to_owned())
        };
        let app = Some("--open-names-in /nowhere/p/app".to_owned());
        assert_eq!(said("/nowhere/p/app/.vscode/tasks.json"), app);
        assert_eq!(said("/nowhere/p/app/.github/workflows/ci.yml"), app);
        assert_eq!(
            said("/nowhere/p/app/it's/.envrc"),
            Some(r"--open-names-in '/nowhere/p/app/it'\''s'".to_owned())
        );
        // The whole project isn't opened for two names, nor a directory for one.
        assert_eq!(said("/nowhere/p/.envrc"), None);
        assert_eq!(said("/nowhere/p/lib/.envrc"), None);
        assert_eq!(said("/elsewhere/.envrc"), None);
    }

    #[test]
    fn a_repository_of_its_own_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path().join("p");
        let inner = project.join("vendor/lib");
        std::fs::create_dir_all(inner.join(".git")).unwrap();
        std::fs::create_dir_all(inner.join("sub/.git")).unwrap();
        std::fs::create_dir_all(project.join(".git")).unwrap();
        let note = |path: &str| note(&project.join(path), &project, &[]);
        let said = format!("--open-names-in {}", inner.display());
        for path in ["vendor/lib/.github/workflows/ci.yml", "vendor/lib/sub/.envrc"] {
            assert!(note(path).unwrap().contains(&format!("`{said}`")), "{path}");
        }
        assert_eq!(note("vendor/.envrc"), None);
        assert_eq!(note(".envrc"), None);
    }
}
