//! `[[git.credential]]`: where the user's credentials are.

use super::error::{ConfigError, Problem};
use super::layer::{Located, WrittenCredential};
use super::schema::{Item, Reader};
use super::tables::CREDENTIAL;

impl Reader<'_> {
    /// The list.
    pub(super) fn credentials(
        &self,
        table: &str,
        item: &Item<'_>,
    ) -> Result<Vec<Located<WrittenCredential>>, ConfigError> {
        const EXPECTED: &str = "a list of tables with `host` and `from`";
        let list = item.get_ref().as_array();
        let list = list.ok_or_else(|| self.wrong_type("credential", EXPECTED, item))?;
        let table = format!("{table}.credential");
        let one = |element: &Item<'_>| {
            let keys = element.get_ref().as_table();
            let keys = keys.ok_or_else(|| self.wrong_type("credential", EXPECTED, element))?;
            let (mut host, mut from, mut user) = (None, None, None);
            for (key, item) in keys {
                self.check(key, &table, CREDENTIAL)?;
                let text = self.text(key.get_ref(), "a string", item)?;
                let wrong = |problem| self.fault(item.span(), problem);
                match key.get_ref().as_ref() {
                    "host" => {
                        host = Some(
                            text.parse()
                                .map_err(|error| wrong(Problem::CredentialHost(error)))?,
                        )
                    }
                    "from" => {
                        from = Some(
                            text.parse()
                                .map_err(|error| wrong(Problem::CredentialSource(error)))?,
                        )
                    }
                    "user" => {
                        let is_good =
                            !text.is_empty() && !text.contains(':') && !text.chars().any(char::is_control);
                        user = is_good.then(|| text.to_owned());
                        if !is_good {
                            return Err(wrong(Problem::CredentialUser));
                        }
                    }
                    _ => return Err(self.unknown_key(key, &table, CREDENTIAL)),
                }
            }
            let (Some(host), Some(from)) = (host, from) else {
                return Err(self.wrong_type("credential", EXPECTED, element));
            };
            Ok(self.located(element.span(), WrittenCredential { host, from, user }))
        };
        list.iter().map(one).collect()
    }
}
