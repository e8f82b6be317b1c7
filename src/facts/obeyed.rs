//! Files that a home links into a project, as with dotfiles kept in a repository: their names there are the user's own
//! choice, so no pattern knows them, and the host obeys them all the same.

use super::paths::{Kind, Paths};
use std::path::{Path, PathBuf};

/// In the home: what shells, git, editors, desktops and agents run or obey.
const OBEYED: [&str; 45] = [
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".profile",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    ".inputrc",
    ".tmux.conf",
    ".vimrc",
    ".gitconfig",
    ".npmrc",
    ".cargo/config.toml",
    ".config/autostart",
    ".config/direnv",
    ".config/environment.d",
    ".config/fish",
    ".config/git/attributes",
    ".config/git/config",
    ".config/mise",
    ".config/nvim",
    ".config/systemd",
    ".config/tmux",
    ".config/zsh",
    ".ssh/authorized_keys",
    ".ssh/config",
    ".ssh/rc",
    ".claude/agents",
    ".claude/commands",
    ".claude/hooks",
    ".claude/plugins",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".claude/skills",
    ".codex/config.toml",
    ".codex/hooks.json",
    ".codex/rules",
    ".cursor/mcp.json",
    ".gemini/extensions",
    ".gemini/settings.json",
    ".config/opencode",
];

/// What of those lies beneath one of `roots`, behind links.
#[must_use]
pub fn obeyed(home: &Path, roots: &[&Path]) -> Vec<(PathBuf, Kind)> {
    let places: Vec<PathBuf> = OBEYED.iter().map(|name| home.join(name)).collect();
    let facts = Paths::look(places.iter().cloned());
    let mut found: Vec<(PathBuf, Kind)> = places
        .iter()
        .filter_map(|place| facts.get(place))
        .filter(|fact| {
            let lies_in = |root: &&Path| fact.real.starts_with(root) && fact.real != *root;
            !fact.links.is_empty() && roots.iter().any(lies_in)
        })
        .map(|fact| (fact.real.clone(), fact.kind))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.dedup_by(|(one, _), (other, _)| one == other);
    found
}
