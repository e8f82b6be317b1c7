//! What `fuzz/` feeds: git's configuration of any bytes, with what must hold for it.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "there for the fuzzer alone"
)]

use super::git_config::settings;

pub fn git_config(bytes: &[u8]) {
    let found = settings(bytes);
    // Nothing is made up: each has its own place in the text, and names are in lower case.
    assert!(found.len() <= bytes.len());
    for setting in &found {
        assert!(setting.key.len() + setting.value.len() <= bytes.len() + "true".len());
        assert!(
            [&setting.section, &setting.key]
                .iter()
                .all(|name| name.to_ascii_lowercase() == **name)
        );
    }
}
