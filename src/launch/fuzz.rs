//! What `fuzz/` feeds: messages of any bytes to the supervisor, with what must hold for them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::protocol::FromStage;

pub fn message(bytes: &[u8]) {
    if let Ok(message) = postcard::from_bytes::<FromStage>(bytes) {
        let again = postcard::to_stdvec(&message).unwrap();
        assert_eq!(postcard::from_bytes::<FromStage>(&again).unwrap(), message);
    }
}
