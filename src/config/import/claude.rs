//! Claude Code's settings (`~/.claude/settings.json`, and a project's `.claude/settings.json` and
//! `.claude/settings.local.json`), as of its version 2.1.
//!
//! Its permission rules are about its own tools, and it goes on holding them: commands that it runs are another matter,
//! which is what a sandbox is for. Here a deny of reading or editing becomes one for everything that runs.
//!
//! Paths in permission rules follow gitignore(5), with a beginning of their own: `//x` is absolute, `~/x` in the home,
//! `/x` in the place of the settings (the project, or `~/.claude`), `x` in the current directory, at any depth where it
//! holds no slash. Those in `sandbox.filesystem` are plain: `/x` is absolute, `x` in the place of the settings.

use super::json::{self, Member, Node, Value};
use super::lists::{self, Base, Ground, Lists, Place};
use super::reader::{Effect, Reader, Roots};
use super::reading::Reading;
use super::{Imported, Loss, Setting, Surroundings};
use crate::config::{ConfigError, Source, value::EnvironmentEntry};
use crate::policy::{Access, Home, NetworkPreset};
use std::path::Path;

const SANDBOX: &[&str] = &[
    "enabled",
    "failIfUnavailable",
    "autoAllowBashIfSandboxed",
    "allowUnsandboxedCommands",
    "excludedCommands",
    "network",
    "filesystem",
    "credentials",
    "ignoreViolations",
    "enableWeakerNestedSandbox",
    "enableWeakerNetworkIsolation",
    "allowAppleEvents",
    "ripgrep",
    "bwrapPath",
    "socatPath",
];
const NETWORK: &[&str] = &[
    "allowedDomains",
    "deniedDomains",
    "allowUnixSockets",
    "allowAllUnixSockets",
    "allowLocalBinding",
    "allowMachLookup",
    "allowManagedDomainsOnly",
    "httpProxyPort",
    "socksProxyPort",
    "tlsTerminate",
];
const FILES: &[&str] = &[
    "denyRead",
    "allowRead",
    "allowWrite",
    "denyWrite",
    "allowManagedReadPathsOnly",
];
const PERMISSIONS: &[&str] = &[
    "allow",
    "deny",
    "ask",
    "additionalDirectories",
    "defaultMode",
    "disableBypassPermissionsMode",
    "disableAutoMode",
];

/// Where a file of Claude Code's is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The user's: its own directory.
    User,
    /// A project's.
    Project,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaudeFile {
    /// The file and its text.
    pub source: Source,
    /// Where it is from.
    pub scope: Scope,
}

/// Reads Claude Code's settings. Lists add up over the files, as they do there.
///
/// # Errors
/// One of them that isn't right.
pub fn claude(files: &[ClaudeFile], surroundings: &Surroundings<'_>) -> Result<Imported, ConfigError> {
    let (mut imported, mut lists) = (Imported::default(), Lists::default());
    let mut place = None;
    for file in files {
        let document = json::parse(&file.source)?;
        let own = file.source.path.parent().unwrap_or(Path::new("/"));
        let settings = match file.scope {
            Scope::User => (own, Base::Home),
            Scope::Project => (surroundings.project, Base::Current),
        };
        let reader = Reader { source: &file.source };
        let first = place.get_or_insert_with(|| reader.place("sandbox", &document.span));
        if imported.entries.is_empty() {
            imported.push(Setting::Preset(NetworkPreset::Agent), first.clone());
        }
        let mut reading = Reading {
            reader,
            surroundings,
            roots: Roots {
                slash: (Path::new("/"), Base::Root),
                relative: settings,
            },
            imported,
            lists,
        };
        reading.claude(&document, settings)?;
        (imported, lists) = (reading.imported, reading.lists);
    }
    if let Some(place) = place {
        let ground = Ground {
            home: Home::Private,
            project: Access::Write,
            place,
        };
        lists::add(lists, &ground, surroundings, &mut imported)?;
    }
    Ok(imported)
}

