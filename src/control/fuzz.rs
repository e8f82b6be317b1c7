//! What `fuzz/` feeds: messages of any bytes to the supervisor, with what must hold for them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::frame::parse;
use super::protocol::{Answer, Request, VERSION, Versioned};

pub fn request(bytes: &[u8]) {
    if let Ok(message) = parse::<Request>(bytes) {
        let again = serde_json::to_vec(&Versioned {
            v: VERSION,
            message: message.clone(),
        })
        .unwrap();
        assert_eq!(parse::<Request>(&again).unwrap(), message);
    }
    drop(parse::<Answer>(bytes));
}
