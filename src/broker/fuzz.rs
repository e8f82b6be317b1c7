//! What `fuzz/` feeds: what a helper printed, and a `.netrc`.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "there for the fuzzer alone"
)]

pub fn credential(bytes: &[u8]) {
    if let Some(filled) = super::helper::answer(bytes) {
        assert!(super::helper::is_user(&filled.user) && !filled.secret.expose().is_empty());
    }
    if let Some((user, secret)) = super::netrc::find(bytes, "a.test") {
        assert!(super::helper::is_user(&user) && !secret.expose().is_empty());
    }
}
