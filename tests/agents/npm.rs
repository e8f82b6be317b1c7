//! Clients that npm installs: where they are, and how one is run in a world of its own against the model.

use crate::model::Model;
use crate::screen::Screen;
use crate::support::{Ran, World, has, host_path, skip};
use aca::agents::AgentDefinition;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pinned client.
pub(crate) struct Package {
    /// The agent, and its program.
    pub(crate) name: &'static str,
    /// The package.
    pub(crate) npm: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The variable that names npm's prefix, where it isn't the usual one.
    pub(crate) variable: &'static str,
}

impl Package {
    /// npm's prefix with the client; `None` is a counted skip.
    #[track_caller]
    fn prefix(&self) -> Option<PathBuf> {
        let usual = || PathBuf::from(format!("/opt/aca-test/{}-{}", self.name, self.version));
        let prefix = std::env::var_os(self.variable).map_or_else(usual, PathBuf::from);
        let there = prefix.join("bin").join(self.name).exists();
        if !there {
            let (npm, version) = (self.npm, self.version);
            let why = format!(
                "the client is not installed: `npm install --global --prefix {} {npm}@{version}`, or {}=PREFIX",
                prefix.display(),
                self.variable
            );
            skip(self.name, &why);
        }
        there.then_some(prefix)
    }
}

