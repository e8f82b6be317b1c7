//! What the user's configuration of ssh(1) leads to: every file that it includes, program that it starts and file that it
//! goes by. Nothing of that may lie where it is written inside, since ssh is started with it outside.
//!
//! Only what could lead there is looked for; what a line means is ssh's own business. So a word that can't be followed
//! (`${…}` in an `Include`) is refused, and every other is taken for a path where it looks like one.

use super::paths::real;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// Most files, and how deep one includes another (ssh's own bound is 16).
const FILES_MAX: usize = 256;
const DEPTH_MAX: usize = 16;

/// Why a configuration isn't obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshConfigError {
    /// It leads to what could have been written from inside.
    #[error("{}, line {line}, leads to {}, which is written inside", file.display(), path.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// Where to.
        path: PathBuf,
    },
    /// An `Include` that can't be followed, or too many.
    #[error("{}, line {line}, includes more than can be followed", file.display())]
    Include {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
    /// It is there and can't be read, or isn't text.
    #[error("{} can't be read", .0.display())]
    Unreadable(PathBuf),
}

/// Looks through the files that ssh begins with: a user's and the machine's (ssh_config(5), "FILES"). `homes` are what `~`
/// stands for; relative names in the user's file begin at `.ssh` in there, in the machine's at its directory.
///
/// # Errors
/// See [`SshConfigError`].
pub(super) fn look(homes: &[PathBuf], is_open: &dyn Fn(&Path) -> bool) -> Result<(), SshConfigError> {
    let mut looked = Looked {
        homes,
        is_open,
        files: Vec::new(),
    };
    for home in homes {
        let directory = home.join(".ssh");
        looked.file(&directory.join("config"), &directory, DEPTH_MAX)?;
    }
    let directory = Path::new("/etc/ssh");
    looked.file(&directory.join("ssh_config"), directory, DEPTH_MAX)
}

struct Looked<'a> {
    homes: &'a [PathBuf],
    is_open: &'a dyn Fn(&Path) -> bool,
    files: Vec<PathBuf>,
}

impl Looked<'_> {
    fn file(&mut self, path: &Path, base: &Path, depth: usize) -> Result<(), SshConfigError> {
        let Ok(metadata) = std::fs::metadata(path) else {
            // None, or none that ssh could read either.
            return Ok(());
        };
        if self.files.iter().any(|known| known == path) {
            return Ok(());
        }
        let unreadable = || SshConfigError::Unreadable(path.to_owned());
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            return Err(unreadable());
        }
        self.files.push(path.to_owned());
        let text = std::fs::read(path).map_err(|_| unreadable())?;
        let text = String::from_utf8_lossy(&text);
        for (index, line) in text.lines().enumerate() {
            self.line(path, index + 1, line, base, depth)?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        file: &Path,
        number: usize,
        text: &str,
        base: &Path,
        depth: usize,
    ) -> Result<(), SshConfigError> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let is_end = |character: char| character.is_whitespace() || character == '=' || character == '"';
        let (key, rest) = text.split_once(is_end).unwrap_or((text, ""));
        let includes = key.eq_ignore_ascii_case("include");
        let bad_include = || SshConfigError::Include {
            file: file.to_owned(),
            line: number,
        };
        for path in self.paths(rest, includes.then_some(base)) {
            if (self.is_open)(&path) {
                return Err(SshConfigError::Open {
                    file: file.to_owned(),
                    line: number,
                    path,
                });
            }
        }
        if !includes {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or_else(bad_include)?;
        for word in words(rest) {
            if word.contains(['$', '%', '[', ']', '{', '\\']) {
                return Err(bad_include());
            }
            for pattern in self.expanded(&word, Some(base)) {
                let found = matching(&pattern).ok_or_else(bad_include)?;
                for found in found {
                    if (self.is_open)(&found) {
                        return Err(SshConfigError::Open {
                            file: file.to_owned(),
                            line: number,
                            path: found,
                        });
                    }
                    if self.files.len() >= FILES_MAX {
                        return Err(bad_include());
                    }
                    self.file(&found, base, depth)?;
                }
            }
        }
        Ok(())
    }

    /// All that looks like a path in a line's value: words, and parts of words behind what a shell or an option would have
    /// before one.
    fn paths(&self, value: &str, base: Option<&Path>) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let cuts = |character: char| character.is_whitespace() || "\"'=;&|()<>,`".contains(character);
        for word in value.split(cuts).filter(|word| !word.is_empty()) {
            let word = word.split('*').next().unwrap_or_default();
            all.extend(self.expanded(word, base));
            // `-F/path`, `host:/path`.
            if let Some(at) = word.find('/') {
                all.extend(word.get(at..).map(PathBuf::from));
            }
        }
        all
    }

    /// A path as ssh reads it, in each home where it begins with one.
    fn expanded(&self, word: &str, base: Option<&Path>) -> Vec<PathBuf> {
        let in_home = ["~/", "%d/", "${HOME}/", "$HOME/"]
            .iter()
            .find_map(|beginning| word.strip_prefix(beginning));
        if let Some(rest) = in_home {
            return self.homes.iter().map(|home| home.join(rest)).collect();
        }
        match (word.starts_with('/'), base) {
            (true, _) => vec![word.into()],
            (false, Some(base)) => vec![base.join(word)],
            (false, None) => Vec::new(),
        }
    }
}

