//! The form of a configuration file: which keys there are and what they hold. Read from the spanned document by hand, so
//! that every value keeps its place and every fault can be shown there.

use super::floor::Floor;
use super::{
    ConfigError,
    error::Problem,
    excerpt::Source,
    layer::{FileKind, FileLayer, Located, Settings, Trust, WrittenLimits, WrittenPush, WrittenRepository},
    path::WrittenPath,
    suggest,
    tables::{
        ALLOWED, COMMANDS, ENVIRONMENT, FILES, FLOOR, GIT, Key as Known, LIMITS, NETWORK, REPOSITORY,
        SECTION, TOP, Who,
    },
    value::{self, AllowedHost, EnvironmentEntry, FixedAddress, ValueError},
};
use crate::{
    agents,
    policy::{HostOptions, Repository},
};
use std::{collections::BTreeMap, ffi::OsStr};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

pub(super) type Key<'t> = Spanned<DeString<'t>>;
pub(super) type Item<'t> = Spanned<DeValue<'t>>;

/// Reads the text of a configuration file of that kind. The project's has reduced trust until the caller knows better.
///
/// # Errors
/// The first fault, with its place.
pub fn read(source: Source, kind: FileKind) -> Result<FileLayer, ConfigError> {
    let document = DeTable::parse(&source.text).map_err(|error| ConfigError::InFile {
        problem: Problem::Syntax {
            message: error.message().trim_end().replace('\n', "; "),
        },
        excerpt: Box::new(source.excerpt(error.span().unwrap_or(0..0))),
    })?;
    let reader = Reader {
        source: &source,
        kind,
    };
    let mut settings = Settings::default();
    let mut sections = BTreeMap::new();
    let (mut floor, mut lock) = (Floor::default(), Vec::new());
    for (key, item) in document.get_ref() {
        if key.get_ref() == "floor" && kind == FileKind::Administrator {
            for (key, item) in reader.table("floor", item)? {
                reader.floor(&mut floor, key, item)?;
            }
        } else if key.get_ref() == "lock" && kind == FileKind::Administrator {
            lock = reader.list("lock", item, |text| value::lock(text).map_err(Problem::Value))?;
        } else if key.get_ref() == "agents" {
            for (name, section) in reader.table("agents", item)? {
                if !agents::names().any(|known| known == name.get_ref()) {
                    return Err(reader.unknown_agent(name));
                }
                let table = format!("agents.{}", name.get_ref());
                let mut own = Settings::default();
                for (key, item) in reader.table(&table, section)? {
                    reader.section(&mut own, &table, key, item, SECTION)?;
                }
                sections.insert(name.get_ref().to_string(), own);
            }
        } else {
            reader.section(&mut settings, "", key, item, TOP)?;
        }
    }
    drop(document);
    Ok(FileLayer {
        trust: match kind {
            FileKind::Administrator | FileKind::User => Trust::Full,
            FileKind::Project => Trust::Reduced,
        },
        kind,
        settings,
        agents: sections,
        floor,
        lock,
        source,
    })
}

pub(super) struct Reader<'s> {
    source: &'s Source,
    kind: FileKind,
}

