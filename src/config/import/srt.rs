//! sandbox-runtime's settings (`~/.srt-settings.json`), as of its version 0.0.83.
//!
//! Its view: everything can be read but what `denyRead` names, nothing written but what `allowWrite` names, no host
//! reached but those of `allowedDomains`; an empty list of those is no network at all (CVE-2025-66479). aca's masks of
//! secrets and its protection of what the host runs later stay on top.

use super::json::{self, Node};
use super::lists::{self, Base, Ground, Lists, Named};
use super::reader::{Effect, Reader, Roots};
use super::reading::Reading;
use super::{Imported, Loss, Setting, Surroundings, layer, read_source};
use crate::config::{ConfigError, FileLayer, Source, error::Problem};
use crate::policy::{Access, Grant, Home, NetworkPreset};
use std::path::{Path, PathBuf};

const TOP: &[&str] = &[
    "network",
    "filesystem",
    "credentials",
    "ignoreViolations",
    "enableWeakerNestedSandbox",
    "allowNestedUserNamespaces",
    "enableWeakerNetworkIsolation",
    "allowAppleEvents",
    "allowPty",
    "ripgrep",
    "mandatoryDenySearchDepth",
    "bwrapPath",
    "socatPath",
    "javaAgentJarPath",
    "seccomp",
    "git",
    "windows",
];
const NETWORK: &[&str] = &[
    "allowedDomains",
    "deniedDomains",
    "deniedDomainReasons",
    "strictAllowlist",
    "deniedResolvedAddresses",
    "allowUnixSockets",
    "allowAllUnixSockets",
    "allowLocalBinding",
    "allowMachLookup",
    "httpProxyPort",
    "socksProxyPort",
    "mitmProxy",
    "filterRequest",
    "allowPlaintextHeaderSet",
    "stripResponseHeaders",
    "refuseOpaqueTunnels",
    "requireHostMatch",
    "ambiguousRequestTarget",
    "tlsTerminate",
    "parentProxy",
];
const FILES: &[&str] = &[
    "denyRead",
    "allowRead",
    "allowWrite",
    "denyWrite",
    "allowGitConfig",
    "disabled",
];

/// Reads srt's settings.
///
/// # Errors
/// No such file, or one that srt wouldn't take either.
pub fn srt(source: &Source, surroundings: &Surroundings<'_>) -> Result<Imported, ConfigError> {
    read(source, surroundings, None)
}

/// `kept` is a file that can't be written inside, whatever the lists say.
fn read(
    source: &Source,
    surroundings: &Surroundings<'_>,
    kept: Option<PathBuf>,
) -> Result<Imported, ConfigError> {
    let document = json::parse(source)?;
    let mut reading = Reading {
        reader: Reader { source },
        surroundings,
        roots: Roots {
            slash: (Path::new("/"), Base::Root),
            relative: (surroundings.current, Base::Current),
        },
        imported: Imported::default(),
        lists: Lists::default(),
    };
    let files = reading.top(&document)?;
    reading.default_places(&document);
    let ground = Ground {
        home: Home::Host,
        project: match files {
            Files::Ruled => Access::Read,
            Files::Free => Access::Write,
        },
        place: reading.reader.place("filesystem", &document.span),
    };
    let mut lists = match files {
        Files::Ruled => reading.lists,
        Files::Free => Lists::default(),
    };
    if let Some(path) = kept {
        lists.deny_write.push(Named {
            path,
            pattern: None,
            base: Base::Root,
            place: reading.reader.place("the settings", &document.span),
        });
    }
    let mut imported = reading.imported;
    lists::add(lists, &ground, surroundings, &mut imported)?;
    Ok(imported)
}

/// Reads srt's settings as the layer that stands in place of the user's configuration.
///
/// # Errors
/// As [`srt`], and a restriction that can't be enforced as it is written.
pub fn run_under_srt(path: PathBuf, surroundings: &Surroundings<'_>) -> Result<FileLayer, ConfigError> {
    let source = read_source(path)?;
    // In the project, what runs could change what the next run is held by.
    let kept = (surroundings.look)(&source.path).filter(|real| real.starts_with(surroundings.project));
    let imported = read(&source, surroundings, kept)?;
    if let Some(lost) = imported.lost_restrictions().next() {
        let problem = Problem::Unenforced {
            what: lost.what.clone(),
            why: lost.why.clone(),
            instead: lost.instead.clone(),
        };
        return Err(match source.excerpt_at(&lost.origin) {
            Some(excerpt) => ConfigError::InFile {
                problem,
                excerpt: Box::new(excerpt),
            },
            None => ConfigError::InFlag {
                origin: lost.origin.clone(),
                problem,
            },
        });
    }
    let settings = imported.settings();
    Ok(layer(source, settings))
}

/// Whether the rules on files are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    Ruled,
    Free,
}

/// Places in the home that srt lets be written unasked, where they are and can be read.
const DEFAULT_PLACES: [&str; 2] = [".npm/_logs", ".claude/debug"];

