//! What both dialects read alike: typed values with their places, hosts, and paths.

use super::json::{Member, Node, Value};
use super::lists::{Base, Named, Place, absolute, pattern};
use super::{Imported, Left, Loss, Setting, Surroundings};
use crate::config::{ConfigError, Source, error::Problem, suggest};
use crate::policy::{HostPattern, Origin};
use std::ops::Range;
use std::path::Path;

/// Reads one file.
pub(super) struct Reader<'s> {
    pub(super) source: &'s Source,
}

/// What a path's beginning means.
#[derive(Clone, Copy)]
pub(super) struct Roots<'a> {
    /// `/x`.
    pub(super) slash: (&'a Path, Base),
    /// `x` and `./x`.
    pub(super) relative: (&'a Path, Base),
}

/// Whether a list takes something away or gives something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Deny,
    Allow,
}

impl Effect {
    const fn loss(self) -> Loss {
        match self {
            Self::Deny => Loss::Restriction,
            Self::Allow => Loss::Permission,
        }
    }
}

impl Reader<'_> {
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        self.source.origin(span.start)
    }

    pub(super) fn place(&self, key: impl Into<String>, span: &Range<usize>) -> Place {
        Place {
            key: key.into(),
            origin: self.origin(span),
        }
    }

    pub(super) fn fault(&self, span: &Range<usize>, problem: Problem) -> ConfigError {
        ConfigError::InFile {
            problem,
            excerpt: Box::new(self.source.excerpt(span.clone())),
        }
    }

    fn wrong_type(&self, key: &str, expected: &'static str, node: &Node) -> ConfigError {
        let problem = Problem::WrongType {
            key: key.to_owned(),
            expected,
            found: node.kind(),
        };
        self.fault(&node.span, problem)
    }

    pub(super) fn table<'n>(&self, key: &str, node: &'n Node) -> Result<&'n [Member], ConfigError> {
        match &node.value {
            Value::Table(members) => Ok(members),
            Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                Err(self.wrong_type(key, "an object", node))
            }
        }
    }

    pub(super) fn list<'n>(&self, key: &str, node: &'n Node) -> Result<&'n [Node], ConfigError> {
        match &node.value {
            Value::List(elements) => Ok(elements),
            Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_) | Value::Table(_) => {
                Err(self.wrong_type(key, "a list", node))
            }
        }
    }

    pub(super) fn text<'n>(&self, key: &str, node: &'n Node) -> Result<&'n str, ConfigError> {
        match &node.value {
            Value::Text(text) => Ok(text),
            Value::Null | Value::Boolean(_) | Value::Number(_) | Value::List(_) | Value::Table(_) => {
                Err(self.wrong_type(key, "a string", node))
            }
        }
    }

    pub(super) fn boolean(&self, key: &str, node: &Node) -> Result<bool, ConfigError> {
        match node.value {
            Value::Boolean(value) => Ok(value),
            Value::Null | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Table(_) => {
                Err(self.wrong_type(key, "a boolean", node))
            }
        }
    }

    /// The strings of a list, each with its key.
    pub(super) fn texts<'n>(
        &self,
        key: &str,
        node: &'n Node,
    ) -> Result<Vec<(Place, &'n str, &'n Node)>, ConfigError> {
        let elements = self.list(key, node)?.iter().enumerate();
        elements
            .map(|(index, element)| {
                let key = format!("{key}[{index}]");
                let text = self.text(&key, element)?;
                Ok((self.place(key, &element.span), text, element))
            })
            .collect()
    }

    /// A key that is not known. srt takes no notice of one; it may be a restriction that is misspelt.
    pub(super) fn unknown(
        &self,
        key: &str,
        member: &Member,
        known: impl IntoIterator<Item = &'static str>,
        imported: &mut Imported,
    ) {
        imported.left.push(Left {
            what: key.to_owned(),
            origin: self.origin(&member.key_span),
            why: "no such key is known: a restriction may be misspelt".into(),
            instead: suggest::nearest(&member.key, known)
                .map(|near| format!("did you mean `{near}`?"))
                .or(Some("take it out, or correct it".into())),
            loss: Loss::Restriction,
        });
    }

    /// A host of an allow list, with srt's meaning: no port is every port.
    pub(super) fn allowed_host(
        &self,
        place: Place,
        text: &str,
        node: &Node,
        imported: &mut Imported,
    ) -> Result<(), ConfigError> {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        let too_wide = text == "*" || text.starts_with("*:") || (bare != text && !bare.contains('.'));
        if too_wide {
            let problem = Problem::Refused {
                what: text.to_owned(),
                why: "it stands for every host of the internet, or of a top-level domain",
            };
            return Err(self.fault(&node.span, problem));
        }
        let pattern = self.host(text, node)?;
        if is_of_this_machine(text) {
            imported.left.push(Left {
                what: format!("{} `{text}`", place.key),
                origin: place.origin,
                why: "inside, it is the sandbox's own loopback, and the host's isn't shared".into(),
                instead: Some("`--resolve NAME=127.0.0.1:PORT` gives a service of the host a name".into()),
                loss: Loss::Permission,
            });
            return Ok(());
        }
        let pattern = if has_port(text) {
            pattern
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            self.host(&format!("[{text}]:*"), node)?
        } else {
            self.host(&format!("{text}:*"), node)?
        };
        imported.push(Setting::Allow(pattern), place);
        Ok(())
    }

    /// A host of a deny list: no port is every port, in both.
    pub(super) fn denied_host(
        &self,
        place: Place,
        text: &str,
        node: &Node,
        imported: &mut Imported,
    ) -> Result<(), ConfigError> {
        let pattern = self.host(text, node)?;
        imported.push(Setting::Deny(pattern), place);
        Ok(())
    }

    fn host(&self, text: &str, node: &Node) -> Result<HostPattern, ConfigError> {
        text.parse()
            .map_err(|error| self.fault(&node.span, Problem::Host(error)))
    }

    /// One path of a list, in every reading that it has: a name with brackets may be a pattern, and be there as well.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different part of the question"
    )]
    pub(super) fn path(
        &self,
        place: &Place,
        text: &str,
        node: &Node,
        effect: Effect,
        literal: bool,
        roots: Roots<'_>,
        surroundings: &Surroundings<'_>,
        imported: &mut Imported,
    ) -> Result<Vec<Named>, ConfigError> {
        if text.is_empty() || text.contains('\0') {
            let problem = Problem::Refused {
                what: text.to_owned(),
                why: "it is no path",
            };
            return Err(self.fault(&node.span, problem));
        }
        let (root, base, rest) = if text == "~" || text.starts_with("~/") {
            (
                surroundings.home,
                Base::Home,
                text.strip_prefix('~').unwrap_or(text),
            )
        } else if text.starts_with("//") {
            (Path::new("/"), Base::Root, text)
        } else if text.starts_with('/') {
            (roots.slash.0, roots.slash.1, text)
        } else {
            (roots.relative.0, roots.relative.1, text)
        };
        let named = |path: &Path, base| Named {
            path: path.to_owned(),
            pattern: None,
            base,
            place: place.clone(),
        };
        // What holds for a directory holds for all in it.
        let mut rest = rest;
        while !literal && let Some(directory) = rest.strip_suffix("/**") {
            rest = directory;
        }
        if !literal && rest == "**" {
            rest = "";
        }
        let path = absolute(root, rest);
        let found = (surroundings.look)(&path);
        if literal || !rest.contains(['*', '?', '[']) {
            // A deny is a deny of what a link leads to.
            return Ok(match found.filter(|_| effect == Effect::Deny) {
                Some(real) if real != path => vec![named(&real, Base::Root)],
                Some(_) | None => vec![named(&path, base)],
            });
        }
        let mut readings = Vec::new();
        if found.is_some() {
            readings.push(named(&path, base));
        }
        match pattern(surroundings.project, &path) {
            Ok(pattern) => readings.push(Named {
                pattern: Some(pattern),
                ..named(&path, base)
            }),
            Err(why) => imported.left.push(Left {
                what: format!("{} `{text}`", place.key),
                origin: place.origin.clone(),
                why,
                instead: Some("write the paths out".into()),
                loss: effect.loss(),
            }),
        }
        Ok(readings)
    }
}

impl Imported {
    pub(super) fn push(&mut self, setting: Setting, place: Place) {
        self.entries.push(super::Entry {
            setting,
            key: place.key,
            origin: place.origin,
        });
    }

    pub(super) fn leave(&mut self, place: &Place, loss: Loss, why: &str, instead: Option<&str>) {
        self.left.push(Left {
            what: place.key.clone(),
            origin: place.origin.clone(),
            why: why.to_owned(),
            instead: instead.map(str::to_owned),
            loss,
        });
    }
}

/// Whether a value says nothing: false, null, or an empty list or object.
pub(super) const fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Boolean(false) => true,
        Value::List(list) => list.is_empty(),
        Value::Table(table) => table.is_empty(),
        Value::Boolean(true) | Value::Number(_) | Value::Text(_) => false,
    }
}

fn has_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        None => false,
        Some((before, _)) => !before.contains(':') || before.ends_with(']'),
    }
}

fn is_of_this_machine(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((before, _)) if has_port(text) => before,
        Some(_) | None => text,
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.');
    let address = host.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
}
