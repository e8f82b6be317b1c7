//! Each acceptance scenario of git and what comes after a run has a test that carries its number: `g01_…` to `g59_…`,
//! `g82_…` to `g88_…`, in `tests/git` and beside the exit gate. (In `tests/sandbox` the same letter stands for other cases.)
#![expect(clippy::unwrap_used, reason = "a test may stop")]

#[path = "support/sources.rs"]
mod sources;

use sources::rust_files;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// 16 asks for a status of a proxy whose sessions have tokens; here nobody but the run itself reaches its proxies, which
/// the network's case n17 holds.
const ELSEWHERE: [u32; 1] = [16];
/// What stands in other folders.
const BESIDES: [&str; 2] = ["tests/sandbox/exit_gate.rs", "tests/network/intercept.rs"];

/// The numbers that names of functions begin with: `g20_to_g24_what…` has five, `g25_g26_all…` two.
fn numbers(line: &str) -> Vec<u32> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let Some(name) = line.strip_prefix("fn ") else {
        return Vec::new();
    };
    let (mut found, mut range) = (Vec::new(), false);
    for word in name.split('_') {
        let number = word.strip_prefix('g').filter(|digits| digits.len() == 2);
        match number.and_then(|digits| digits.parse::<u32>().ok()) {
            Some(number) => {
                let from = found.last().copied().filter(|_| range).unwrap_or(number);
                found.extend(from..=number);
                range = false;
            }
            None if word == "to" && !found.is_empty() => range = true,
            None => break,
        }
    }
    found
}

#[test]
fn every_scenario_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = BESIDES.iter().map(|file| root.join(file)).collect();
    files.extend(rust_files("tests/git"));
    let found: BTreeSet<u32> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.lines().flat_map(numbers).collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<u32> = (1..=59)
        .chain(82..=88)
        .filter(|number| !found.contains(number) && !ELSEWHERE.contains(number))
        .collect();
    assert!(missing.is_empty(), "no test is named after these: {missing:?}");
}

#[test]
fn numbers_are_read_from_names() {
    assert_eq!(
        numbers("fn g20_to_g24_what_no_rule_lets() {"),
        [20, 20, 21, 22, 23, 24]
    );
    assert_eq!(numbers("    pub(crate) fn g25_g26_all_or_nothing()"), [25, 26]);
    assert_eq!(numbers("fn git_works()"), []);
    assert_eq!(numbers("// fn g25_x"), []);
}
