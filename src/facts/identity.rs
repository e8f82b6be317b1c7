//! Who commits: name and mail address from the user's git configuration, and nothing else of it.
//!
//! The private home gets a generated `.gitconfig`; the user's own may name helpers, hooks and credentials.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest configuration file that is read, in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// Name and address of git-config(1) `user.name`, `user.email`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitIdentity {
    /// `user.name`.
    pub name: Option<String>,
    /// `user.email`.
    pub email: Option<String>,
    /// `init.defaultBranch`.
    pub default_branch: Option<String>,
    /// What the user's own list of ignored files holds (`core.excludesFile`).
    pub ignored: Option<String>,
    /// Where that list is, as written.
    #[serde(skip)]
    excludes_file: Option<String>,
}

impl GitIdentity {
    /// Reads `~/.config/git/config` and `~/.gitconfig`, the latter winning as in git.
    #[must_use]
    pub fn read(home: &Path) -> Option<Self> {
        let mut identity = Self::default();
        for file in [".config/git/config", ".gitconfig"] {
            if let Some(text) = small_file(&home.join(file)) {
                identity.take(&text);
            }
        }
        let list = match identity.excludes_file.take() {
            Some(written) => written
                .strip_prefix("~/")
                .map_or_else(|| written.clone().into(), |rest| home.join(rest)),
            None => home.join(".config/git/ignore"),
        };
        identity.ignored = small_file(&list);
        (identity != Self::default()).then_some(identity)
    }

    /// The file that is put into the private home.
    #[must_use]
    pub fn configuration(&self) -> String {
        let mut text = String::from("# made by aca from user.name and user.email of the host\n[user]\n");
        for (key, value) in [("name", &self.name), ("email", &self.email)] {
            if let Some(value) = value {
                text.push_str(&format!("\t{key} = {}\n", quoted(value)));
            }
        }
        if let Some(branch) = &self.default_branch {
            text.push_str(&format!("[init]\n\tdefaultBranch = {}\n", quoted(branch)));
        }
        text
    }

    fn take(&mut self, text: &str) {
        let mut section = String::new();
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                section = rest
                    .split(']')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_ascii_lowercase();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match (section.as_str(), key.trim().to_ascii_lowercase().as_str()) {
                ("user", "name") => self.name = Some(value),
                ("user", "email") => self.email = Some(value),
                ("init", "defaultbranch") => self.default_branch = Some(value),
                ("core", "excludesfile") => self.excludes_file = Some(value),
                _ => {}
            }
        }
    }
}

fn small_file(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > SIZE_MAX {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// A value as git-config(1) reads it: quotes, backslashes, and comments outside of quotes.
fn unquoted(value: &str) -> String {
    let mut out = String::new();
    let mut within = false;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => within = !within,
            '\\' => out.extend(characters.next()),
            '#' | ';' if !within => break,
            other => out.push(other),
        }
    }
    if within { out } else { out.trim_end().to_owned() }
}

fn quoted(value: &str) -> String {
    let escaped: String = value
        .chars()
        .filter(|character| !character.is_control())
        .flat_map(|character| match character {
            '"' | '\\' => vec!['\\', character],
            other => vec![other],
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_and_address_come_over() {
        let mut identity = GitIdentity::default();
        identity.take("[user]\n name = \"A \\\"B\\\" C\" ; c\n\temail=a@b.c # d\n[core]\n pager = evil\n[user \"x\"]\nname = no\n");
        assert_eq!(identity.name.as_deref(), Some("A \"B\" C"));
        assert_eq!(identity.email.as_deref(), Some("a@b.c"));
        let text = identity.configuration();
        assert!(!text.contains("evil"));
        let mut again = GitIdentity::default();
        again.take(&text);
        assert_eq!(again, identity);
    }

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        let identity = GitIdentity {
            name: Some("a\n[core]\nfsmonitor = x".into()),
            ..GitIdentity::default()
        };
        assert_eq!(
            identity
                .configuration()
                .lines()
                .filter(|line| line.starts_with('['))
                .count(),
            1
        );
    }
}