/// Words, with what stands in double quotes as one.
fn words(value: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in value.chars() {
        match character {
            '"' => quoted = !quoted,
            space if !quoted && (space.is_whitespace() || space == '=') => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

/// The files that a pattern of glob(7) names, where its wildcards stand in the last part alone; `None` otherwise.
fn matching(pattern: &Path) -> Option<Vec<PathBuf>> {
    let is_wild = |text: &str| text.contains(['*', '?']);
    let name = pattern.file_name()?.to_str()?;
    let directory = pattern.parent()?;
    if is_wild(directory.to_str()?) {
        return None;
    }
    if !is_wild(name) {
        return Some(vec![pattern.to_owned()]);
    }
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Some(Vec::new());
    };
    // All of them: to look at more than ssh does only refuses more.
    let all = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_file = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    Some(all.filter(is_file).take(FILES_MAX + 1).collect())
}

/// The home that the user's entry in `/etc/passwd` names: ssh goes by that, whatever `HOME` says. Without one it goes by
/// none that could be another.
pub(super) fn passwd_home(uid: u32) -> Option<PathBuf> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let home = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_own = fields.get(2)?.parse() == Ok(uid);
        is_own.then(|| fields.get(5).copied()).flatten()
    })?;
    real(Path::new(home)).ok().or_else(|| Some(home.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(config: &str) -> Result<(), SshConfigError> {
        let root = tempfile::tempdir().unwrap();
        let root = real(root.path()).unwrap();
        let (home, open) = (root.join("home"), root.join("home/project"));
        std::fs::create_dir_all(home.join(".ssh/conf.d")).unwrap();
        std::fs::create_dir_all(open.join("inner")).unwrap();
        std::fs::create_dir_all(root.join("outside")).unwrap();
        std::os::unix::fs::symlink(open.join("planted"), home.join(".ssh/link")).unwrap();
        std::fs::write(open.join("planted"), "Host *\n").unwrap();
        std::fs::write(home.join(".ssh/conf.d/one"), "ProxyCommand ~/project/x %h\n").unwrap();
        std::fs::write(home.join(".ssh/good"), "Host a\n  User b\n").unwrap();
        let text = config
            .replace("ROOT", root.to_str().unwrap())
            .replace("OPEN", open.to_str().unwrap());
        std::fs::write(home.join(".ssh/config"), text).unwrap();
        let is_open =
            |path: &Path| path.starts_with(&open) || real(path).is_ok_and(|real| real.starts_with(&open));
        look(&[home], &is_open)
    }

    #[test]
    fn what_leads_to_what_is_written_inside_is_found() {
        for config in [
            "Include OPEN/planted",
            "include = \"OPEN/planted\"",
            "Include ~/project/*",
            "Include link",
            "Include ../project/planted",
            "Host x\n  Include conf.d/*",
            "ProxyCommand OPEN/nc %h %p",
            "ProxyCommand sh -c 'exec ~/project/nc'",
            "ProxyCommand=/bin/sh -c \"$HOME/project/nc\"",
            "Match exec \"OPEN/x\"",
            "Match host a exec OPEN/x",
            "IdentityFile ~/project/key",
            "IdentityFile %d/project/key",
            "CertificateFile ${HOME}/project/key",
            "UserKnownHostsFile ~/.ssh/known_hosts ~/project/known_hosts",
            "KnownHostsCommand OPEN/x",
            "PKCS11Provider OPEN/x.so",
            "SecurityKeyProvider=OPEN/x.so",
            "IdentityAgent OPEN/agent",
            "ControlPath ~/.ssh/link",
        ] {
            assert!(
                matches!(looked(config), Err(SshConfigError::Open { .. })),
                "{config}: {:?}",
                looked(config)
            );
        }
        for config in ["Include ${X}/y", "Include */x", "Include %d/x", "Include [ab]"] {
            assert!(looked(config).is_err(), "{config}");
        }
    }

    #[test]
    fn the_usual_is_let_be() {
        for config in [
            "",
            "# Include OPEN/planted\n",
            "Host *\n  User git\n  IdentityFile ~/.ssh/id_ed25519\n  ProxyJump jump.test\n",
            "Include good\nInclude good\nInclude none/*\nInclude config\n",
            "ProxyCommand nc -X 5 -x localhost:1080 %h %p",
            "UserKnownHostsFile /dev/null",
            "IdentityAgent \"~/Library/agent.sock\"",
        ] {
            assert_eq!(looked(config), Ok(()), "{config}");
        }
    }
}