/// A client in a world's home, where npm's global prefix is the user's, and its model.
pub(crate) struct Client {
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) agent: AgentDefinition,
    /// Variables that the user has for it.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Client {
    /// `None` is a counted skip.
    #[track_caller]
    pub(crate) fn new(package: &Package) -> Option<Self> {
        let installed = package.prefix()?;
        let world = World::with_repository();
        let prefix = world.directory(world.home.join(".npm-global"));
        world.link_tree(&installed.join("lib"), &prefix.join("lib"));
        let link = fs::read_link(installed.join("bin").join(package.name)).unwrap();
        world.directory(prefix.join("bin"));
        symlink(link, prefix.join("bin").join(package.name)).unwrap();
        world.file(world.home.join(".ssh/id_rsa"), "the key of the user\n");
        world.file(".env", "PASSWORD=the-password\n");
        Some(Self {
            world,
            model: Model::start(),
            agent: aca::agents::load(package.name).unwrap(),
            environment: Vec::new(),
        })
    }

    /// `aca run FLAGS CLIENT ARGUMENTS`. What it may ask for beside the model is answered for here, so that no question
    /// leaves the machine.
    pub(crate) fn command(&self, flags: &[&str], arguments: &[&str]) -> Command {
        let world = &self.world;
        let mut command = world.aca(&["run", "--allow", "model.test"]);
        let named = self.agent.network.hosts.iter().map(ToString::to_string);
        let registries = ["github.com", "api.github.com", "registry.npmjs.org", "model.test"];
        for host in named.chain(registries.map(String::from)) {
            if !host.contains('*') {
                command.args(["--resolve", &format!("{host}=127.0.0.1:{}", self.model.port())]);
            }
        }
        command
            .args(flags)
            .arg(&self.agent.name)
            .args(arguments)
            .env(
                "PATH",
                format!("{}:{}", world.home.join(".npm-global/bin").display(), host_path()),
            )
            .env("AWS_SECRET_ACCESS_KEY", "the-key-of-the-cloud");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn run(&self, flags: &[&str], arguments: &[&str]) -> Ran {
        Ran::from_output(&self.command(flags, arguments).output().unwrap())
    }

    /// A prompt that makes the model call the shell tool once.
    pub(crate) fn prompt(command: &str) -> String {
        format!("RUN: {command}")
    }

    /// All that the sandbox refused in the newest run, but for hosts that the agent's file denies without noise.
    pub(crate) fn denials(&self) -> Vec<Value> {
        let mut events = self.world.events();
        events.retain(|event| {
            let refused = event["type"] == "syscall_refused" || event["denied"].is_object();
            let name = event["name"].as_str().and_then(|name| name.parse().ok());
            let quiet = name.is_some_and(|name| {
                let mut hosts = self.agent.network.quiet_deny.iter();
                hosts.any(|host| host.has_name(&name))
            });
            refused && !quiet
        });
        events
    }

    /// Names that were asked for in the newest run.
    pub(crate) fn names(&self) -> Vec<String> {
        let lookups = self.world.events_of("lookup");
        let mut names: Vec<String> = lookups
            .iter()
            .map(|lookup| lookup["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The task that every client is given twice: its effect is in the project, its result came back, secrets are out of
    /// reach, nothing was refused, and the second run goes on with the first.
    pub(crate) fn does_a_task_twice(&self, flags: &[&str], first: &[&str], second: &[&str]) {
        let task = Self::prompt(
            "echo ACA=$ACA; cat ~/.ssh/id_rsa .env 2>&1; env | grep -c the-key-of-the-cloud; echo inside > made; echo remember-this",
        );
        let with = |arguments: &[&str], prompt: &str| -> Ran {
            let mut all = arguments.to_vec();
            all.push(prompt);
            let ran = self.run(flags, &all);
            assert_eq!(ran.code, 0, "{ran:#?}\n{:#?}", self.world.events());
            ran
        };
        let ran = with(first, &task);
        let results = self.model.tool_results();
        let [result] = &results[..] else {
            panic!("{results:#?}\n{ran:#?}");
        };
        for part in ["ACA=1\n", "\n0\n", "remember-this"] {
            assert!(result.contains(part), "{part:?} is not in {result}");
        }
        assert!(ran.out.contains("ANSWER"), "{ran:#?}");
        assert_eq!(
            fs::read_to_string(self.world.project.join("made")).unwrap(),
            "inside\n"
        );
        assert_eq!(self.denials(), [] as [Value; 0]);
        assert_eq!(self.world.events_of("state_not_kept"), [] as [Value; 0]);
        let asked = self.model.conversations().len();
        with(second, &Self::prompt("echo the second"));
        assert_eq!(self.denials(), [] as [Value; 0]);
        let conversations = self.model.conversations();
        let continued = conversations.iter().skip(asked).any(|conversation| {
            let text = conversation.to_string();
            text.contains("remember-this") && text.contains("the second")
        });
        assert!(continued, "the second run knows nothing of the first");
        for conversation in conversations {
            let text = conversation.to_string();
            for secret in ["the key of the user", "the-password"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        assert!(self.model.hosts().iter().all(|host| host == "model.test"));
        for name in self.names() {
            let hosts = self
                .agent
                .network
                .hosts
                .iter()
                .chain(&self.agent.network.quiet_deny);
            let named = name
                .parse()
                .is_ok_and(|name| hosts.clone().any(|host| host.has_name(&name)));
            let dev = ["github.com", "api.github.com", "registry.npmjs.org"].contains(&name.as_str());
            assert!(named || dev || name == "model.test", "it asks for {name}");
        }
    }

    /// The full screen: drawing, keys, a command of the tool, and an exit.
    pub(crate) fn works_on_a_full_screen(
        &self,
        flags: &[&str],
        arguments: &[&str],
        begins: &str,
        quit: &str,
    ) {
        if !has("tmux") {
            return;
        }
        let command = self.command(flags, arguments);
        let screen = Screen::start(&self.world, &command);
        screen.shows(begins);
        screen.enters("RUN: echo ACA=$ACA > made; printf done-%d 42", "done-42");
        screen.shows("ANSWER");
        let made = self.world.project.join("made");
        assert_eq!(fs::read_to_string(made).unwrap(), "ACA=1\n");
        screen.enters(quit, "Pane is dead (status 0");
        assert_eq!(self.denials(), [] as [Value; 0]);
    }

    /// What the host's home holds below a directory.
    pub(crate) fn left_in(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.world.home.join(below))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Where the sandboxes of this agent keep what is theirs alone.
    pub(crate) fn store(&self) -> PathBuf {
        let stores = Path::new(".local/share/aca/stores/agents");
        self.world.home.join(stores).join(&self.agent.name)
    }
}
