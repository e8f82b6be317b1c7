//! The user's own ssh(1), and what it is started with. It is looked for once, before the run: later the search path, or
//! what lies on it, could be another.

use super::Ambient;
use super::paths::{leads_to, links_on_the_way, real};
use super::ssh_config::{SshConfigError, look, passwd_home};
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables that it has, besides `PATH` and `HOME`.
const KEPT: [&str; 3] = ["SSH_AUTH_SOCK", "USER", "LANG"];

/// What is started, and with which variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshClient {
    /// Absolute, without links.
    pub program: PathBuf,
    /// All of its variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Git beside it, or elsewhere on the path: by the same rules.
    pub git: Option<PathBuf>,
}

/// Why no ssh is started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshClientError {
    /// There is none.
    #[error("no `ssh` was found outside of the sandbox when the run began")]
    None,
    /// Every one that there is could have been put there from inside.
    #[error("{} lies in what is written inside, so it isn't started", .0.display())]
    Open(PathBuf),
    /// What it obeys could have been written from inside.
    #[error("{} lies in what is written inside, so what it says isn't obeyed", .0.display())]
    Configuration(PathBuf),
    /// What it obeys leads there.
    #[error("your configuration of ssh isn't obeyed: {0}")]
    Leads(#[from] SshConfigError),
}

/// Whether a path lies in directories of the host that are written inside, or a link on its way does. What isn't there yet
/// counts where it would be.
pub(super) fn is_open(path: &Path, open: &[PathBuf]) -> bool {
    let lies = |path: &Path| open.iter().any(|root| path.starts_with(root));
    lies(path)
        || real(path).is_ok_and(|real| lies(&real))
        || lies(&leads_to(path))
        || links_on_the_way(path).iter().any(|link| lies(link))
}

/// Whether a path is a file that may be started.
pub(super) fn is_program(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file && access(path, Access::EXEC_OK).is_ok()
}

/// Finds it on the caller's search path. `open` are the directories of the host that are written inside: nothing that lies
/// in there, or that a link in there leads to, is started or obeyed.
///
/// # Errors
/// See [`SshClientError`].
pub fn ssh_client(ambient: &Ambient, open: &[PathBuf]) -> Result<SshClient, SshClientError> {
    let is_open = |path: &Path| is_open(path, open);
    // Ssh goes by the home of the user database, and programs that its configuration starts by the variable.
    let mut homes = vec![ambient.home.clone()];
    homes.extend(passwd_home(ambient.uid).filter(|home| *home != ambient.home));
    for home in &homes {
        let configuration = home.join(".ssh");
        if is_open(&configuration) {
            return Err(SshClientError::Configuration(configuration));
        }
    }
    look(&homes, &is_open)?;
    let variable = |name: &str| {
        let found = ambient.environment.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    };
    let path = variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let all: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_good = |directory: &&PathBuf| directory.is_absolute() && !is_open(directory);
    let directories: Vec<&PathBuf> = all.iter().filter(is_good).collect();
    let mut refused = None;
    for directory in &all {
        let found = directory.join("ssh");
        if !directory.is_absolute() || !is_program(&found) {
            continue;
        }
        let Some(program) = real(&found).ok().filter(|_| !is_open(&found)) else {
            refused = Some(found);
            continue;
        };
        let mut environment: Vec<(OsString, OsString)> = KEPT
            .iter()
            .filter_map(|name| Some(((*name).into(), variable(name)?)))
            .collect();
        environment.push(("HOME".into(), ambient.home.clone().into()));
        // It may start programs by name, as its configuration says.
        if let Ok(path) = std::env::join_paths(&directories) {
            environment.push(("PATH".into(), path));
        }
        let git = directories.iter().map(|directory| directory.join("git"));
        let git = git.filter(|path| is_program(path) && !is_open(path));
        return Ok(SshClient {
            program,
            environment,
            git: git.filter_map(|path| real(&path).ok()).next(),
        });
    }
    Err(refused.map_or(SshClientError::None, SshClientError::Open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place(path: &Path) -> PathBuf {
        std::fs::create_dir_all(path).unwrap();
        let program = path.join("ssh");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    fn ambient(root: &Path, path: &str) -> Ambient {
        Ambient {
            environment: vec![
                ("PATH".into(), path.into()),
                ("SECRET".into(), "x".into()),
                ("SSH_AUTH_SOCK".into(), "/agent".into()),
            ],
            home: root.join("home"),
            directory: root.to_owned(),
            uid: 1,
            gid: 1,
        }
    }

    #[test]
    fn nothing_that_is_written_inside_is_started_or_obeyed() {
        let root = tempfile::tempdir().unwrap();
        let root = real(root.path()).unwrap();
        let (project, good) = (root.join("project"), root.join("good"));
        let planted = place(&project.join("bin"));
        let own = place(&good);
        // A link from outside into what is written, and one in there that leads out.
        let linked = root.join("linked");
        std::os::unix::fs::symlink(project.join("bin"), &linked).unwrap();
        let leads_out = project.join("out");
        std::os::unix::fs::symlink(&good, &leads_out).unwrap();
        let list = [project.join("bin"), linked, leads_out, "relative".into(), good];
        let path = std::env::join_paths(&list).unwrap().into_string().unwrap();
        let surroundings = ambient(&root, &path);
        let found = ssh_client(&surroundings, std::slice::from_ref(&project)).unwrap();
        assert_eq!(found.program, own);
        let names: Vec<_> = found.environment.iter().map(|(name, _)| name.to_str()).collect();
        assert_eq!(names, [Some("SSH_AUTH_SOCK"), Some("HOME"), Some("PATH")]);
        assert_eq!(found.environment[2].1, root.join("good").into_os_string());
        // Where nothing is written it is the first.
        assert_eq!(ssh_client(&surroundings, &[]).unwrap().program, planted);
        assert_eq!(
            ssh_client(&surroundings, std::slice::from_ref(&root)),
            Err(SshClientError::Configuration(root.join("home/.ssh")))
        );
        let alone = ambient(&root, project.join("bin").to_str().unwrap());
        assert_eq!(ssh_client(&alone, &[project]), Err(SshClientError::Open(planted)));
        assert_eq!(ssh_client(&ambient(&root, ""), &[]), Err(SshClientError::None));
    }
}
