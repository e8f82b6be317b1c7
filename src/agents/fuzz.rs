//! What `fuzz/` feeds: an agent's state as the host has it, as it was and as the sandbox left it, with what must hold for
//! any of them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::merge::{merge_append, merge_json, parse_json};

/// Stands between the three files; no byte of UTF-8.
const BETWEEN: u8 = 0xff;

pub fn state(bytes: &[u8]) {
    let mut files = bytes.splitn(3, |byte| *byte == BETWEEN);
    let mut file = || files.next().unwrap_or_default();
    let (host, start, end) = (file(), file(), file());
    if let Ok(added) = merge_append(start, end) {
        assert!(added.is_empty() || added.ends_with(b"\n"));
        assert!(start.len() + added.len() <= end.len());
    }
    let (Ok(host), Ok(start), Ok(end)) = (parse_json(host), parse_json(start), parse_json(end)) else {
        return;
    };
    let keeps = ["hooks".to_owned(), "mcp*".to_owned()];
    if let Ok(merged) = merge_json(&host, &start, &end, &keeps) {
        assert_eq!(merged.changed, merged.value != host);
        // What the host runs stays the host's.
        assert_eq!(merged.value.get("hooks"), host.get("hooks"));
        assert_eq!(merged.value.get("mcpServers"), host.get("mcpServers"));
        // A second run that changes nothing carries nothing over.
        let again = merge_json(&merged.value, &end, &end, &keeps).unwrap();
        assert!(!again.changed);
    }
}
