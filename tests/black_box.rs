//! Each case of the network's black-box list has a test that carries its id: `n01_…` to `n30_…`.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

#[path = "support/sources.rs"]
mod sources;

use sources::rust_files;
use std::collections::BTreeSet;
use std::fs;

/// The cases, in a few words each.
const CASES: [(&str, &str); 30] = [
    ("n01", "nothing is allowed"),
    ("n02", "a name is allowed"),
    ("n03", "a name is not its sub-domains"),
    ("n04", "patterns"),
    ("n05", "a deny among allows"),
    ("n06", "everything is denied"),
    ("n07", "a rule means its port"),
    ("n08", "case, and a dot at the end"),
    ("n09", "addresses in odd spellings"),
    ("n10", "an address that a rule writes out"),
    ("n11", "a server of the host's loopback"),
    ("n12", "a name that leads to an address that isn't public"),
    ("n13", "a name that changes where it leads"),
    ("n14", "names with NUL, zones, too many bytes"),
    ("n15", "clients that ignore proxies"),
    ("n16", "datagrams, raw sockets, IPv6"),
    ("n17", "whoever else would use the proxies"),
    ("n18", "other ports of an allowed host"),
    ("n19", "plain HTTP with another Host"),
    ("n20", "a URL as target with another host"),
    ("n21", "a server name that isn't the host's"),
    ("n22", "clients of HTTP"),
    ("n23", "clients of other protocols"),
    ("n24", "servers inside, clients inside"),
    ("n25", "a server inside, a client outside"),
    ("n26", "many connections at once, at once"),
    ("n27", "behind a proxy outside"),
    ("n28", "a denial is told"),
    ("n29", "rules that change while it runs"),
    ("n30", "a relay inside"),
];

/// The ids that names of functions begin with: `n04_n05_patterns` has two.
fn ids() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in rust_files("tests").into_iter().chain(rust_files("src")) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            let Some(name) = line.strip_prefix("fn ") else {
                continue;
            };
            let is_id = |word: &&str| {
                word.len() == 3 && word.starts_with('n') && word.chars().skip(1).all(|c| c.is_ascii_digit())
            };
            found.extend(name.split('_').take_while(is_id).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_case_has_a_test() {
    let found = ids();
    let missing: Vec<_> = CASES.iter().filter(|(id, _)| !found.contains(*id)).collect();
    assert!(missing.is_empty(), "no test is named after these: {missing:#?}");
}

#[test]
fn every_id_is_a_case() {
    let known: BTreeSet<String> = CASES.iter().map(|(id, _)| (*id).to_owned()).collect();
    let unknown: Vec<_> = ids().difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