impl<'a> Reading<'a> {
    fn claude(&mut self, document: &Node, settings: (&'a Path, Base)) -> Result<(), ConfigError> {
        for member in self.reader.table("the settings", document)? {
            let node = &member.node;
            match member.key.as_str() {
                "$schema" => {}
                "sandbox" => self.sandbox(node)?,
                "permissions" => self.permissions(node, settings)?,
                "env" => self.variables(node)?,
                _ => self.nothing(
                    &member.key,
                    node,
                    "it isn't about the sandbox: Claude Code reads it itself",
                ),
            }
        }
        Ok(())
    }

    fn sandbox(&mut self, node: &Node) -> Result<(), ConfigError> {
        for member in self.reader.table("sandbox", node)? {
            let (key, node) = (format!("sandbox.{}", member.key), &member.node);
            match member.key.as_str() {
                // Everything that runs is in the sandbox, always.
                "enabled" | "failIfUnavailable" | "autoAllowBashIfSandboxed" => {
                    self.reader.boolean(&key, node).map(drop)?;
                }
                "allowUnsandboxedCommands" | "excludedCommands" => self.lose(
                    &key,
                    node,
                    Loss::Permission,
                    "nothing runs outside of aca's sandbox",
                    Some("run it in another terminal"),
                ),
                "network" => self.sandbox_network(node)?,
                "filesystem" => self.sandbox_files(node)?,
                "credentials" => self.credentials(node)?,
                "ignoreViolations" => self.nothing(&key, node, "aca logs what is denied and hides nothing"),
                "enableWeakerNestedSandbox" => {
                    self.nothing(&key, node, "`aca doctor` says what a container must grant");
                }
                "enableWeakerNetworkIsolation" | "allowAppleEvents" => {
                    self.nothing(&key, node, "it is of another system");
                }
                "ripgrep" | "bwrapPath" | "socatPath" => self.nothing(&key, node, "aca needs no such helper"),
                _ => self
                    .reader
                    .unknown(&key, member, SANDBOX.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    fn sandbox_network(&mut self, node: &Node) -> Result<(), ConfigError> {
        for member in self.reader.table("sandbox.network", node)? {
            let (key, node) = (format!("sandbox.network.{}", member.key), &member.node);
            match member.key.as_str() {
                "allowedDomains" => {
                    for (place, text, node) in self.reader.texts(&key, node)? {
                        self.reader.allowed_host(place, text, node, &mut self.imported)?;
                    }
                }
                "deniedDomains" => {
                    for (place, text, node) in self.reader.texts(&key, node)? {
                        self.reader.denied_host(place, text, node, &mut self.imported)?;
                    }
                }
                name if self.local_network(name, &key, node) => {}
                // Of managed settings, which this isn't.
                "allowManagedDomainsOnly" => self.reader.boolean(&key, node).map(drop)?,
                "tlsTerminate" => self.nothing(&key, node, "aca passes requests on as they are"),
                _ => self
                    .reader
                    .unknown(&key, member, NETWORK.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    fn sandbox_files(&mut self, node: &Node) -> Result<(), ConfigError> {
        for member in self.reader.table("sandbox.filesystem", node)? {
            let (key, node) = (format!("sandbox.filesystem.{}", member.key), &member.node);
            match member.key.as_str() {
                "denyRead" => {
                    let named = self.paths(&key, node, Effect::Deny)?;
                    self.lists.deny_read.extend(named);
                }
                "allowRead" => {
                    let named = self.paths(&key, node, Effect::Allow)?;
                    self.lists.allow_read.extend(named);
                }
                "allowWrite" => {
                    let named = self.paths(&key, node, Effect::Allow)?;
                    self.lists.allow_write.extend(named);
                }
                "denyWrite" => {
                    let named = self.paths(&key, node, Effect::Deny)?;
                    self.lists.deny_write.extend(named);
                }
                "allowManagedReadPathsOnly" => self.reader.boolean(&key, node).map(drop)?,
                _ => self
                    .reader
                    .unknown(&key, member, FILES.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    fn permissions(&mut self, node: &Node, settings: (&'a Path, Base)) -> Result<(), ConfigError> {
        for member in self.reader.table("permissions", node)? {
            let (key, node) = (format!("permissions.{}", member.key), &member.node);
            match member.key.as_str() {
                "allow" => self.rules(&key, node, Answer::Allow, settings)?,
                "deny" => self.rules(&key, node, Answer::Deny, settings)?,
                "ask" => self.rules(&key, node, Answer::Ask, settings)?,
                "additionalDirectories" => {
                    let roots = self.roots;
                    self.roots.relative = (self.surroundings.current, Base::Current);
                    let named = self.paths(&key, node, Effect::Allow)?;
                    self.roots = roots;
                    self.lists.allow_write.extend(named);
                }
                "defaultMode" | "disableBypassPermissionsMode" | "disableAutoMode" => {
                    self.nothing(
                        &key,
                        node,
                        "it is about what Claude Code asks, and Claude Code reads it itself",
                    );
                }
                _ => self
                    .reader
                    .unknown(&key, member, PERMISSIONS.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    fn rules(
        &mut self,
        key: &str,
        node: &Node,
        answer: Answer,
        settings: (&'a Path, Base),
    ) -> Result<(), ConfigError> {
        for (mut place, text, node) in self.reader.texts(key, node)? {
            let (tool, specifier) = match text.split_once('(') {
                Some((tool, rest)) => (tool, rest.strip_suffix(')')),
                None => (text, None),
            };
            place.key = format!("{} `{text}`", place.key);
            match tool {
                "Bash" | "PowerShell" => self.command(&place, answer),
                "Read" | "Edit" | "Write" | "MultiEdit" | "NotebookEdit" | "NotebookRead" | "Grep"
                | "Glob" | "LS" => {
                    let use_of = match tool {
                        "Read" | "NotebookRead" | "Grep" | "Glob" | "LS" => Use::Read,
                        _ => Use::Write,
                    };
                    self.file_rule(&place, node, use_of, specifier, answer, settings)?;
                }
                "WebFetch" => match (specifier.and_then(|text| text.strip_prefix("domain:")), answer) {
                    (Some(host), Answer::Allow) => self.web_host(place, host, node)?,
                    (Some(host), Answer::Deny) => {
                        self.reader.denied_host(place, host, node, &mut self.imported)?;
                    }
                    (Some(_), Answer::Ask) | (None, _) => self.own_tool(&place, answer),
                },
                _ => self.own_tool(&place, answer),
            }
        }
        Ok(())
    }

    /// A host that a tool of Claude Code's may fetch from, on the web's ports.
    fn web_host(&mut self, place: Place, host: &str, node: &Node) -> Result<(), ConfigError> {
        let before = self.imported.entries.len();
        self.reader.allowed_host(place, host, node, &mut self.imported)?;
        // Fetching is HTTP: no other port is meant.
        if let (Some(entry), Ok(pattern)) = (self.imported.entries.get_mut(before), host.parse()) {
            entry.setting = Setting::Allow(pattern);
        }
        Ok(())
    }

    /// A rule on a command. Not carried over: switch it here.
    fn command(&mut self, place: &Place, answer: Answer) {
        let why = "a program inside can run another under any name: what a command reaches is what files and network allow";
        let instead = match answer {
            Answer::Allow => None,
            Answer::Deny | Answer::Ask => Some("`[commands] deny` keeps aca itself from starting one"),
        };
        self.imported.leave(place, answer.loss(), why, instead);
    }

    /// A rule on one of Claude Code's tools, which no sandbox around it sees.
    fn own_tool(&mut self, place: &Place, answer: Answer) {
        let why =
            "it is about a tool of Claude Code's, which holds the rule by itself: nothing around it does";
        self.imported.leave(place, answer.loss(), why, None);
    }

    fn file_rule(
        &mut self,
        place: &Place,
        node: &Node,
        use_of: Use,
        specifier: Option<&str>,
        answer: Answer,
        settings: (&'a Path, Base),
    ) -> Result<(), ConfigError> {
        if answer == Answer::Ask {
            let why = "aca asks nobody while a command runs";
            let instead = Some("deny it, or let it be");
            self.imported.leave(place, Loss::Restriction, why, instead);
            return Ok(());
        }
        let effect = match answer {
            Answer::Allow => Effect::Allow,
            Answer::Deny | Answer::Ask => Effect::Deny,
        };
        let Some(text) = specifier else {
            match (answer, use_of) {
                (Answer::Deny, Use::Write) => {
                    self.lists.deny_write.push(lists::Named {
                        path: self.surroundings.project.to_owned(),
                        pattern: None,
                        base: Base::Current,
                        place: place.clone(),
                    });
                }
                (Answer::Deny | Answer::Ask, _) => {
                    let why = "without anything to read no command runs";
                    self.imported.leave(place, Loss::Restriction, why, None);
                }
                (Answer::Allow, _) => {
                    let why = "the project can be read and written anyway, and nothing else by this";
                    self.imported.leave(place, Loss::Nothing, why, None);
                }
            }
            return Ok(());
        };
        let roots = Roots {
            slash: settings,
            relative: (self.surroundings.current, Base::Current),
        };
        let bare = text.strip_prefix("./").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        // gitignore(5): a name without a slash is meant at any depth.
        let anywhere =
            !bare.contains('/') && !matches!(bare, "" | "." | ".." | "~" | "**") && effect == Effect::Deny;
        let text = if anywhere {
            format!("**/{bare}")
        } else {
            bare.to_owned()
        };
        let named = self.reader.path(
            place,
            &text,
            node,
            effect,
            false,
            roots,
            self.surroundings,
            &mut self.imported,
        )?;
        let project = self.surroundings.project;
        match (effect, use_of) {
            (Effect::Deny, Use::Read) => self.lists.deny_read.extend(named),
            (Effect::Deny, Use::Write) => self.lists.deny_write.extend(named),
            // What the project holds can be read and written anyway.
            (Effect::Allow, use_of) => {
                let list = match use_of {
                    Use::Read => &mut self.lists.allow_read,
                    Use::Write => &mut self.lists.allow_write,
                };
                list.extend(named.into_iter().filter(|named| !named.path.starts_with(project)));
            }
        }
        Ok(())
    }

    fn variables(&mut self, node: &Node) -> Result<(), ConfigError> {
        for Member { key, key_span, node } in self.reader.table("env", node)? {
            let path = format!("env.{key}");
            let text = match &node.value {
                Value::Number(number) => number.as_str(),
                Value::Boolean(true) => "true",
                Value::Boolean(false) => "false",
                Value::Null | Value::Text(_) | Value::List(_) | Value::Table(_) => {
                    self.reader.text(&path, node)?
                }
            };
            let place = self.reader.place(path, key_span);
            match EnvironmentEntry::set(key, text) {
                Ok(entry) => self.imported.push(Setting::Set(entry), place),
                Err(error) => self
                    .imported
                    .leave(&place, Loss::Permission, &error.to_string(), None),
            }
        }
        Ok(())
    }
}

/// What a permission rule answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    Deny,
    Ask,
}

impl Answer {
    /// What is lost with it. That nobody is asked before what is allowed takes nothing away.
    const fn loss(self) -> Loss {
        match self {
            Self::Allow => Loss::Permission,
            Self::Deny | Self::Ask => Loss::Restriction,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}
