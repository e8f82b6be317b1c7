//! The value of `[[git.repository]] push`: what may be pushed to a repository.

use super::{
    ConfigError,
    error::Problem,
    schema::{Item, Reader},
    tables::PUSH,
    value,
};
use crate::policy::{Beyond, ProtectedPath, RefPattern, RefPatternError, WrittenGrant};
use toml::de::DeValue;

impl Reader<'_> {
    /// Reads it; `None` is `false`.
    pub(super) fn push(&self, table: &str, item: &Item<'_>) -> Result<Option<WrittenGrant>, ConfigError> {
        let keys = match item.get_ref() {
            DeValue::Boolean(yes) => return Ok(yes.then(WrittenGrant::default)),
            DeValue::Table(keys) => keys,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                return Err(self.wrong_type("push", "`true`, `false` or a table", item));
            }
        };
        let table = format!("{table}.push");
        let mut grant = WrittenGrant::default();
        for (key, item) in keys {
            self.check(key, &table, PUSH)?;
            match key.get_ref().as_ref() {
                "create" => grant.create = Some(self.refs("create", item)?),
                "update" => grant.update = Some(self.refs("update", item)?),
                "force" => grant.force = Some(self.beyond("force", item)?),
                "delete" => grant.delete = Some(self.beyond("delete", item)?),
                "tags" => grant.tags = Some(self.tags(item)?),
                "max_pack" => {
                    grant.max_pack = Some(self.number("max_pack", item, value::size)?.value);
                }
                "max_commits" => {
                    let count = self.number("max_commits", item, value::count)?.value;
                    grant.max_commits = Some(u32::try_from(count).unwrap_or(u32::MAX));
                }
                "protect" => {
                    let path = |text: &str| {
                        let path = ProtectedPath::try_from(text.to_owned());
                        path.map_err(Problem::PathPattern)
                    };
                    let list = self.list("protect", item, path)?;
                    grant.protect = Some(list.into_iter().map(|path| path.value).collect());
                }
                "scan_secrets" => grant.scan_secrets = Some(self.switch("scan_secrets", item)?.value),
                _ => return Err(self.unknown_key(key, &table, PUSH)),
            }
        }
        Ok(Some(grant))
    }

    fn refs(&self, key: &str, item: &Item<'_>) -> Result<Vec<RefPattern>, ConfigError> {
        self.patterns(key, item, |text| {
            let pattern: RefPattern = text.parse()?;
            if pattern.is_of_tags() {
                return Err(RefPatternError::Tag(text.to_owned()));
            }
            Ok(pattern)
        })
    }

    fn patterns(
        &self,
        key: &str,
        item: &Item<'_>,
        parse: impl Fn(&str) -> Result<RefPattern, RefPatternError>,
    ) -> Result<Vec<RefPattern>, ConfigError> {
        let list = self.list(key, item, |text| parse(text).map_err(Problem::Ref))?;
        Ok(list.into_iter().map(|pattern| pattern.value).collect())
    }

    fn beyond(&self, key: &str, item: &Item<'_>) -> Result<Beyond, ConfigError> {
        if item.get_ref().as_array().is_some() {
            return Ok(Beyond::Patterns(self.refs(key, item)?));
        }
        Ok(self.word(key, item, value::beyond)?.value)
    }

    fn tags(&self, item: &Item<'_>) -> Result<Vec<RefPattern>, ConfigError> {
        if item.get_ref().as_array().is_some() {
            return self.patterns("tags", item, RefPattern::tags);
        }
        match item.get_ref().as_bool() {
            Some(false) => Ok(Vec::new()),
            Some(true) | None => Err(self.wrong_type("tags", "`false` or a list of patterns", item)),
        }
    }
}
