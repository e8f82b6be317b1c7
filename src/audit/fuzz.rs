//! What `fuzz/` feeds: a log of any bytes, with what must hold for it.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::read::lines;
use super::verify::check;

pub fn log_lines(bytes: &[u8]) {
    let id = "20261123T090807006Z-aaaaaaaaaaaa".parse().unwrap();
    let entries: Vec<_> = lines(bytes, &id).map(Result::unwrap).collect();
    // Each line has its number, and says something or what is wrong with it.
    assert!(
        entries
            .iter()
            .zip(1..)
            .all(|(entry, number)| entry.number == number)
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry.record.is_some() || entry.fault.is_some())
    );
    let verified = check(bytes, &id, false).unwrap();
    // Nobody guesses a hash: what is whole was chained by a writer, or has no chain.
    assert!(!verified.is_whole() || !verified.chained);
}
