//! Programs of the user's that know credentials, and what they are started with. They are looked for once, before the run:
//! later the search path, or what lies on it, could be another.

use super::Ambient;
use super::git_helpers::{Look, lies};
use super::paths::real;
use super::ssh::{is_open, is_program};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which.
const NAMES: [&str; 3] = ["git", "gh", "glab"];
/// Variables that they have, besides `PATH` and `HOME`: where they find their settings, and a keyring or an agent.
const KEPT: [&str; 9] = [
    "USER",
    "LANG",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "GH_CONFIG_DIR",
    "GLAB_CONFIG_DIR",
];
/// How those of the XDG base directories begin.
const KEPT_BEGINNING: &[u8] = b"XDG_";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    /// Programs by name, each absolute and without links.
    pub programs: HashMap<&'static str, PathBuf>,
    /// Why others aren't started, though they are there.
    pub refused: HashMap<&'static str, String>,
    /// All of their variables.
    pub variables: Vec<(OsString, OsString)>,
}

/// Finds them on the caller's search path. `open` are the directories of the host that are written inside: nothing that lies
/// in there is started, and where settings of git's could lie in there git is none of them.
#[must_use]
pub fn credential_tools(ambient: &Ambient, open: &[PathBuf]) -> Tools {
    let variable = |name: &str| {
        let found = ambient.environment.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    };
    let path = variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let directories: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute() && !is_open(directory, open))
        .collect();
    let find = |name: &str| {
        let mut all = directories.iter().map(|directory| directory.join(name));
        let found = all.find(|path| is_program(path) && !is_open(path, open))?;
        real(&found).ok()
    };
    let lies_inside = |name: &str| {
        let mut all = std::env::split_paths(&path).map(|directory| directory.join(name));
        let found = all.find(|path| path.is_absolute() && is_program(path))?;
        Some(format!(
            "{} lies in what is written inside, so it isn't started",
            found.display()
        ))
    };
    let (mut programs, mut refused) = (HashMap::new(), HashMap::new());
    for name in NAMES {
        let why = match find(name) {
            Some(found) => match obeys_inside(ambient, &directories, open).filter(|_| name == "git") {
                Some(why) => Some(format!("git isn't asked: {why}")),
                None => {
                    programs.insert(name, found);
                    None
                }
            },
            None => lies_inside(name),
        };
        refused.extend(why.map(|why| (name, why)));
    }
    let mut variables: Vec<(OsString, OsString)> = ambient
        .environment
        .iter()
        .filter(|(name, _)| is_kept(name))
        .cloned()
        .collect();
    variables.push(("HOME".into(), ambient.home.clone().into()));
    // They start helpers by name.
    if let Ok(path) = std::env::join_paths(&directories) {
        variables.push(("PATH".into(), path));
    }
    Tools {
        programs,
        refused,
        variables,
    }
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(KEPT_BEGINNING)
}

/// What of that which git obeys could have been written from inside (git-config(1), "FILES"), or leads to what could.
fn obeys_inside(ambient: &Ambient, directories: &[PathBuf], open: &[PathBuf]) -> Option<String> {
    let own = ambient
        .environment
        .iter()
        .find(|(name, _)| name == "XDG_CONFIG_HOME");
    let settings = own.map_or_else(
        || ambient.home.join(".config"),
        |(_, value)| Path::new(value).to_owned(),
    );
    let look = Look {
        home: &ambient.home,
        directories,
        is_open: &|path| is_open(path, open),
    };
    let stores = [
        ambient.home.join(".git-credentials"),
        settings.join("git/credentials"),
    ];
    let store = stores.iter().find(|path| is_open(path, open));
    store.map(|path| lies(path)).or_else(|| {
        look.leads_inside(vec![
            "/etc/gitconfig".into(),
            ambient.home.join(".gitconfig"),
            settings.join("git/config"),
        ])
    })
}

