//! What `fuzz/` feeds: a configuration of any text; what is wrong with it is said with the place where it stands.
#![expect(missing_docs, reason = "there for the fuzzer alone")]

use super::{Source, schema};

pub fn config_file(bytes: &[u8]) {
    let Ok(text) = String::from_utf8(bytes.to_vec()) else {
        return;
    };
    let path = "/home/u/.config/aca/config.toml".into();
    if let Err(error) = schema::read(Source { path, text }) {
        drop(crate::failure::Failure::from(error).to_string());
    }
}
