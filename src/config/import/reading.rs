//! What both dialects hold: lists of paths, and credentials.

use super::json::{Member, Node, Value};
use super::lists::{Lists, Named};
use super::reader::{Effect, Reader, Roots, is_empty};
use super::{Imported, Loss, Surroundings};
use crate::agents;
use crate::config::{ConfigError, error::Problem};
use crate::policy::EnvironmentPolicy;
use crate::presets;

const CREDENTIALS: &[&str] = &["envVars", "files", "awsPairs", "sigv4", "allowPlaintextInject"];

/// A file on its way.
pub(super) struct Reading<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) surroundings: &'a Surroundings<'a>,
    /// What paths start from.
    pub(super) roots: Roots<'a>,
    pub(super) imported: Imported,
    pub(super) lists: Lists,
}

impl Reading<'_> {
    pub(super) fn needed(
        &self,
        members: &[Member],
        within: &str,
        key: &str,
        node: &Node,
    ) -> Result<(), ConfigError> {
        if members.iter().any(|member| member.key == key) {
            return Ok(());
        }
        let key = format!("{within}{key}");
        Err(self
            .reader
            .fault(&(node.span.start..node.span.start + 1), Problem::Missing(key)))
    }

    /// Sockets, ports and proxies, of which both dialects say the same; false for any other key.
    pub(super) fn local_network(&mut self, name: &str, key: &str, node: &Node) -> bool {
        match name {
            "allowUnixSockets" | "allowAllUnixSockets" => self.lose(
                key,
                node,
                Loss::Permission,
                "sockets of the host's aren't seen inside, unless a path that is shown holds one",
                Some("`--read` the directory that holds the socket"),
            ),
            "allowLocalBinding" => {
                self.nothing(
                    key,
                    node,
                    "inside, any port can be listened on; the host doesn't see it",
                );
            }
            "allowMachLookup" => self.nothing(key, node, "it is of another system"),
            "httpProxyPort" | "socksProxyPort" => self.lose(
                key,
                node,
                Loss::Restriction,
                "what that proxy refuses isn't refused by aca, which connects itself",
                Some("name the hosts in `allowedDomains`"),
            ),
            _ => return false,
        }
        true
    }

    /// A list of paths: strings, or objects that say that it is no pattern.
    pub(super) fn paths(
        &mut self,
        key: &str,
        node: &Node,
        effect: Effect,
    ) -> Result<Vec<Named>, ConfigError> {
        let mut all = Vec::new();
        for (index, element) in self.reader.list(key, node)?.iter().enumerate() {
            let key = format!("{key}[{index}]");
            if let Value::Table(members) = &element.value {
                let (mut path, mut literal) = (None, false);
                for member in members {
                    let key = format!("{key}.{}", member.key);
                    match member.key.as_str() {
                        "path" => path = Some(&member.node),
                        "literal" => literal = self.reader.boolean(&key, &member.node)?,
                        _ => self
                            .reader
                            .unknown(&key, member, ["path", "literal"], &mut self.imported),
                    }
                }
                self.needed(members, &format!("{key}."), "path", element)?;
                if let Some(path) = path {
                    all.extend(self.path(&key, path, effect, literal)?);
                }
            } else {
                all.extend(self.path(&key, element, effect, false)?);
            }
        }
        Ok(all)
    }

    pub(super) fn path(
        &mut self,
        key: &str,
        node: &Node,
        effect: Effect,
        literal: bool,
    ) -> Result<Vec<Named>, ConfigError> {
        let text = self.reader.text(key, node)?;
        if effect == Effect::Deny && !literal && text.ends_with('/') && text.contains(['*', '?', '[']) {
            let problem = Problem::Refused {
                what: text.to_owned(),
                why: "a pattern that ends with a slash finds nothing",
            };
            return Err(self.reader.fault(&node.span, problem));
        }
        let place = self.reader.place(key, &node.span);
        self.reader.path(
            &place,
            text,
            node,
            effect,
            literal,
            self.roots,
            self.surroundings,
            &mut self.imported,
        )
    }

    pub(super) fn credentials(&mut self, node: &Node) -> Result<(), ConfigError> {
        for member in self.reader.table("credentials", node)? {
            let (key, node) = (format!("credentials.{}", member.key), &member.node);
            match member.key.as_str() {
                "files" => {
                    for (index, element) in self.reader.list(&key, node)?.iter().enumerate() {
                        self.credential_file(&format!("{key}[{index}]"), element)?;
                    }
                }
                "envVars" => {
                    for (index, element) in self.reader.list(&key, node)?.iter().enumerate() {
                        self.variable(&format!("{key}[{index}]"), element)?;
                    }
                }
                "awsPairs" | "sigv4" | "allowPlaintextInject" => self.lose(
                    &key,
                    node,
                    Loss::Permission,
                    "aca puts no credentials into requests",
                    None,
                ),
                _ => self
                    .reader
                    .unknown(&key, member, CREDENTIALS.iter().copied(), &mut self.imported),
            }
        }
        Ok(())
    }

    /// A file that can't be read, or of which a part is another inside: then all of it can't be.
    pub(super) fn credential_file(&mut self, key: &str, element: &Node) -> Result<(), ConfigError> {
        let members = self.reader.table(key, element)?;
        self.needed(members, &format!("{key}."), "path", element)?;
        for member in members {
            let key = format!("{key}.{}", member.key);
            match member.key.as_str() {
                "path" => {
                    let named = self.path(&key, &member.node, Effect::Deny, false)?;
                    self.lists.closed.extend(named);
                }
                "mode" => self.mode(&key, &member.node)?,
                "extract" | "onExtractNoMatch" | "decode" | "maskClaims" | "maskDuplicates"
                | "injectHosts" => {}
                _ => self.reader.unknown(
                    &key,
                    member,
                    ["path", "mode", "extract", "injectHosts"],
                    &mut self.imported,
                ),
            }
        }
        Ok(())
    }

    /// A variable that isn't there inside, which it isn't unless something keeps it.
    pub(super) fn variable(&mut self, key: &str, element: &Node) -> Result<(), ConfigError> {
        let members = self.reader.table(key, element)?;
        self.needed(members, &format!("{key}."), "name", element)?;
        for member in members {
            let key = format!("{key}.{}", member.key);
            match member.key.as_str() {
                "name" => {
                    let name = self.reader.text(&key, &member.node)?;
                    if is_kept(name)? {
                        let place = self.reader.place(format!("{key} `{name}`"), &member.node.span);
                        self.imported.leave(
                            &place,
                            Loss::Restriction,
                            "aca keeps this variable, since programs or the agent need it",
                            Some("unset it before: `env -u NAME aca run …`"),
                        );
                    }
                }
                "mode" => self.mode(&key, &member.node)?,
                "extract" | "onExtractNoMatch" | "decode" | "maskClaims" | "injectHosts" => {}
                _ => self.reader.unknown(
                    &key,
                    member,
                    ["name", "mode", "extract", "injectHosts"],
                    &mut self.imported,
                ),
            }
        }
        Ok(())
    }

    pub(super) fn mode(&mut self, key: &str, node: &Node) -> Result<(), ConfigError> {
        match self.reader.text(key, node)? {
            "deny" => {}
            "mask" => self.lose(
                key,
                node,
                Loss::Permission,
                "aca shows nothing in its place: it can't be read at all",
                None,
            ),
            other => {
                let problem = Problem::Refused {
                    what: other.to_owned(),
                    why: "it is neither `deny` nor `mask`",
                };
                return Err(self.reader.fault(&node.span, problem));
            }
        }
        Ok(())
    }

    pub(super) fn nothing(&mut self, key: &str, node: &Node, why: &str) {
        self.lose(key, node, Loss::Nothing, why, None);
    }

    pub(super) fn lose(&mut self, key: &str, node: &Node, loss: Loss, why: &str, instead: Option<&str>) {
        if !is_empty(node) {
            let place = self.reader.place(key, &node.span);
            self.imported.leave(&place, loss, why, instead);
        }
    }
}

/// Whether a variable goes inside by what is built in, for some agent.
fn is_kept(name: &str) -> Result<bool, ConfigError> {
    let built_in = presets::environment()?;
    let names = |groups: Vec<presets::VariableGroup>| groups.into_iter().flat_map(|group| group.names);
    let mut policy = EnvironmentPolicy {
        keep: names(built_in.keep).collect(),
        set: Vec::new(),
        never: names(built_in.never).collect(),
    };
    for agent in agents::names() {
        policy.keep.extend(agents::load(agent)?.environment.keep);
    }
    Ok(policy.keeps(name))
}
