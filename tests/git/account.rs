//! A user with repositories on a server, however that is reached.

use super::support::World;
use std::path::PathBuf;

/// All of it but the server.
pub(crate) struct Account {
    pub(crate) world: World,
    /// Where the server's repositories are, such as `acme/app.git`.
    pub(crate) repositories: PathBuf,
}

impl Account {
    /// A repository of that name on the server, and the work tree beside it that its commits were made in. The files of
    /// each commit are `README` and `file1`, `file2`, …
    pub(crate) fn make(&self, name: &str, commits: u32) -> PathBuf {
        let world = &self.world;
        let bare = world.directory(self.repositories.join(format!("{name}.git")));
        world.git(&bare, &["init", "-q", "--bare", "-b", "main"]);
        let work = world.directory(world.outside.join(format!("work/{name}")));
        world.git(&work, &["init", "-q", "-b", "main"]);
        for number in 1..=commits {
            world.file(work.join("README"), format!("this is {name}\n"));
            world.file(work.join(format!("file{number}")), format!("{name} {number}\n"));
            world.git(&work, &["add", "-A"]);
            world.git(&work, &["commit", "-q", "-m", &format!("number {number}")]);
        }
        world.git(&work, &["push", "-q", bare.to_str().unwrap(), "main"]);
        bare
    }

    /// Makes the project a repository, with a remote `origin`.
    pub(crate) fn begin(&self, origin: &str) {
        self.world.git(&self.world.project, &["init", "-q", "-b", "main"]);
        self.remote("origin", origin);
    }

    /// Adds a remote to the project.
    pub(crate) fn remote(&self, name: &str, url: &str) {
        self.world.git(&self.world.project, &["remote", "add", name, url]);
    }

    /// The requests of the newest session: what for, which, and why not.
    pub(crate) fn requests(&self) -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let events = self.world.events_of("git_request");
        let of = |event: &serde_json::Value| {
            let denied = text(&event["denied"]["reason"]);
            (text(&event["operation"]), text(&event["repository"]), denied)
        };
        events.iter().map(of).collect()
    }
}