impl Reading<'_> {
    fn default_places(&mut self, document: &Node) {
        for place in DEFAULT_PLACES {
            let path = self.surroundings.home.join(place);
            let denied = self
                .lists
                .deny_read
                .iter()
                .any(|named| path.starts_with(&named.path));
            let is_there = (self.surroundings.look)(&path).is_some_and(|real| real == path);
            if is_there && !denied {
                let place = self.reader.place("srt's default", &document.span);
                self.lists.allow_write.push(Named {
                    path,
                    pattern: None,
                    base: Base::Home,
                    place,
                });
            }
        }
    }

    fn top(&mut self, document: &Node) -> Result<Files, ConfigError> {
        let mut files = Files::Ruled;
        let members = self.reader.table("the settings", document)?;
        for needed in ["network", "filesystem"] {
            self.needed(members, "", needed, document)?;
        }
        for member in members {
            let node = &member.node;
            match member.key.as_str() {
                "network" => self.network(node)?,
                "filesystem" => files = self.files(node)?,
                "credentials" => self.credentials(node)?,
                "allowNestedUserNamespaces" => {
                    if self.reader.boolean(&member.key, node)? {
                        let place = self.reader.place(&member.key, &node.span);
                        self.imported.push(Setting::Grant(Grant::NestedUserns), place);
                    }
                }
                "ignoreViolations" => {
                    self.nothing(&member.key, node, "aca logs what is denied and hides nothing")
                }
                "enableWeakerNestedSandbox" => {
                    self.nothing(&member.key, node, "`aca doctor` says what a container must grant");
                }
                "enableWeakerNetworkIsolation" | "allowAppleEvents" | "windows" => {
                    self.nothing(&member.key, node, "it is of another system");
                }
                "allowPty" => {
                    self.nothing(&member.key, node, "inside, the terminal is the user's own anyway")
                }
                "mandatoryDenySearchDepth" => {
                    self.nothing(&member.key, node, "aca protects at any depth");
                }
                "ripgrep" | "bwrapPath" | "socatPath" | "javaAgentJarPath" | "seccomp" => {
                    self.nothing(&member.key, node, "aca needs no such helper");
                }
                "git" => self.lose(
                    &member.key,
                    node,
                    Loss::Permission,
                    "aca passes git no configuration",
                    None,
                ),
                _ => self
                    .reader
                    .unknown(&member.key, member, TOP.iter().copied(), &mut self.imported),
            }
        }
        Ok(files)
    }

    fn network(&mut self, node: &Node) -> Result<(), ConfigError> {
        let members = self.reader.table("network", node)?;
        for needed in ["allowedDomains", "deniedDomains"] {
            self.needed(members, "network.", needed, node)?;
        }
        for member in members {
            let (key, node) = (format!("network.{}", member.key), &member.node);
            match member.key.as_str() {
                "allowedDomains" => {
                    let hosts = self.reader.texts(&key, node)?;
                    let preset = if hosts.is_empty() {
                        NetworkPreset::None
                    } else {
                        NetworkPreset::Listed
                    };
                    let place = self.reader.place(&key, &node.span);
                    self.imported.push(Setting::Preset(preset), place);
                    for (place, text, node) in hosts {
                        self.reader.allowed_host(place, text, node, &mut self.imported)?;
                    }
                }
                "deniedDomains" => {
                    for (place, text, node) in self.reader.texts(&key, node)? {
                        self.reader.denied_host(place, text, node, &mut self.imported)?;
                    }
                }
                // aca asks nobody, and compares names always.
                "strictAllowlist" | "requireHostMatch" => self.reader.boolean(&key, node).map(drop)?,
                "deniedDomainReasons" => self.nothing(&key, node, "a denial names its rule and the line"),
                "deniedResolvedAddresses" => self.lose(
                    &key,
                    node,
                    Loss::Restriction,
                    "aca refuses private, link-local and metadata addresses behind names, and no others",
                    Some("deny the names"),
                ),
                name if self.local_network(name, &key, node) => {}
                "mitmProxy" | "filterRequest" => self.lose(
                    &key,
                    node,
                    Loss::Restriction,
                    "aca doesn't look into requests",
                    Some("take those hosts out of `allowedDomains`"),
                ),
                "stripResponseHeaders" => {
                    self.lose(
                        &key,
                        node,
                        Loss::Restriction,
                        "aca passes answers on as they are",
                        None,
                    );
                }
                "refuseOpaqueTunnels" => self.lose(
                    &key,
                    node,
                    Loss::Restriction,
                    "aca passes on what it can't read, to hosts that are allowed",
                    Some("allow port 443 alone: `host:443`"),
                ),
                "allowPlaintextHeaderSet" | "ambiguousRequestTarget" | "tlsTerminate" => {
                    self.nothing(&key, node, "aca passes requests on as they are");
                }
                "parentProxy" => self.lose(
                    &key,
                    node,
                    Loss::Permission,
                    "aca connects by itself, over no other proxy",
                    None,
                ),
                _ => self
                    .reader
                    .unknown(&key, member, NETWORK.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    fn files(&mut self, node: &Node) -> Result<Files, ConfigError> {
        let mut files = Files::Ruled;
        let members = self.reader.table("filesystem", node)?;
        for needed in ["denyRead", "allowWrite", "denyWrite"] {
            self.needed(members, "filesystem.", needed, node)?;
        }
        for member in members {
            let (key, node) = (format!("filesystem.{}", member.key), &member.node);
            match member.key.as_str() {
                "denyRead" => self.lists.deny_read = self.paths(&key, node, Effect::Deny)?,
                "allowRead" => self.lists.allow_read = self.paths(&key, node, Effect::Allow)?,
                "allowWrite" => self.lists.allow_write = self.paths(&key, node, Effect::Allow)?,
                "denyWrite" => self.lists.deny_write = self.paths(&key, node, Effect::Deny)?,
                "allowGitConfig" => self.lose(
                    &key,
                    node,
                    Loss::Permission,
                    "git runs what its configuration names, so it stays as it is",
                    Some("`--write .git/config` opens it for one run"),
                ),
                "disabled" => {
                    if self.reader.boolean(&key, node)? {
                        files = Files::Free;
                    }
                    self.lose(
                        &key,
                        node,
                        Loss::Permission,
                        "aca always has rules on files: the project can be written, the rest read",
                        None,
                    );
                }
                _ => self
                    .reader
                    .unknown(&key, member, FILES.iter().copied(), &mut self.imported),
            }
        }
        Ok(files)
    }
}