impl Reader<'_> {
    /// One key that may stand at the top and in an agent's section.
    fn section(
        &self,
        settings: &mut Settings,
        within: &str,
        key: &Key<'_>,
        item: &Item<'_>,
        known: &'static [Known],
    ) -> Result<(), ConfigError> {
        self.check(key, within, known)?;
        let table = if within.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{within}.{}", key.get_ref())
        };
        match key.get_ref().as_ref() {
            "network" => {
                for (key, item) in self.table(&table, item)? {
                    self.network(settings, &table, key, item)?;
                }
            }
            "git" => {
                for (key, item) in self.table(&table, item)? {
                    self.git(settings, &table, key, item)?;
                }
            }
            "environment" => {
                for (key, item) in self.table(&table, item)? {
                    self.environment(settings, &table, key, item)?;
                }
            }
            "files" => {
                for (key, item) in self.table(&table, item)? {
                    self.files(settings, &table, key, item)?;
                }
            }
            "commands" => {
                for (key, item) in self.table(&table, item)? {
                    self.commands(settings, &table, key, item)?;
                }
            }
            "own_sandbox" => {
                settings.own_sandbox = Some(self.word("own_sandbox", item, value::own_sandbox)?);
            }
            "grants" => {
                settings.grants =
                    self.list("grants", item, |text| value::grant(text).map_err(Problem::Value))?
            }
            "limits" => {
                for (key, item) in self.table(&table, item)? {
                    self.limits(&mut settings.limits, &table, key, item)?;
                }
            }
            _ => return Err(self.unknown_key(key, within, known)),
        }
        Ok(())
    }

    fn network(
        &self,
        settings: &mut Settings,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.check(key, table, NETWORK)?;
        let host = |text: &str| text.parse().map_err(Problem::Host);
        match key.get_ref().as_ref() {
            "preset" => settings.preset = Some(self.word("preset", item, value::network_preset)?),
            "capture" => settings.capture = Some(self.word("capture", item, value::capture)?),
            "ask" => settings.ask = Some(self.switch("ask", item)?),
            "proxy_env" => settings.proxy_env = Some(self.switch("proxy_env", item)?),
            "allow" => settings.allow = self.allowed(table, item)?,
            "deny" => settings.deny = self.list("deny", item, host)?,
            "upstream_proxy" => {
                settings.upstream_proxy = Some(self.word("upstream_proxy", item, value::upstream_proxy)?);
            }
            "host_ports" => {
                settings.host_ports =
                    self.ports("host_ports", item, |text| text.parse().map_err(Problem::Port))?;
            }
            "publish" => {
                settings.publish = self.ports("publish", item, |text| text.parse().map_err(Problem::Port))?;
            }
            "resolve" => {
                for (name, item) in self.table("resolve", item)? {
                    let address = self.text(name.get_ref(), "an address as a string", item)?;
                    let fixed = FixedAddress::new(name.get_ref(), address).map_err(|error| {
                        let span = if matches!(error, ValueError::HostName { .. }) {
                            name.span()
                        } else {
                            item.span()
                        };
                        self.fault(span, Problem::Value(error))
                    })?;
                    settings.resolve.push(self.located(name.span(), fixed));
                }
            }
            _ => return Err(self.unknown_key(key, table, NETWORK)),
        }
        Ok(())
    }

    /// Hosts, each alone or in a table with options.
    fn allowed(&self, table: &str, item: &Item<'_>) -> Result<Vec<Located<AllowedHost>>, ConfigError> {
        const EXPECTED: &str = "a list of strings, or of tables with `host`";
        let list = item.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type("allow", EXPECTED, item))?;
        let table = format!("{table}.allow");
        let host = |key: &str, item: &Item<'_>| {
            let text = self.text(key, EXPECTED, item)?;
            let parsed = text.parse::<AllowedHost>();
            parsed.map_err(|error| self.fault(item.span(), Problem::Host(error)))
        };
        list.iter()
            .map(|element| {
                let Some(keys) = element.get_ref().as_table() else {
                    return Ok(self.located(element.span(), host("allow", element)?));
                };
                let (mut allowed, mut options) = (None, HostOptions::default());
                for (key, item) in keys {
                    self.check(key, &table, ALLOWED)?;
                    match key.get_ref().as_ref() {
                        "host" => allowed = Some(host("host", item)?),
                        "dns" => options.dns = self.word("dns", item, value::dns)?.value,
                        "sni" => options.sni = self.word("sni", item, value::sni)?.value,
                        _ => return Err(self.unknown_key(key, &table, ALLOWED)),
                    }
                }
                let mut allowed = allowed.ok_or_else(|| self.wrong_type("allow", EXPECTED, element))?;
                allowed.options = options;
                Ok(self.located(element.span(), allowed))
            })
            .collect()
    }

    fn git(
        &self,
        settings: &mut Settings,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        const EXPECTED: &str = "a list of tables with `url`";
        self.check(key, table, GIT)?;
        match key.get_ref().as_ref() {
            "mode" => {
                settings.git_mode = Some(self.word("mode", item, value::git_mode)?);
                return Ok(());
            }
            "unlisted" => {
                settings.unlisted = Some(self.word("unlisted", item, value::unlisted)?);
                return Ok(());
            }
            "credential" => {
                settings.credentials.extend(self.credentials(table, item)?);
                return Ok(());
            }
            "repository" => {}
            _ => return Err(self.unknown_key(key, table, GIT)),
        }
        let list = item.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type("repository", EXPECTED, item))?;
        let table = format!("{table}.repository");
        for element in list {
            let keys = element.get_ref().as_table();
            let keys = keys.ok_or_else(|| self.wrong_type("repository", EXPECTED, element))?;
            let (mut names, mut fetch, mut push) = (None, true, None);
            for (key, item) in keys {
                self.check(key, &table, REPOSITORY)?;
                match key.get_ref().as_ref() {
                    "url" => {
                        names =
                            Some(self.list("url", item, |text| text.parse().map_err(Problem::Repository))?);
                    }
                    "fetch" => fetch = self.switch("fetch", item)?.value,
                    "push" => push = Some(self.push(&table, item)?),
                    _ => return Err(self.unknown_key(key, &table, REPOSITORY)),
                }
            }
            let names: Vec<Located<Repository>> =
                names.ok_or_else(|| self.wrong_type("repository", EXPECTED, element))?;
            if let Some(grant) = push {
                settings.pushes.extend(names.iter().map(|name| Located {
                    value: WrittenPush {
                        repository: name.value.clone(),
                        grant: grant.clone(),
                    },
                    origin: name.origin.clone(),
                }));
            }
            settings
                .repositories
                .extend(names.into_iter().map(|name| Located {
                    value: WrittenRepository {
                        repository: name.value,
                        fetch,
                    },
                    origin: name.origin,
                }));
        }
        Ok(())
    }

    fn environment(
        &self,
        settings: &mut Settings,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.check(key, table, ENVIRONMENT)?;
        match key.get_ref().as_ref() {
            "keep" => {
                settings.environment.extend(self.list("keep", item, |text| {
                    EnvironmentEntry::keep(text).map_err(Problem::Value)
                })?);
            }
            "set" => {
                for (name, item) in self.table("set", item)? {
                    let text = self.text(name.get_ref(), "a string", item)?;
                    let entry = EnvironmentEntry::set(name.get_ref(), text)
                        .map_err(|error| self.fault(name.span(), Problem::Value(error)))?;
                    settings.environment.push(self.located(name.span(), entry));
                }
            }
            _ => return Err(self.unknown_key(key, table, ENVIRONMENT)),
        }
        Ok(())
    }

    fn files(
        &self,
        settings: &mut Settings,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.check(key, table, FILES)?;
        let path = |text: &str| WrittenPath::parse(OsStr::new(text)).map_err(Problem::Path);
        match key.get_ref().as_ref() {
            "read" => settings.read = self.list("read", item, path)?,
            "write" => settings.write = self.list("write", item, path)?,
            "hide" => settings.hide = self.list("hide", item, path)?,
            "home" => settings.home = Some(self.word("home", item, value::home)?),
            "open_names" => settings.open_names = Some(self.switch("open_names", item)?),
            "open_names_in" => settings.open_names_in = self.list("open_names_in", item, path)?,
            _ => return Err(self.unknown_key(key, table, FILES)),
        }
        Ok(())
    }

    fn commands(
        &self,
        settings: &mut Settings,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.check(key, table, COMMANDS)?;
        match key.get_ref().as_ref() {
            "deny" => {
                settings.deny_commands =
                    self.list("deny", item, |text| text.parse().map_err(Problem::Command))?;
            }
            _ => return Err(self.unknown_key(key, table, COMMANDS)),
        }
        Ok(())
    }

    fn limits(
        &self,
        limits: &mut WrittenLimits,
        table: &str,
        key: &Key<'_>,
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.check(key, table, LIMITS)?;
        match key.get_ref().as_ref() {
            "memory" => limits.memory_bytes = Some(self.number("memory", item, value::size)?),
            "file_size" => limits.file_bytes = Some(self.number("file_size", item, value::size)?),
            "processes" => limits.processes = Some(self.number("processes", item, value::count)?),
            "open_files" => limits.open_files = Some(self.number("open_files", item, value::count)?),
            "cpu" => limits.cpu_percent = Some(self.number("cpu", item, value::percent)?),
            "egress" => limits.egress_bytes = Some(self.number("egress", item, value::size)?),
            "egress_per_host" => {
                limits.egress_per_host_bytes = Some(self.number("egress_per_host", item, value::size)?);
            }
            _ => return Err(self.unknown_key(key, table, LIMITS)),
        }
        Ok(())
    }

    fn floor(&self, floor: &mut Floor, key: &Key<'_>, item: &Item<'_>) -> Result<(), ConfigError> {
        self.check(key, "floor", FLOOR)?;
        match key.get_ref().as_ref() {
            "network" => floor.network = Some(self.word("network", item, value::network_preset)?),
            "home" => floor.home = Some(self.word("home", item, value::home)?),
            "open_names" => floor.open_names = Some(self.switch("open_names", item)?),
            "grants" => {
                let grants = self.list("grants", item, |text| value::grant(text).map_err(Problem::Value))?;
                let grants = grants.into_iter().map(|grant| grant.value).collect();
                floor.grants = Some(self.located(item.span(), grants));
            }
            "limits" => {
                for (key, item) in self.table("limits", item)? {
                    self.limits(&mut floor.limits, "floor.limits", key, item)?;
                }
            }
            "require" => {
                floor.require = self.list("require", item, |text| {
                    value::guarantee(text).map_err(Problem::Value)
                })?;
            }
            "contact" => floor.contact = Some(self.text("contact", "a string", item)?.to_owned()),
            _ => return Err(self.unknown_key(key, "floor", FLOOR)),
        }
        Ok(())
    }

    /// Whether a key may stand here. What follows may only read keys that pass: so the tables are all there is.
    pub(super) fn check(
        &self,
        key: &Key<'_>,
        table: &str,
        known: &'static [Known],
    ) -> Result<(), ConfigError> {
        match known.iter().find(|known| known.name == key.get_ref()) {
            Some(known) if self.may(known) => Ok(()),
            Some(known) => {
                let problem = match known.who {
                    Who::Owner => Problem::NotTheProjects(known.name),
                    Who::Anyone | Who::Administrator => Problem::AdministratorOnly(known.name),
                };
                Err(self.fault(key.span(), problem))
            }
            None => Err(self.unknown_key(key, table, known)),
        }
    }

    fn may(&self, known: &Known) -> bool {
        match known.who {
            Who::Anyone => true,
            Who::Owner => self.kind != FileKind::Project,
            Who::Administrator => self.kind == FileKind::Administrator,
        }
    }

    pub(super) fn table<'i, 't>(
        &self,
        key: &str,
        item: &'i Item<'t>,
    ) -> Result<&'i DeTable<'t>, ConfigError> {
        item.get_ref()
            .as_table()
            .ok_or_else(|| self.wrong_type(key, "a table", item))
    }

    pub(super) fn text<'i>(
        &self,
        key: &str,
        expected: &'static str,
        item: &'i Item<'_>,
    ) -> Result<&'i str, ConfigError> {
        item.get_ref()
            .as_str()
            .ok_or_else(|| self.wrong_type(key, expected, item))
    }

    pub(super) fn word<T>(
        &self,
        key: &str,
        item: &Item<'_>,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<Located<T>, ConfigError> {
        let text = self.text(key, "a string", item)?;
        let value = parse(text).map_err(|error| self.fault(item.span(), Problem::Value(error)))?;
        Ok(self.located(item.span(), value))
    }

    pub(super) fn switch(&self, key: &str, item: &Item<'_>) -> Result<Located<bool>, ConfigError> {
        let value = item
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.wrong_type(key, "`true` or `false`", item))?;
        Ok(self.located(item.span(), value))
    }

    /// A number as an integer or, with its unit, as a string.
    pub(super) fn number<T>(
        &self,
        key: &str,
        item: &Item<'_>,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<Located<T>, ConfigError> {
        let text = match item.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return Err(self.wrong_type(key, "a decimal integer or a string", item)),
        };
        let value = parse(text).map_err(|error| self.fault(item.span(), Problem::Value(error)))?;
        Ok(self.located(item.span(), value))
    }

    pub(super) fn list<T>(
        &self,
        key: &str,
        item: &Item<'_>,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Result<Vec<Located<T>>, ConfigError> {
        let list = item
            .get_ref()
            .as_array()
            .ok_or_else(|| self.wrong_type(key, "a list of strings", item))?;
        list.iter()
            .map(|element| {
                let text = self.text(key, "a list of strings", element)?;
                let value = parse(text).map_err(|problem| self.fault(element.span(), problem))?;
                Ok(self.located(element.span(), value))
            })
            .collect()
    }

    /// A list of ports: integers, or texts where one number doesn't say all.
    fn ports<T>(
        &self,
        key: &str,
        item: &Item<'_>,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Result<Vec<Located<T>>, ConfigError> {
        const EXPECTED: &str = "a list of ports, as integers or strings";
        let list = item
            .get_ref()
            .as_array()
            .ok_or_else(|| self.wrong_type(key, EXPECTED, item))?;
        list.iter()
            .map(|element| {
                let text = match element.get_ref() {
                    DeValue::String(text) => text.as_ref(),
                    DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
                    DeValue::Integer(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_)
                    | DeValue::Datetime(_)
                    | DeValue::Array(_)
                    | DeValue::Table(_) => return Err(self.wrong_type(key, EXPECTED, element)),
                };
                let value = parse(text).map_err(|problem| self.fault(element.span(), problem))?;
                Ok(self.located(element.span(), value))
            })
            .collect()
    }

    pub(super) fn located<T>(&self, span: std::ops::Range<usize>, value: T) -> Located<T> {
        Located {
            value,
            origin: self.source.origin(span.start),
        }
    }

    pub(super) fn fault(&self, span: std::ops::Range<usize>, problem: Problem) -> ConfigError {
        ConfigError::InFile {
            problem,
            excerpt: Box::new(self.source.excerpt(span)),
        }
    }

    pub(super) fn wrong_type(&self, key: &str, expected: &'static str, item: &Item<'_>) -> ConfigError {
        let found = match item.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(
            item.span(),
            Problem::WrongType {
                key: key.to_owned(),
                expected,
                found,
            },
        )
    }

    pub(super) fn unknown_key(&self, key: &Key<'_>, table: &str, known: &'static [Known]) -> ConfigError {
        let names = || {
            known
                .iter()
                .filter(|known| self.may(known))
                .map(|known| known.name)
        };
        let problem = Problem::UnknownKey {
            key: key.get_ref().to_string(),
            table: table.to_owned(),
            near: suggest::nearest(key.get_ref(), names()),
            known: quoted(names()),
        };
        self.fault(key.span(), problem)
    }

    fn unknown_agent(&self, name: &Key<'_>) -> ConfigError {
        let problem = Problem::UnknownAgent {
            name: name.get_ref().to_string(),
            near: suggest::nearest(name.get_ref(), agents::names()),
            known: quoted(agents::names()),
        };
        self.fault(name.span(), problem)
    }
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_on_commands_keep_their_place() {
        let read = |list: &str| {
            let source = Source {
                path: "c.toml".into(),
                text: format!("[commands]\ndeny = [{list}]\n"),
            };
            read(source, FileKind::User)
        };
        let layer = read("'git push --force', 'terraform  destroy'").unwrap();
        let [first, second] = layer.settings.deny_commands.as_slice() else {
            panic!("{layer:?}")
        };
        assert_eq!(first.value.to_string(), "git push --force");
        assert_eq!(second.value.to_string(), "terraform destroy");
        assert_eq!(second.origin.to_string(), "c.toml:2:29");
        let mut faults = String::new();
        for list in [
            "'git push *', '/usr/bin/git push'",
            "'*'",
            "'git push --force*'",
            "'sh -c \"x\"'",
        ] {
            faults.push_str(&crate::failure::Failure::from(read(list).unwrap_err()).to_string());
        }
        insta::assert_snapshot!(faults);
    }

    /// Every key of the tables is read: one that is listed and not matched would be an unknown key.
    #[test]
    fn every_known_key_is_read() {
        let tables = [
            ("network", NETWORK),
            ("environment", ENVIRONMENT),
            ("files", FILES),
            ("commands", COMMANDS),
            ("limits", LIMITS),
            ("agents.claude", SECTION),
            ("floor", FLOOR),
            ("floor.limits", LIMITS),
            ("", TOP),
        ];
        for (table, keys) in tables {
            for key in keys {
                let head = if table.is_empty() {
                    String::new()
                } else {
                    format!("[{table}]\n")
                };
                let source = Source {
                    path: "c.toml".into(),
                    text: format!("{head}{} = 1979-05-27\n", key.name),
                };
                let error = read(source, FileKind::Administrator).unwrap_err();
                let ConfigError::InFile {
                    problem: Problem::WrongType { key: named, .. },
                    ..
                } = &error
                else {
                    panic!("{table}.{}: {error}", key.name);
                };
                assert!(named.ends_with(key.name), "{named}");
            }
        }
    }
}