/// Whether what a rule on credentials names lies in what is written inside, or leads there: a program that would be started
/// outside, or a file that could be another by then.
#[must_use]
pub fn is_written_inside(path: &Path, open: &[PathBuf]) -> bool {
    is_open(path, open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nothing_that_is_written_inside_is_started_or_obeyed() {
        let root = tempfile::tempdir().unwrap();
        let root = real(root.path()).unwrap();
        let (project, good) = (root.join("project/bin"), root.join("good"));
        for directory in [&project, &good] {
            std::fs::create_dir_all(directory).unwrap();
            for name in NAMES {
                std::fs::write(directory.join(name), "#!/bin/sh\n").unwrap();
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(directory.join(name), mode).unwrap();
            }
        }
        let path = std::env::join_paths([&project, Path::new("relative"), &good]).unwrap();
        let ambient = Ambient {
            environment: vec![
                ("PATH".into(), path),
                ("GH_TOKEN".into(), "s3cr3t".into()),
                ("XDG_RUNTIME_DIR".into(), "/run/user/1".into()),
                ("GIT_CONFIG_COUNT".into(), "1".into()),
            ],
            home: root.join("home"),
            directory: root.clone(),
            uid: 1,
            gid: 1,
        };
        let tools = credential_tools(&ambient, &[root.join("project")]);
        for name in NAMES {
            assert_eq!(tools.programs[name], good.join(name));
        }
        let names: Vec<_> = tools
            .variables
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["XDG_RUNTIME_DIR", "HOME", "PATH"]);
        assert_eq!(tools.variables[2].1, good.clone().into_os_string());
        // Settings that could have been written inside.
        let tools = credential_tools(&ambient, &[root.join("home")]);
        assert!(!tools.programs.contains_key("git") && tools.programs.contains_key("gh"));
        let why = &tools.refused["git"];
        assert!(
            why.contains("git-credentials lies in what is written inside"),
            "{why}"
        );
        // Programs that lie there themselves.
        let tools = credential_tools(&ambient, std::slice::from_ref(&root));
        assert!(tools.programs.is_empty() && tools.refused["gh"].contains("project/bin/gh lies in"));
    }

    /// Each way in which git outside would start, or obey, what somebody inside wrote.
    #[test]
    fn git_is_not_asked_where_its_settings_lead_inside() {
        let root = tempfile::tempdir().unwrap();
        let root = real(root.path()).unwrap();
        let (home, project, good) = (root.join("home"), root.join("home/project"), root.join("good"));
        for directory in [&project, &good] {
            std::fs::create_dir_all(directory).unwrap();
        }
        for name in ["git", "tool", "git-credential-fine"] {
            std::fs::write(good.join(name), "#!/bin/sh\n").unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(good.join(name), mode).unwrap();
        }
        std::os::unix::fs::symlink(project.join("t"), good.join("git-credential-linked")).unwrap();
        std::fs::write(home.join("more"), "[include]\npath = project/inc\n").unwrap();
        let ambient = Ambient {
            environment: vec![("PATH".into(), good.clone().into_os_string())],
            home: home.clone(),
            directory: root.clone(),
            uid: 1,
            gid: 1,
        };
        let is_asked = |settings: &str| {
            std::fs::write(home.join(".gitconfig"), settings).unwrap();
            let tools = credential_tools(&ambient, std::slice::from_ref(&project));
            let refused = tools.refused.get("git");
            assert!(
                refused.is_none_or(|why| why.contains("written inside") || why.contains("can't be followed"))
            );
            assert_ne!(tools.programs.contains_key("git"), refused.is_some());
            tools.programs.contains_key("git")
        };
        let p = project.display();
        for good in [
            "[user]\nname = a\n[include]\npath = none\n[credential]\nhelper = store\nhelper = !tool get\n",
            "[credential \"https://h.test\"]\nhelper =\nhelper = fine --file ~/.secret\n[include]\npath = ~/other\n",
        ] {
            assert!(is_asked(good), "{good}");
        }
        for bad in [
            "[include]\npath = ~/project/inc\n".to_owned(),
            "[include]\npath = project/inc\n".to_owned(),
            format!("[includeIf \"gitdir:~/x/\"]\npath = {p}/inc\n"),
            "[include]\npath = more\n".to_owned(),
            "[include]\npath = ~other/x\n".to_owned(),
            format!("[credential]\nhelper = {p}/h\n"),
            "[credential]\nhelper = ~/project/h\n".to_owned(),
            format!("[credential \"https://h.test\"]\nhelper = !tool --by={p}/h\n"),
            "[credential]\nhelper = \"!sh -c '$HOME/project/h'\"\n".to_owned(),
            "[credential]\nhelper = linked\n".to_owned(),
        ] {
            assert!(!is_asked(&bad), "{bad}");
        }
        // Links to what isn't there yet.
        assert!(is_asked(""));
        std::os::unix::fs::symlink(project.join("config"), home.join(".config")).unwrap();
        assert!(!is_asked(""));
    }
}
